"""Where the background is high and where it is low."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import Float64Array, FloatArray
from deepstorm.calibration.brightness import FEW_FRAMES, UNKNOWN, MeasuredBrightness
from deepstorm.structures import Estimate

TILES = 8
SMALLEST_TILE_PX = 4
# Photons of emitters where they are not known, and of a pixel, at least.
FAINT_PHOTONS, LEAST_LEVEL = 100.0, 0.1


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


@dataclass(frozen=True, slots=True, eq=False)
class SteadyLight:
    """The background of each pixel.

    Parameters
    ----------
    photons, error : ndarray of float64, shape (y, x)
        Its mean, and the uncertainty of that.
    trust : ndarray of float64, shape (y, x)
        From 0 to 1: how small the uncertainty would be without emitters, over what it is, squared.
    """

    photons: Float64Array
    error: Float64Array
    trust: Float64Array

    @classmethod
    def of(cls, frames: FloatArray, sigma_px: float, brightness: Estimate) -> SteadyLight:
        """Tell background from what blinks by its variance, which is its mean alone.

        Parameters
        ----------
        frames : ndarray, shape (frame, y, x)
            In effective photons; two at least.
        sigma_px : float
            Width of the PSF.
        brightness : Estimate
            Photons of an emitter in a frame.
        """
        is_known = brightness.value > 0 and brightness.uncertainty < np.inf
        value = brightness.value if is_known else FAINT_PHOTONS
        relative = min(brightness.uncertainty / value, 1.0)
        mean = frames.mean(axis=0, dtype=np.float64)
        # The variance of emitters is their mean light times their photons over the area of a spot.
        factor = 4 * np.pi * (sigma_px**2 + 1 / 12) / value
        light = factor * _blinking(frames, mean)
        squares = (frames - mean.astype(np.float32)) ** 2
        level = np.maximum(mean, LEAST_LEVEL)
        least = level + 2 * (factor * level) ** 2
        chance = level + (factor * squares.std(axis=0)) ** 2
        error = np.sqrt(chance / len(frames) + (relative * light) ** 2)
        trust = np.minimum(least / len(frames) / error**2, 1.0)
        return cls(mean - light, error, trust)


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
