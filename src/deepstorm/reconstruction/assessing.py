"""From sums over frames to figures: how well a movie is explained."""

from __future__ import annotations

import math

import numpy as np

from deepstorm.arrays import BoolArray, Float64Array
from deepstorm.estimates import Estimate
from deepstorm.fit import Fit
from deepstorm.reconstruction.goodness import BLOCK_PX, SHAPES, STATISTICS, FitSums
from deepstorm.reconstruction.residuals import NORMAL_MEDIAN
from deepstorm.structures import Calibration

UNKNOWN = Estimate(0.0, math.inf)
# Of fewer spots the scatter does not tell how certain their mean shape is.
FEWEST_SPOTS = 25
# Divisors are at least this.
LEAST = 1e-9
# Pixels widen a Gaussian by the variance of their own extent.
PIXEL_VARIANCE = 1 / 12


def assess(
    sums: FitSums,
    calibration: Calibration,
    mean_counts: Float64Array,
    emitters: float,
    frames: int,
    left_out: BoolArray | None = None,
) -> Fit:
    """Return how well a movie is explained.

    Parameters
    ----------
    sums : FitSums
        Over the frames that were looked at.
    calibration : Calibration
    mean_counts : ndarray of float64, shape (y, x)
        Mean of all frames.
    emitters : float
        Expected emitters of the image.
    frames : int
        How many there are.
    left_out : ndarray of bool, shape (y, x), optional
        Pixels that say nothing.
    """
    sigma_px = calibration.sigma_px.value
    offset, away = sums.ratio("offset"), sums.ratio("away")
    noise, level = sums.ratio("noise"), sums.ratio("level")
    variance = max(away.value - offset.value**2, 1e-3)
    near, far = ({name: sums.ratio(name + lag) for name in "xy"} for lag in "12")
    diagonals = _mean([sums.ratio("down"), sums.ratio("up")])
    widening, elongation, degrees = _shape(sums, sigma_px)
    density = calibration.density_per_px
    light = sums.under[STATISTICS.index("all")]
    residual = np.where(light > 0, sums.over[STATISTICS.index("light")], np.nan)
    places = mean_counts.size * frames
    mean_photons = (mean_counts - calibration.zero_adu.value) / calibration.adu_per_photon.value
    return Fit(
        frames=sums.frames,
        frame_variance=sums.variances,
        variance=sums.ratio("all"),
        near_variance=sums.ratio("near"),
        away_variance=away,
        noise_variance=Estimate(noise.value**2, 2 * noise.value * noise.uncertainty),
        noise_adu2=_scaled(level, calibration.adu_per_photon.value**2 * noise.value**2),
        correlation_x=_scaled(near["x"], 1 / variance, offset.value**2),
        correlation_y=_scaled(near["y"], 1 / variance, offset.value**2),
        correlation_diagonal=_scaled(diagonals, 1 / variance, offset.value**2),
        shared_x=_shared(near["x"], far["x"], offset.value, variance, sigma_px),
        shared_y=_shared(near["y"], far["y"], offset.value, variance, sigma_px),
        fineness=sums.ratio("quiet"),
        unexplained_share=sums.ratio("light"),
        spots=int(sums.spots[0]),
        widening=widening,
        elongation=elongation,
        elongation_degrees=degrees,
        spot_residual=sums.patch / max(float(sums.spots[1]), 1.0),
        steady_variance=_steady(mean_photons, frames, left_out),
        pattern_variance=_pattern(mean_photons, level.value, frames, left_out),
        block_px=BLOCK_PX,
        variance_map=sums.of_blocks("all"),
        unexplained_map=residual / np.maximum(light, LEAST),
        significance_map=residual / np.sqrt(np.maximum(light, LEAST)),
        emitters=emitters,
        calibrated_emitters=Estimate(density.value * places, density.uncertainty * places),
    )


def _alike(lag_px: float, sigma_px: float) -> float:
    """Return how alike the light of an emitter is in two pixels so far apart, from 0 to 1."""
    return math.exp(-(lag_px**2) / (4 * (sigma_px**2 + PIXEL_VARIANCE)))


