"""Lines of a sensor that are brighter or darker than what is beside them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepstorm.arrays import BoolArray, Float64Array

# A line is faulty in stretches of so many pixels, of which this part have sharp edges.
STRETCH_PX, MOST = 15, 0.75
# As many lines side by side may be faulty.
WIDEST_PX = 3
# From one pixel to the next a spot of 0.8 pixels changes by half of its light, a fault by all.
SHARP = 0.75
# Standard deviations of chance by which a line stands out.
NOISE_MULTIPLE = 8.0
AROUND_PX = 13


def find_faulty_lines(mean: Float64Array) -> BoolArray:
    """Find stretches of rows and columns with sharper edges than optics draw.

    Parameters
    ----------
    mean : ndarray, shape (y, x)
        Of sample frames over time.

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    if min(mean.shape) < AROUND_PX:
        return np.zeros(mean.shape, bool)
    return _columns(mean) | _columns(mean.T).T


def _columns(mean: Float64Array) -> BoolArray:
    """Find stretches of columns.

    Each row is looked at by itself: the median of several rows would make sharp edges of a
    filament that runs askew.
    """
    above = mean - ndimage.median_filter(mean, (1, AROUND_PX), mode="nearest")
    steps = np.diff(mean, axis=1)
    noise = max(float(np.median(np.abs(steps))) / 0.6745, 1e-12)
    faulty = np.zeros(mean.shape, bool)
    for width in range(1, WIDEST_PX + 1):
        into, out = steps[:, :-width], steps[:, width:]
        spans = [slice(1 + k, mean.shape[1] - width + k) for k in range(width)]
        height = np.abs(np.stack([above[:, span] for span in spans])).max(axis=0)
        is_sharp = np.minimum(np.abs(into), np.abs(out)) > SHARP * height
        is_sharp &= height > NOISE_MULTIPLE * noise
        for sign in (1, -1):
            here = is_sharp & (np.sign(into) == sign) & (np.sign(out) == -sign)
            found = _in_stretches(here)
            for span in spans:
                faulty[:, span] |= found
    return faulty


def _in_stretches(here: BoolArray) -> BoolArray:
    """Return the pixels of stretches of a column in which nearly all pixels are marked."""
    share = ndimage.uniform_filter1d(here.astype(np.float32), STRETCH_PX, axis=0, mode="nearest")
    return np.asarray(ndimage.maximum_filter1d(share > MOST, STRETCH_PX, axis=0, mode="nearest"))
