"""Faulty pixels of a camera, found in a raw movie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from deepstorm.arrays import BoolArray, Float32Array, FloatArray, IntArray
from deepstorm.calibration.checkerboard import filtered

# The brightest neighbour of any real spot's centre has at least half of its light.
NEIGHBOUR_RATIO = 3.0
# At a border the neighbourhood is one-sided and may be bright as a whole; in a corner the flank of
# a spot beyond it falls steeply along both sides.
BORDER_RATIO = 6.0
CORNER_RATIO = 20.0
NOISE_MULTIPLE = 10.0
# With fewer frames, time alone does not tell a fault from a photon or two.
FEW_FRAMES = 8
# With fewer frames than these, nothing tells how steady a pixel is.
FEWEST_FRAMES = 4
# A pixel as good as those around it is as odd as a dead one with this probability at most.
DEAD_CHANCE = 1e-8
# A dead pixel has less than this part of its steadiest neighbour's variance, and noise alone gives
# so little of it with this probability. No gap in light has less than the second part.
DEAD_RATIO, VOID_RATIO = 0.1, 0.02
STEADY_CHANCE = 1e-5
# Pixels of more than so many times the variance of the steadiest quarter get light of their own.
LIT_RATIO = 4.0
# A pixel that is below all of its neighbours by so many times what chance and the differences
# between pixels explain is no good one; by the second, it may be one if it is not steady.
DARK_MULTIPLE, DARKER_MULTIPLE = 6.0, 2.0
# The former has less than this part of the usual variance around it: it gets less light.
DARK_RATIO = 0.5
# Neighbours are hardly ever further from each other by chance than so many standard deviations.
RANGE_MULTIPLE = 4.5
# How fast the weight of good pixels falls with their distance from a faulty one.
REPAIR_SIGMA_PX = 0.8
# So many pixels at once are compared with those around them.
AT_ONCE = 4096

_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
# Steps to the 24 pixels around one.
_STEPS = np.array([(y, x) for y in range(-2, 3) for x in range(-2, 3) if (y, x) != (0, 0)]).T


@dataclass(frozen=True, slots=True)
class HotPixels:
    """Pixels that are bright in every frame without their neighbours being so.

    Parameters
    ----------
    mask : ndarray of bool, shape (y, x)
    """

    mask: BoolArray

    def repair(self, frames: FloatArray | IntArray) -> Float32Array:
        """Fill in faulty pixels from the good ones among the 24 around them, near ones most.

        Parameters
        ----------
        frames : ndarray, shape (frame, y, x)
            Left as they are.

        Returns
        -------
        ndarray of float32, shape (frame, y, x)
            Pixels without a good one around them are as they were.
        """
        repaired = np.array(frames, dtype=np.float32)
        height, width = self.mask.shape
        y, x = np.nonzero(self.mask)
        near_y, near_x = y[:, None] + _STEPS[0], x[:, None] + _STEPS[1]
        there = (near_y >= 0) & (near_y < height) & (near_x >= 0) & (near_x < width)
        near_y, near_x = np.where(there, near_y, y[:, None]), np.where(there, near_x, x[:, None])
        weights = np.exp(-0.5 * (_STEPS**2).sum(axis=0) / REPAIR_SIGMA_PX**2)
        weights = weights * (there & ~self.mask[near_y, near_x])
        total = weights.sum(axis=1)
        fillable = total > 0
        y, x, near_y, near_x = y[fillable], x[fillable], near_y[fillable], near_x[fillable]
        weights = weights[fillable] / total[fillable, None]
        for frame in repaired:
            frame[y, x] = np.einsum("nk,nk->n", weights, frame[near_y, near_x])
        return repaired


def find_hot_pixels(frames: FloatArray | IntArray) -> HotPixels:
    """Find pixels that stand out of their neighbourhood on average over frames.

    Light reaches a camera through optics and never falls on one pixel alone, nor does its mean over
    frames: a pixel several times as far above the background as its brightest neighbour, by more
    than chance explains, is a fault of the camera. Two faulty pixels side by side pass for light.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames of a movie; with a few frames alone, cosmic rays are found too.
    """
    mean, error = _mean_light(frames)
    neighbourhood = ndimage.median_filter(mean, size=5, mode="mirror")
    # Nothing lies beyond the border: extending it would make a pixel there its own neighbour.
    brightest = ndimage.maximum_filter(mean, footprint=_RING, mode="constant", cval=-np.inf)
    excess = mean - neighbourhood
    noise = np.hypot(error, _spatial_noise(excess, few=len(frames) < FEW_FRAMES))
    if np.asarray(frames).dtype.kind in "ui":
        noise = np.hypot(noise, np.sqrt(1 / 12))  # of rounding to whole counts
    from_neighbours = _neighbour_ratio(mean.shape) * np.clip(brightest - neighbourhood, 0, None)
    return HotPixels(excess > from_neighbours + NOISE_MULTIPLE * noise)


def _neighbour_ratio(shape: tuple[int, ...]) -> FloatArray:
    """Return how far a pixel of light may stand out, in terms of how far its neighbours do."""
    ratio = np.full(shape, BORDER_RATIO)
    ratio[1:-1, 1:-1] = NEIGHBOUR_RATIO
    ratio[np.ix_([0, -1], [0, -1])] = CORNER_RATIO
    return ratio


def find_dead_pixels(frames: FloatArray | IntArray) -> BoolArray:
    """Find pixels that do not respond to light.

    A dead pixel is far steadier than all of its neighbours. That alone is no proof: where light is
    scarce, a good pixel may happen to catch none. So either it stays so dark, or at one value, that
    this is chance in one of a hundred million pixels, whatever the camera and the light; or it is
    darker by far than good pixels differ. Nor is every dark pixel dead: a gap in the light is as
    wide as a spot, so that its neighbours lie in it, too. Two dead pixels side by side pass for
    such a gap.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        With fewer than four, or in a single row or column, none are found.

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    if len(frames) < FEWEST_FRAMES or min(frames.shape[1:]) < 2:
        return np.zeros(frames.shape[1:], bool)
    count = len(frames)
    mean, variance = frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)
    around = ndimage.median_filter(variance, size=5, mode="mirror")
    darkest, steadiest = _least_around(mean), _least_around(variance)
    depth, noise = _depth(mean, darkest, np.maximum(variance, around) / (count - 1))
    dead = (depth > DARK_MULTIPLE * noise) & (variance < DARK_RATIO * around)
    by_chance = 2 * float(special.gammaincinv((count - 1) / 2, STEADY_CHANCE)) / (count - 1)
    ratio = np.where(depth > DARKER_MULTIPLE * noise, DEAD_RATIO, VOID_RATIO)
    is_steady = (mean < darkest) & (variance < np.minimum(ratio, by_chance) * steadiest)
    is_stuck = (variance == 0) & (steadiest > 0)
    for is_odd, one_value in ((is_steady, False), (is_stuck, True)):
        rows, columns = np.nonzero(is_odd & ~dead & np.isfinite(steadiest))
        chance = _log_chance(frames, variance, rows, columns, one_value=one_value)
        dead[rows, columns] = chance < np.log(DEAD_CHANCE)
    return np.asarray(dead)


