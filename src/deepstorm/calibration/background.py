"""Where the background is high and where it is low."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import Float64Array, FloatArray
from deepstorm.calibration.brightness import FEW_FRAMES, UNKNOWN, MeasuredBrightness
from deepstorm.structures import Estimate

TILES = 8
SMALLEST_TILE_PX = 4
# Photons of emitters, at least: where they are not known, and as a part of what was measured.
FAINT_PHOTONS, LEAST_PART = 100.0, 0.3


def background_map(photons: FloatArray, sigma_px: float, squared_brightness: float) -> Float64Array:
    """Return the background of tiles of the field, shape (tile row, tile column).

    The light of blinking emitters is told from background by its variance over time, which is
    density · E[N²] ∫h², and is taken off the mean.

    Parameters
    ----------
    photons : ndarray, shape (frame, y, x)
        Frames in effective photons, two at least.
    sigma_px : float
        Width of the PSF.
    squared_brightness : float
        E[N²] / E[N] of the emitters' photons N; 0 where there are none to be seen.
    """
    mean = photons.mean(axis=0, dtype=np.float64)
    if squared_brightness <= 0:
        return _tiled(mean)
    squared = 1 / (4 * np.pi * (sigma_px**2 + 1 / 12))
    return _tiled(mean) - _tiled(_blinking(photons, mean)) / (squared_brightness * squared)


def steady_light(
    photons: FloatArray, sigma_px: float, brightness: Estimate, deviations: float = 0.0
) -> Float64Array:
    """Return the background of each pixel, shape (y, x).

    Parameters
    ----------
    photons : ndarray, shape (frame, y, x)
        Frames in effective photons, two at least.
    sigma_px : float
        Width of the PSF.
    brightness : Estimate
        Photons of an emitter in a frame.
    deviations : float
        By how many standard deviations the background is too low: what fluctuates is so much more
        than was seen, and emitters are fainter by one.
    """
    faintest = FAINT_PHOTONS
    if brightness.value > 0 and brightness.uncertainty < np.inf:
        least = brightness.value - min(deviations, 1.0) * brightness.uncertainty
        faintest = max(least, LEAST_PART * brightness.value)
    mean = photons.mean(axis=0, dtype=np.float64)
    blinking = _blinking(photons, mean)
    if deviations:
        squares = (photons - mean.astype(np.float32)) ** 2
        blinking += deviations * squares.std(axis=0) / np.sqrt(len(photons))
    spot_area_px = 4 * np.pi * (sigma_px**2 + 1 / 12)
    return np.asarray(mean - blinking * (spot_area_px / faintest), np.float64)


def _blinking(photons: FloatArray, mean: Float64Array) -> Float64Array:
    """Return the variance of each pixel beyond that of its noise."""
    return np.asarray(photons.var(axis=0, ddof=1, dtype=np.float64) - mean, np.float64)


def _tiled(image: Float64Array) -> Float64Array:
    """Average tiles of at least four pixels a side, at most 8 × 8 of them."""
    counts = [min(max(length // SMALLEST_TILE_PX, 1), TILES) for length in image.shape]
    rows = np.array_split(image, counts[0], axis=0)
    return np.array([[t.mean() for t in np.array_split(row, counts[1], axis=1)] for row in rows])


def unevenness(photons: FloatArray, sigma_px: float, bright: MeasuredBrightness) -> Estimate:
    """Return the relative standard deviation of the background over the field.

    Two halves of the movie agree on what is lasting; what they do not agree on is chance.
    """
    background = bright.background_photons.value
    if len(photons) < 2 * FEW_FRAMES or min(photons.shape[1:]) < 4 * SMALLEST_TILE_PX:
        return UNKNOWN
    squared = bright.squared_brightness
    maps = [background_map(photons[start::2], sigma_px, squared.value) for start in (0, 1)]
    first, other = (each - each.mean() for each in maps)
    products = (first * other).ravel()
    variance, error = float(products.mean()), float(products.std() / np.sqrt(products.size))
    # Of the emitters' light, a part stays where their brightness is not well known.
    light = _tiled(photons.mean(axis=0, dtype=np.float64)) - (maps[0] + maps[1]) / 2
    relative = squared.uncertainty / squared.value if squared.value > 0 else 0.0
    remains = float(light.std()) * min(relative, 1.0)
    level = max(background, 1e-9)
    value = float(np.sqrt(max(variance, 0.0))) / level
    spread = min(error / (2 * max(value * level, 1e-9)), float(np.sqrt(error))) / level
    return Estimate(value, float(np.hypot(spread, remains / level)))
