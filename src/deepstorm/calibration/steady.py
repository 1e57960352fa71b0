"""Spots that do not blink: beads, dust, emitters that are always on.

Their light fluctuates no more than its own shot noise. A calibration that took them for emitters
that blink would find these dim and many.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepstorm.arrays import BoolArray, Float32Array, Float64Array

# With fewer frames, hardly anything tells what blinks.
FEW_FRAMES = 8
# A pixel is of a spot if it has so much more light than is usual around it, by so many standard
# errors.
BRIGHTER_BY, CERTAIN = 2.0, 10.0
# The spot is steady if, beyond shot noise, that light adds less than this multiple of it to the
# variance. Emitters that blink add a tenth of their photons or more.
MOST_EXCESS = 0.5
# In widths of a spot: the blocks of which the median is what is usual around, and how far a spot's
# flanks go on; and how many blocks to a side.
BLOCK, FLANKS = 2.0, 3.0
BLOCKS_AROUND = 7
# More of the field than this is no spot.
MOST_OF_THE_FIELD = 0.25


def find_steady_spots(photons: Float32Array, sigma_px: float) -> BoolArray:
    """Find pixels with light of spots that do not blink, shape (y, x).

    Parameters
    ----------
    photons : ndarray of float32, shape (frame, y, x)
        Frames in effective photons, whose noise has a variance as large as the mean.
    sigma_px : float
        Width of the PSF.
    """
    count, *shape = photons.shape
    if count < FEW_FRAMES:
        return np.zeros(shape, bool)
    mean = photons.mean(axis=0, dtype=np.float64)
    beyond_noise = photons.var(axis=0, ddof=1, dtype=np.float64) - mean
    usual, usual_beyond = (_usual(each, sigma_px) for each in (mean, beyond_noise))
    level = np.maximum(usual, 1.0)
    is_bright = mean - usual > BRIGHTER_BY * level + CERTAIN * np.sqrt(level / count)
    added, light = (
        ndimage.uniform_filter(each, 3) for each in (beyond_noise - usual_beyond, mean - usual)
    )
    spots: BoolArray = is_bright & (added < MOST_EXCESS * light)
    if not spots.any():
        return spots
    flanks: BoolArray = ndimage.distance_transform_edt(~spots) <= FLANKS * sigma_px
    return flanks if flanks.mean() < MOST_OF_THE_FIELD else np.zeros_like(spots)


def _usual(image: Float64Array, sigma_px: float) -> Float64Array:
    """Return the median of the blocks around each pixel, shape (y, x)."""
    side = int(np.ceil(BLOCK * sigma_px))
    blocks = ndimage.uniform_filter(image, side)[side // 2 :: side, side // 2 :: side]
    if blocks.size == 0:
        return np.full(image.shape, np.median(image))
    median = ndimage.median_filter(blocks, BLOCKS_AROUND, mode="mirror")
    rows, columns = (
        np.minimum(np.arange(length) // side, number - 1)
        for length, number in zip(image.shape, median.shape, strict=True)
    )
    usual: Float64Array = median[np.ix_(rows, columns)]
    return usual


def covered(frames: Float32Array, spots: BoolArray) -> Float32Array:
    """Return frames in which other parts of the same frames cover the spots.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
    spots : ndarray of bool, shape (y, x)

    Returns
    -------
    ndarray of float32, shape (frame, y, x)
        Pixels for which no other part is free of spots are as they were.
    """
    if not spots.any():
        return frames
    result, left = frames.copy(), spots.copy()
    for step in _steps(spots.shape):
        if not left.any():
            break
        free = left & ~np.roll(spots, step, axis=(0, 1))
        result[:, free] = np.roll(frames, step, axis=(1, 2))[:, free]
        left &= ~free
    return result


def _steps(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return ways to move a field around itself: by halves, thirds and quarters of its sides."""
    height, width = shape
    parts = (2, 3, 4)
    return [(height // part, 0) for part in parts] + [(0, width // part) for part in parts]
