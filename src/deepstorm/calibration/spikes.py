"""Single bright pixels of single frames: cosmic rays, and pixels that flicker."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import AnyArray, Float32Array, FloatArray

# The third brightest neighbour of any real spot's brightest pixel has half of its light or more, if
# the spot has a standard deviation of 0.8 pixels or more; two of a ray's neighbours may be hit too.
THIRD_RATIO = 5.0
# Along a border, where a spot beyond it may fall off steeply, the second brightest counts.
BORDER_RATIO = 12.0
# Standard deviations of the dark's noise by which a spike stands out at least.
NOISE_MULTIPLE = 15.0

_STEPS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def without_spikes(frames: Float32Array, noise_adu: float) -> Float32Array:
    """Replace pixels that are too bright for their surroundings to have got light by optics.

    Light reaches a camera through optics and never falls on one pixel of a frame alone, nor on a
    short row of them. What is replaced becomes the median of its eight neighbours.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
        Changed in place where there are spikes.
    noise_adu : float
        Standard deviation of the noise where it is dark.

    Returns
    -------
    ndarray of float32, shape (frame, y, x)
    """
    if not frames.size:
        return frames
    level = np.median(frames[:, ::2, ::2], axis=(1, 2))[:, None, None].astype(np.float32)
    number, y, x = np.nonzero(frames > level + np.float32(NOISE_MULTIPLE * noise_adu))
    if not len(number):
        return frames
    values, base = frames[number, y, x], level[number, 0, 0]
    around = _neighbours(frames, number, y, x)
    ranked = np.sort(around, axis=0)
    inside = np.isfinite(ranked[0])
    third, second = ranked[-3], ranked[-2]
    near = np.where(inside, third, second) - base
    ratio = np.where(inside, THIRD_RATIO, BORDER_RATIO).astype(np.float32)
    is_spike = values - base > ratio * np.maximum(near, 0) + np.float32(NOISE_MULTIPLE * noise_adu)
    if not is_spike.any():
        return frames
    spared = np.where(np.isfinite(around), around, np.nan)[:, is_spike]
    frames[number[is_spike], y[is_spike], x[is_spike]] = np.nanmedian(spared, axis=0)
    return frames


def _neighbours(frames: FloatArray, number: AnyArray, y: AnyArray, x: AnyArray) -> Float32Array:
    """Return the eight neighbours of some pixels, shape (8, pixel); minus infinity beyond borders.

    A corner has three, so that its second brightest is there.
    """
    height, width = frames.shape[1:]
    around = np.empty((len(_STEPS), len(y)), np.float32)
    for row, (step_y, step_x) in zip(around, _STEPS, strict=True):
        at_y, at_x = y + step_y, x + step_x
        there = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
        found = frames[number, np.clip(at_y, 0, height - 1), np.clip(at_x, 0, width - 1)]
        row[:] = np.where(there, found, -np.inf)
    return around
