"""Parts of the field: without light, without a signal at all, or on another level than the rest.

A field stop, the gap of an image splitter, a mask drawn in another program, a scale bar burnt in, a
line of the sensor that is dead or hot: whatever optics cannot have drawn, because its edges are
sharper than a spot or because nothing changes in it.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, Float64Array

# Fewer frames do not tell a pixel that is stuck from one that has had no photon yet.
FEWEST_FRAMES = 8
# Probability, for the whole field, that good pixels have one value in all frames.
STUCK_CHANCE = 1e-6
# Two levels are parts if they are apart by so many standard deviations of the noise,
APART = 3.0
# if so little of the field lies between them, a spot's width on either side of the edge,
BETWEEN_SHARE, BETWEEN = 0.12, 0.25
# and if so much of each is left when what is narrower than this is taken away: structures are
# narrow, parts are not.
KEPT_SHARE, NARROW_DARK_PX, NARROW_PX = 0.6, 5, 9
SMALLEST_SHARE = 0.03
SMOOTHING_PX = 5
# Where more of the field says nothing there are no two parts of the rest.
MOST_STUCK = 0.9
# Light spreads so far from a bright part into a dark one.
FROM_EDGE_PX = 3
# Pixels side by side change together by more than so many standard deviations where there is light.
TOGETHER = 4.0


def find_stuck(frames: AnyArray) -> BoolArray:
    """Find pixels that have one value in all frames, alone or in groups, lines and blocks.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames.

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    count = len(frames)
    constant: BoolArray = (frames == frames[0]).all(axis=0)
    if count < FEWEST_FRAMES or not constant.any() or constant.all():
        return np.zeros(frames.shape[1:], bool)
    alive = frames[:, ~constant]
    values = np.unique(frames[0][constant])
    stuck = np.zeros_like(constant)
    for value in values:
        # Good pixels have the value so often; where photons are scarce, 0 nearly always.
        usual = np.mean(alive == value, axis=0)
        often = float(np.quantile(usual, 0.99)) if usual.size else 0.0
        if count * np.log(max(often, 1e-12)) + np.log(constant.size) < np.log(STUCK_CHANCE):
            stuck |= constant & (frames[0] == value)
    return stuck


def find_darker_part(frames: AnyArray, stuck: BoolArray) -> BoolArray:
    """Find the darker of two parts of a field that have a sharp edge between them.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames.
    stuck : ndarray of bool, shape (y, x)
        Pixels that say nothing.

    Returns
    -------
    ndarray of bool, shape (y, x)
        Nowhere where there is one level alone.
    """
    nowhere = np.zeros(stuck.shape, bool)
    if min(stuck.shape) < 2 * NARROW_PX or stuck.mean() > MOST_STUCK:
        return nowhere
    level, noise = _quiet_level(frames, stuck)
    good = level[~stuck]
    if np.ptp(good) < APART * noise:
        return nowhere
    split = _otsu(good)
    low, high = good[good <= split], good[good > split]
    if not low.size or not high.size:
        return nowhere
    below, above = float(np.median(low)), float(np.median(high))
    between = np.abs(good - (above + below) / 2) < BETWEEN * (above - below)
    if above - below < APART * noise or between.mean() > BETWEEN_SHARE:
        return nowhere
    dark: BoolArray = (level <= split) & ~stuck
    lit = ~dark | stuck
    is_part = min(dark.mean(), lit.mean()) > SMALLEST_SHARE
    is_wide = _is_wide(dark | stuck, NARROW_DARK_PX) and _is_wide(lit, NARROW_PX)
    return dark if is_part and is_wide else nowhere


def is_unlit(frames: AnyArray, part: BoolArray) -> bool:
    """Tell whether nothing blinks in a part of the field: pixels there do not change together.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames.
    part : ndarray of bool, shape (y, x)
    """
    inner = ndimage.binary_erosion(part, iterations=FROM_EDGE_PX, border_value=1)
    if len(frames) < FEWEST_FRAMES or not inner.any():
        return False
    changes = np.asarray(frames, np.float32) - frames.mean(axis=0, dtype=np.float32)
    changes /= np.maximum(changes.std(axis=0), np.float32(1e-6))
    together = []
    for axis in (0, 1):
        first, other = ([slice(None), slice(None)] for _ in range(2))
        first[axis], other[axis] = slice(None, -1), slice(1, None)
        pairs = inner[tuple(first)] & inner[tuple(other)]
        product = (changes[:, *first] * changes[:, *other])[:, pairs]
        if not product.size:
            return False
        together.append(float(product.mean()) * np.sqrt(product.size))
    return bool(min(together) < TOGETHER)


def _quiet_level(frames: AnyArray, stuck: BoolArray) -> tuple[Float64Array, float]:
    """Return the level of each pixel where hardly an emitter is on, and a pixel's noise."""
    quarter = np.percentile(frames, 25, axis=0)
    filled = np.where(stuck, np.median(quarter[~stuck]), quarter)
    level = ndimage.median_filter(filled, SMOOTHING_PX, mode="nearest")
    middle = np.median(frames, axis=0)
    noise = float(np.median((middle - quarter)[~stuck])) / 0.6745
    return np.asarray(level, np.float64), max(noise, 1e-12)


def _otsu(values: Float64Array) -> float:
    """Return the threshold that separates two classes best (Otsu 1979)."""
    counts, edges = np.histogram(values, 128)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    share = below / below[-1]
    mean = sums[-1] / below[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean * share - sums / below[-1]) ** 2 / (share * (1 - share))
    best = between >= np.nanmax(between[:-1]) * (1 - 1e-9)
    return float(np.mean(edges[1:][best & np.isfinite(between)]))


def _is_wide(part: BoolArray, narrow_px: int) -> bool:
    """Tell whether a part is more than lines, which structures are made of."""
    padded = np.pad(part, narrow_px, mode="edge")
    opened = ndimage.binary_opening(padded, np.ones((narrow_px, narrow_px), bool))
    inner = slice(narrow_px, -narrow_px)
    return float(opened[inner, inner].sum()) > KEPT_SHARE * float(part.sum())


def largest_rectangle(good: BoolArray) -> tuple[slice, slice]:
    """Return the rows and columns of the largest rectangle of good pixels.

    Parameters
    ----------
    good : ndarray of bool, shape (y, x)
    """
    heights = np.zeros(good.shape[1], np.int64)
    best, area = (slice(0, 0), slice(0, 0)), 0
    for bottom, row in enumerate(good):
        heights = np.where(row, heights + 1, 0)
        stack: list[tuple[int, int]] = []  # start and height of rectangles that are still open
        for column, height in enumerate([*heights.tolist(), 0]):
            start = column
            while stack and stack[-1][1] >= height:
                start, tall = stack.pop()
                if tall * (column - start) > area:
                    area = tall * (column - start)
                    best = slice(bottom + 1 - tall, bottom + 1), slice(start, column)
            stack.append((start, height))
    return best
