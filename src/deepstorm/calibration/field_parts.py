"""Parts of the field: without light, without a signal at all, or on another level than the rest.

A field stop, the gap of an image splitter, a mask drawn in another program, a scale bar burnt in, a
line of the sensor that is dead or hot: whatever optics cannot have drawn, because its edges are
sharper than a spot or because nothing changes in it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, Float32Array, Float64Array
from deepstorm.structures import Estimate

# Fewer frames do not tell a pixel that is stuck from one that has had no photon yet.
FEWEST_FRAMES = 8
# As many tell on what level a pixel is.
MOST_FRAMES = 64
# Probability, for the whole field, that good pixels have one value in all frames.
STUCK_CHANCE = 1e-6
# Two levels are parts if they are apart by so many standard deviations of a pixel's noise: dense
# structures have levels, too,
APART = 2.4
# if so little of the field, and of the lesser part, lies between them, as at a sharp edge,
BETWEEN_SHARE, BETWEEN_OF_LESSER, BETWEEN = 0.12, 0.4, 0.25
# and if so much of each is left when what is narrower than this is taken away: structures are
# narrow, parts are not.
KEPT_SHARE, NARROW_DARK_PX, NARROW_PX = 0.6, 5, 9
SMALLEST_SHARE = 0.03
SMOOTHING_PX = 5
# Levels are looked for among all pixels, among the darker ones, and among the darkest.
LEVELS = 3
# Where more of the field says nothing there are no two parts of the rest.
MOST_STUCK = 0.9
# Light spreads so far from a bright part into a dark one.
FROM_EDGE_PX = 3
# and a part without its edge is at least this much of it.
LEAST_INNER = 0.2
# A band is darker than the rest by so many standard deviations of a pixel's noise; so many of a
# row's pixels are, and so much of the field at most; and within a few pixels light rises by this
# part of what it is elsewhere.
DARKER, MOST_OF_ROW, MOST_BANDS, SHARP = 0.8, 0.9, 0.3, 0.6
NARROWEST_BAND_PX = 3
# What a part is like near its edge is the mean of squares as wide as this.
CONTINUED_PX = 7
# Pixels side by side change together by more than so many standard deviations where emitters are,
# and by more than this part of what they do elsewhere.
TOGETHER, BLINKS = 4.0, 0.02


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
    """Find the darker of two parts of a field with a sharp edge between them, or dark bands.

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
    fine, noise = _quiet_level(frames, stuck)
    level = ndimage.median_filter(fine, SMOOTHING_PX, mode="nearest")
    least = APART * noise
    left = ~stuck
    for _ in range(LEVELS):
        # A bright structure may be farther from the background than that is from the dark.
        split, is_apart = _split(level[left], least)
        dark: BoolArray = left & (level <= split)
        if is_apart and _are_parts(dark, stuck):
            return dark
        left = dark
    return _dark_bands(fine, DARKER * noise) if len(frames) >= FEWEST_FRAMES else nowhere


def _dark_bands(level: Float64Array, least: float) -> BoolArray:
    """Return rows and columns darker by so much than nearly all of the rest: a splitter's gaps.

    They may be too narrow to be a part of the field, and little darker than a faint background.
    """
    bands = np.zeros(level.shape, bool)
    for along_rows, found in ((level, bands), (level.T, bands.T)):
        found[_dark_rows(along_rows, least)] = True
    return bands


def _dark_rows(level: Float64Array, least: float) -> BoolArray:
    """Tell which rows are darker by so much than nearly all others, with a sharp edge."""
    rows = np.median(level, axis=1)
    usual = rows > np.quantile(rows, MOST_BANDS)
    if not usual.any():
        return usual
    lit = float(np.quantile(level[usual], 1 - MOST_OF_ROW))
    dark: BoolArray = (level < lit - least).mean(axis=1) > MOST_OF_ROW
    groups, count = ndimage.label(dark)
    for number in range(1, count + 1):
        band = groups == number
        around = ndimage.binary_dilation(band, iterations=FROM_EDGE_PX + 1) & ~band
        darkest = rows[band].min()
        rise = rows[around].max(initial=-math.inf) - darkest
        is_narrow = band.sum() < NARROWEST_BAND_PX  # a line of the sensor, to be filled in
        if is_narrow or rise < SHARP * (np.median(rows[usual]) - darkest):
            dark &= ~band
    return dark


