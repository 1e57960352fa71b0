"""Noise that a frame has in common with the next one, which no camera gives."""

from __future__ import annotations

import math

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array
from deepstorm.calibration.checkerboard import CORRELATED, filtered
from deepstorm.structures import Estimate


def noise_shared_with_next(pairs: AnyArray, mean: Float64Array) -> Estimate:
    """Return how much the noise of frames correlates with that of the ones that follow them.

    Parameters
    ----------
    pairs : ndarray, shape (pair, 2, y, x)
        Frames, and those that follow them.
    mean : ndarray, shape (y, x)
        Of many frames: what is fixed to the camera is no noise.

    Returns
    -------
    Estimate
        From -1 to 1; 0, infinitely uncertain, where there is no noise or there are no frames.
    """
    products = squares = 0.0
    count = 0
    for first, second in pairs:
        noise, next_noise = (
            filtered(np.asarray(frame - mean, np.float32)) for frame in (first, second)
        )
        spread = math.sqrt(float(np.vdot(noise, noise)) * float(np.vdot(next_noise, next_noise)))
        if spread > 0 and first.min() < first.max() and second.min() < second.max():
            products += float(np.vdot(noise, next_noise))
            squares += spread
            count += noise.size
    if not count:
        return Estimate(0.0, math.inf)
    return Estimate(products / squares, math.sqrt(CORRELATED / count))
