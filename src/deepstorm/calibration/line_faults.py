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
# Usual differences between neighbours by which a line stands out in each row.
NOISE_MULTIPLE = 3.0


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
    if min(mean.shape) < STRETCH_PX:
        return np.zeros(mean.shape, bool)
    return _columns(mean) | _columns(mean.T).T


def _columns(mean: Float64Array) -> BoolArray:
    """Find stretches of columns.

    Each row is looked at by itself: the median of several rows would make sharp edges of a
    filament that runs askew.
    """
    steps = np.diff(mean, axis=1)
    noise = max(float(np.median(np.abs(steps))) / 0.6745, 1e-12)
    # The span of the two pixels on either side of each step.
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(mean, ((0, 0), (1, 1)), "edge"), 4, 1)
    span = windows.max(axis=2) - windows.min(axis=2)
    is_sharp = np.abs(steps) > np.maximum(SHARP * span, NOISE_MULTIPLE * noise)
    faulty = np.zeros(mean.shape, bool)
    for width in range(1, WIDEST_PX + 1):
        into, out = steps[:, :-width], steps[:, width:]
        both = is_sharp[:, :-width] & is_sharp[:, width:]
        for sign in (1, -1):
            here = both & (np.sign(into) == sign) & (np.sign(out) == -sign)
            found = _in_stretches(here)
            for k in range(width):
                faulty[:, 1 + k : mean.shape[1] - width + k] |= found
    return faulty


def _in_stretches(here: BoolArray) -> BoolArray:
    """Return the pixels of stretches of a column in which nearly all pixels are marked."""
    share = ndimage.uniform_filter1d(here.astype(np.float32), STRETCH_PX, axis=0, mode="nearest")
    return np.asarray(ndimage.maximum_filter1d(share > MOST, STRETCH_PX, axis=0, mode="nearest"))