def _least_around(values: FloatArray) -> FloatArray:
    """Return the least of the up to eight neighbours, infinite where there are none."""
    return ndimage.minimum_filter(values, footprint=_RING, mode="constant", cval=np.inf)


def _depth(
    mean: FloatArray, darkest: FloatArray, squared_error: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how far below its neighbours no light explains a pixel, and the noise of that.

    A gap in the light is as wide as a spot, so that a pixel's neighbours lie in it, too, and differ
    from each other. At a border there may be too few of them to show that.
    """
    between_pixels = float(np.median(np.abs(filtered(mean)))) / 0.6745
    ratio = _neighbour_ratio(mean.shape)
    wide = ndimage.maximum_filter(mean, size=5, mode="mirror")
    brightest = np.where(ratio == NEIGHBOUR_RATIO, -_least_around(-mean), wide)
    slope = np.clip(brightest - darkest - RANGE_MULTIPLE * between_pixels, 0, None)
    return darkest - mean - ratio * slope, np.maximum(np.sqrt(squared_error), between_pixels)


def _log_chance(
    frames: FloatArray | IntArray,
    variance: FloatArray,
    rows: npt.NDArray[np.intp],
    columns: npt.NDArray[np.intp],
    *,
    one_value: bool,
) -> FloatArray:
    """Return the logarithm of the probability that pixels as good as those around are so odd.

    If a pixel is like those around it, any n of all their T values are its own just as likely: all
    n are among the m lowest with the probability C(m, n) / C(T, n), exactly; and among m that are
    equal likewise, for one of the at most T / n values that are there n times. Equal values count,
    so that the lack of a few photons is no evidence.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
    variance : ndarray, shape (y, x)
        Of each pixel over time.
    rows, columns : ndarray of int, shape (pixel,)
        The pixels.
    one_value : bool
        Whether they are odd for having one value alone, rather than low ones.
    """
    if len(rows) > AT_ONCE:
        parts = [slice(start, start + AT_ONCE) for start in range(0, len(rows), AT_ONCE)]
        return np.concatenate(
            [_log_chance(frames, variance, rows[p], columns[p], one_value=one_value) for p in parts]
        )
    y, x, is_alike = _alike(variance, rows, columns)
    highest = frames[:, rows, columns].max(axis=0)[:, None]
    values, count = frames[:, y, x], len(frames)
    is_odd = values == highest if one_value else values <= highest
    among = count + (is_odd & is_alike).sum(axis=(0, 2))
    total = count * (1 + is_alike.sum(axis=1))
    chance = _log_ways(among, count) - _log_ways(total, count)
    return chance + np.log(total / count) if one_value else chance


def _alike(
    variance: FloatArray, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], BoolArray]:
    """Return the 24 pixels around each, and which of them are there and get no other light.

    Returns
    -------
    y, x : ndarray of int, shape (pixel, 24)
    is_alike : ndarray of bool, shape (pixel, 24)
    """
    height, width = variance.shape
    y, x = rows[:, None] + _STEPS[0], columns[:, None] + _STEPS[1]
    there = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = np.where(there, y, rows[:, None]), np.where(there, x, columns[:, None])
    around = np.where(there, variance[y, x], np.inf)
    quarter = (there.sum(axis=1, keepdims=True) - 1) // 4
    limit = LIT_RATIO * np.take_along_axis(np.sort(around, axis=1), quarter, axis=1)
    return y, x, there & (around <= limit)


def _log_ways(total: IntArray, chosen: int) -> FloatArray:
    """Return the logarithm of the number of ways to choose from a total."""
    return np.asarray(-special.betaln(total - chosen + 1, chosen + 1) - np.log(total + 1.0))


def _mean_light(frames: FloatArray | IntArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard error of each pixel above the median of its frame, (y, x) each.

    The error is large where the mean is due to few frames: a cosmic ray or a blink.
    """
    count = len(frames)
    total, squares = np.zeros(frames.shape[1:]), np.zeros(frames.shape[1:])
    for frame in frames:
        light = np.asarray(frame, np.float64) - np.median(frame)
        total += light
        squares += light**2
    mean = total / count
    variance = np.clip(squares / count - mean**2, 0, None) / max(count - 1, 1)
    return mean, np.sqrt(variance)


def _spatial_noise(excess: FloatArray, *, few: bool) -> float:
    """Return the standard deviation between neighbouring pixels.

    Where frames are few it is taken from the largest hundredth of them, because few photons are not
    distributed normally.
    """
    percentile, deviations = (99.0, 2.576) if few else (50.0, 0.6745)
    spread = float(np.percentile(np.abs(excess), percentile)) / deviations
    return max(spread, 1e-6 * float(np.abs(excess).max(initial=0.0)))
