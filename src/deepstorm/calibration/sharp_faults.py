"""Groups of a sensor's pixels with sharper edges than optics draw."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepstorm.arrays import BoolArray, FloatArray

# From one pixel to the next, a spot of 0.8 pixels changes by half of its height; a fault by all.
SHARP = 0.75
# So much of a fault's edge is as sharp as that: the rest may lie beside emitters.
MOST_OF_THE_EDGE = 0.7
# Standard deviations of chance by which a fault stands out.
NOISE_MULTIPLE = 8.0
# What is usual is taken from so many pixels around, more than half of which are good.
AROUND_PX = 13
# What a spot's edge is compared with is the span of light within so many pixels.
HEIGHT_PX = 5
# Groups at the border have at least so many pixels.
FEWEST_AT_BORDER = 4
# Fewer frames are as uneven as the light that happens to be on.
FEWEST_FRAMES = 8


def find_sharp_faults(frames: FloatArray, known: BoolArray) -> BoolArray:
    """Find groups of bright or dark pixels that no optics could have drawn, blocks above all.

    Lines that are hardly brighter or darker than the rest, among emitters, are found by their
    length: see :mod:`deepstorm.calibration.line_faults`.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames.
    known : ndarray of bool, shape (y, x)
        Pixels of which it is known that they say nothing, or are on another level.

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    if len(frames) < FEWEST_FRAMES or min(known.shape) < AROUND_PX or known.all():
        return np.zeros(known.shape, bool)
    # Without its brightest frame: a cosmic ray is no fault of the pixel.
    total = frames.sum(axis=0, dtype=np.float64) - frames.max(axis=0)
    mean = total / (len(frames) - 1)
    mean[known] = np.median(mean[~known])
    above = mean - ndimage.median_filter(mean, AROUND_PX, mode="mirror")
    steps = [np.abs(np.diff(mean, axis=axis)) for axis in (0, 1)]
    noise = float(np.median(np.concatenate([step.ravel() for step in steps]))) / 0.6745
    error = frames.std(axis=0, dtype=np.float64) / np.sqrt(len(frames))
    least = NOISE_MULTIPLE * np.maximum(ndimage.maximum_filter(error, 3), max(noise, 1e-12))
    span = ndimage.maximum_filter(mean, HEIGHT_PX) - ndimage.minimum_filter(mean, HEIGHT_PX)
    found = _sharp_groups(above, span, least) | _sharp_groups(-above, span, least)
    return found & ~ndimage.binary_dilation(known)


def _sharp_groups(above: FloatArray, span: FloatArray, least: FloatArray) -> BoolArray:
    """Find groups of bright pixels whose edges have nearly the whole span of light around them."""
    height = ndimage.maximum_filter(above, HEIGHT_PX, mode="nearest")
    inside = (above > least) & (above > height / 2)
    groups, count = ndimage.label(inside)
    if not count:
        return np.zeros(above.shape, bool)
    edge, sharp = np.zeros(count + 1), np.zeros(count + 1)
    for axis in (0, 1):
        one = (slice(None),) * axis
        for here, beside in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            first, other = (*one, here), (*one, beside)
            is_edge = inside[first] & (groups[first] != groups[other])
            drop = above[first] - above[other]
            is_sharp = is_edge & (drop > SHARP * span[first])
            edge += np.bincount(groups[first][is_edge], minlength=count + 1)
            sharp += np.bincount(groups[first][is_sharp], minlength=count + 1)
    faulty = (edge > 0) & (sharp > MOST_OF_THE_EDGE * edge)
    faulty[0] = False
    # Of a spot beyond the border there is a flank alone, which is steep.
    at_border = np.unique(np.concatenate([groups[0], groups[-1], groups[:, 0], groups[:, -1]]))
    few = np.bincount(groups.ravel(), minlength=count + 1) < FEWEST_AT_BORDER
    faulty[at_border] &= ~few[at_border]
    return np.asarray(faulty[groups])
