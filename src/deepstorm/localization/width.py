"""The width of the PSF from spots that are bright and alone."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import AnyArray, BoolArray
from deepstorm.localization.noise import CameraNoise
from deepstorm.localization.spots import Spots, fit_spots, nearest_distance_px
from deepstorm.structures import Estimate

# What microscopes usually have: pixels are chosen for that.
USUAL_SIGMA_PX = 1.2
# Frames that are looked at, spread over the movie.
MOST_FRAMES = 200
# Significance of spots that are bright enough to have a width of their own.
BRIGHT = 10.0
# Distance of neighbours in units of the width; the second is for movies that have too few spots.
APART_SIGMA, LESS_APART_SIGMA = 6.0, 3.0
MOST_MISFIT = 0.2
ENOUGH_SPOTS = 20
REACH_SIGMA = 3.0
ROUNDS = 4
SAME = 0.005
# Median absolute deviation to standard deviation, and standard error of a median over a mean's.
MAD_TO_SIGMA, MEDIAN_TO_MEAN = 1.4826, 1.2533


def estimate_sigma_px(
    frames: AnyArray, noise: CameraNoise, first_guess_px: float = USUAL_SIGMA_PX
) -> Estimate:
    """Estimate the standard deviation of the PSF: the median of what bright, lone spots have.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts of the camera.
    noise : CameraNoise
    first_guess_px : float
        May be wrong by a factor of two.

    Returns
    -------
    Estimate
        In camera pixels; the first guess with an infinite uncertainty where no spot is good enough.
    """
    some = frames[:: max(len(frames) // MOST_FRAMES, 1)]
    estimate = Estimate(first_guess_px, float("inf"))
    for _ in range(ROUNDS):
        before = estimate.value
        estimate = _median_width(some, noise, before)
        if abs(estimate.value - before) < SAME * before:
            break
    return estimate


def _median_width(frames: AnyArray, noise: CameraNoise, sigma_px: float) -> Estimate:
    spots = fit_spots(
        frames, noise, sigma_px, threshold=BRIGHT, reach_sigma=REACH_SIGMA, free_width=True
    )
    apart_px = nearest_distance_px(spots)
    good = _good(spots)
    chosen = good & (apart_px > APART_SIGMA * sigma_px)
    if chosen.sum() < ENOUGH_SPOTS:
        chosen = good & (apart_px > LESS_APART_SIGMA * sigma_px)
    widths = spots.sigma_px[chosen]
    if len(widths) == 0:
        return Estimate(sigma_px, float("inf"))
    middle = float(np.median(widths))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(widths - middle)))
    single = float(np.median(spots.error_px[chosen]))
    return Estimate(middle, MEDIAN_TO_MEAN * max(spread, single) / np.sqrt(len(widths)))


def _good(spots: Spots) -> BoolArray:
    round_enough = spots.quality.elongation < 0.1 + 3 * spots.quality.elongation_error
    fits = (spots.quality.misfit < MOST_MISFIT) | (spots.quality.p_value > 1e-3)
    return spots.converged & ~spots.at_border & round_enough & fits
