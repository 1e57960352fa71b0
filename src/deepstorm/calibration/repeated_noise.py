"""Noise that a frame has in common with the next one, which no camera gives."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, Float32Array, Float64Array
from deepstorm.structures import Estimate

# No light passes this filter, along both axes, and the noise of any camera does.
_TAPS = np.array([1.0, -6.0, 15.0, -20.0, 15.0, -6.0, 1.0]) / math.sqrt(924)
# Neighbouring outputs of the filter are correlated: this many are worth one.
_CORRELATED = 10.0


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
        noise, next_noise = (_noise(frame - mean) for frame in (first, second))
        spread = math.sqrt(float(np.vdot(noise, noise)) * float(np.vdot(next_noise, next_noise)))
        if spread > 0 and first.min() < first.max() and second.min() < second.max():
            products += float(np.vdot(noise, next_noise))
            squares += spread
            count += noise.size
    if not count:
        return Estimate(0.0, math.inf)
    return Estimate(products / squares, math.sqrt(_CORRELATED / count))


def _noise(frame: AnyArray) -> Float32Array:
    """Return what alternates from pixel to pixel."""
    rest = np.asarray(frame, np.float32)
    for axis in (0, 1):
        rest = ndimage.correlate1d(rest, _TAPS, axis=axis, mode="mirror")
    return rest