def _shared(
    near: Estimate, far: Estimate, offset: float, variance: float, sigma_px: float
) -> Estimate:
    """Return the correlation of neighbours less that by emitters that were missed.

    The noise of pixels that are two apart is taken for independent: what they share is light.
    """
    factor = _alike(1, sigma_px) / _alike(2, sigma_px)
    light = factor * max(far.value - offset**2, 0)
    return Estimate(
        (near.value - offset**2 - light) / variance,
        math.hypot(near.uncertainty, factor * far.uncertainty) / variance,
    )


def _mean(estimates: list[Estimate]) -> Estimate:
    """Return the mean of independent estimates."""
    values = [each.value for each in estimates]
    errors = [each.uncertainty for each in estimates]
    return Estimate(sum(values) / len(values), math.hypot(*errors) / len(errors))


def _scaled(estimate: Estimate, factor: float, less: float = 0.0) -> Estimate:
    return Estimate((estimate.value - less) * factor, estimate.uncertainty * factor)


def _shape(sums: FitSums, sigma_px: float) -> tuple[Estimate, Estimate, float]:
    """Return how much wider and how much longer one way spots are, and which way, in degrees."""
    if sums.spots[0] < FEWEST_SPOTS or np.linalg.cond(sums.information) > 1 / np.finfo(float).eps:
        return UNKNOWN, UNKNOWN, 0.0
    inverse = np.linalg.inv(sums.information)
    found = inverse @ sums.gradient
    # Around their mean: where spots are not as expected, this is no scatter.
    scatter = sums.scatter - np.outer(sums.gradient, sums.gradient) / sums.spots[0]
    errors = np.sqrt(np.maximum(np.diag(inverse @ scatter @ inverse), 0))
    named = {
        name: Estimate(float(value), float(error))
        for name, value, error in zip(SHAPES, found, errors, strict=True)
    }
    wider, straight, oblique = (named[n] for n in ("wider", "along_x", "along_diagonal"))
    relative = 1 / sigma_px**2
    longer = math.hypot(straight.value, oblique.value)
    error = math.hypot(straight.uncertainty, oblique.uncertainty) / math.sqrt(2)
    return (
        _scaled(wider, relative),
        _scaled(Estimate(longer, error), relative),
        math.degrees(math.atan2(oblique.value, straight.value)) / 2,
    )


def _steady(mean_photons: Float64Array, frames: int, left_out: BoolArray | None) -> Estimate:
    """Return the variance of the mean frame's noise over the one expected.

    Each frame adds its own, unless something was taken off that the frames have in common. A
    camera's pattern adds to it, never takes off.
    """
    crossed, light = _crossed(mean_photons, left_out)
    expected = float(light.sum()) / frames
    if len(crossed) < 2 or expected <= 0:
        return UNKNOWN
    found = float((crossed**2).sum()) / expected
    # Neighbouring differences have pixels in common: nine of them tell as much as four do.
    return Estimate(found, found * math.sqrt(2 * 9 / 4 / len(crossed)))


def _pattern(
    mean_photons: Float64Array, level: float, frames: int, left_out: BoolArray | None
) -> float:
    """Return the variance between pixels that is in all frames alike, over that of the noise."""
    crossed, _ = _crossed(mean_photons, left_out)
    if not len(crossed) or level <= 0:
        return 0.0
    # Of emitters, which are in few pixels, the median does not know.
    between = (float(np.median(np.abs(crossed))) / NORMAL_MEDIAN) ** 2 / 4
    return max(between / level - 1 / frames, 0.0)


def _crossed(image: Float64Array, left_out: BoolArray | None) -> tuple[Float64Array, Float64Array]:
    """Return differences of two pixels less those of the two below, and sums of the four.

    Light that went through the optics hardly shows in the differences, and noise does in full.
    """
    corners = [
        image[down : image.shape[0] - 1 + down, right : image.shape[1] - 1 + right]
        for down, right in ((0, 0), (1, 1), (0, 1), (1, 0))
    ]
    good = np.ones(corners[0].shape, bool)
    if left_out is not None:
        good &= ~(left_out[1:, 1:] | left_out[:-1, :-1] | left_out[1:, :-1] | left_out[:-1, 1:])
    first, second, third, fourth = (corner[good] for corner in corners)
    return first + second - third - fourth, first + second + third + fourth