def _split(levels: Float64Array, least: float) -> tuple[float, bool]:
    """Return what separates two levels best, and whether hardly anything lies between the two."""
    if not levels.size or np.ptp(levels) < least:
        return -math.inf, False
    split = _otsu(levels)
    low, high = levels[levels <= split], levels[levels > split]
    if not low.size or not high.size:
        return -math.inf, False
    below, above = float(np.median(low)), float(np.median(high))
    between = np.abs(levels - (above + below) / 2) < BETWEEN * (above - below)
    most = min(BETWEEN_SHARE * levels.size, BETWEEN_OF_LESSER * min(low.size, high.size))
    return split, bool(above - below > least and between.sum() < most)


def _are_parts(dark: BoolArray, stuck: BoolArray) -> bool:
    """Tell whether dark pixels, and the others, are more than lines."""
    lit = ~dark | stuck
    is_part = min(dark.mean(), lit.mean()) > SMALLEST_SHARE
    return is_part and _is_wide(dark | stuck, NARROW_DARK_PX) and _is_wide(lit, NARROW_PX)


def is_unlit(frames: AnyArray, part: BoolArray, rest: BoolArray) -> bool:
    """Tell whether hardly anything blinks in a part of the field, going by the rest.

    Where emitters blink, neighbouring pixels change together.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames.
    part, rest : ndarray of bool, shape (y, x)
    """
    if len(frames) < FEWEST_FRAMES:
        return False
    changes = np.asarray(frames, np.float32) - frames.mean(axis=0, dtype=np.float32)
    inside, outside = (_inner(each) for each in (part, rest))
    together = [_together(changes, inside, axis) for axis in (0, 1)]
    usual = [_together(changes, outside, axis) for axis in (0, 1)]
    return all(
        here.value < max(BLINKS * there.value, TOGETHER * here.uncertainty)
        for here, there in zip(together, usual, strict=True)
    )


def _inner(part: BoolArray) -> BoolArray:
    """Return a part without its edge, if there is more to it."""
    for width_px in range(FROM_EDGE_PX, 0, -1):
        inner: BoolArray = ndimage.binary_erosion(part, iterations=width_px, border_value=1)
        if inner.sum() > LEAST_INNER * part.sum():
            return inner
    return part


def _together(changes: Float32Array, part: BoolArray, axis: int) -> Estimate:
    """Return how much neighbours along an axis of the field change together."""
    first, other = [slice(None)] * 2, [slice(None)] * 2
    first[axis], other[axis] = slice(None, -1), slice(1, None)
    pairs = part[tuple(first)] & part[tuple(other)]
    if not pairs.any():
        return Estimate(0.0, 0.0)
    product = changes[:, *first][:, pairs] * changes[:, *other][:, pairs]
    error = float(product.std()) / np.sqrt(product.size)
    return Estimate(float(product.mean()), float(error))


def _quiet_level(frames: AnyArray, stuck: BoolArray) -> tuple[Float64Array, float]:
    """Return the level of each pixel where hardly an emitter is on, and a pixel's noise."""
    few = frames[:: max(len(frames) // MOST_FRAMES, 1)]
    quarter, middle = np.percentile(few, [25, 50], axis=0)
    level = np.where(stuck, np.median(quarter[~stuck]), quarter)
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


def continued(image: Float64Array, part: BoolArray) -> Float64Array:
    """Return an image that goes on beyond a part of the field as it is near the edge of that.

    Parameters
    ----------
    image : ndarray, shape (y, x)
    part : ndarray of bool, shape (y, x)
        Not empty. Right at its edge light may fall off, and is not asked.
    """
    inner = _inner(part)
    weight = ndimage.uniform_filter(inner.astype(float), CONTINUED_PX, mode="constant")
    total = ndimage.uniform_filter(np.where(inner, image, 0.0), CONTINUED_PX, mode="constant")
    nearest = ndimage.distance_transform_edt(~inner, return_distances=False, return_indices=True)
    mean = total / np.maximum(weight, 1e-9)
    return np.where(part, image, mean[tuple(np.asarray(nearest))])


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
