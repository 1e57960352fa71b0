"""Frames less what is expected of them: sums that tell whether the rest is noise.

What a frame is expected to be is the background and the light of the emitters that were found in
it, through the PSF. If gain, zero, PSF and emitters are right, the rest divided by the standard
deviation of its noise has the variance 1, and nothing in common with the pixel beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deepstorm.arrays import BoolArray, Float32Array, Float64Array, FloatArray, IntArray
from deepstorm.reconstruction.goodness import BLOCK_PX, LAGS, STATISTICS, FitSums
from deepstorm.reconstruction.spot_shapes import add_spots

# Frames whose number is a multiple of this are looked at: few, and seldom in step with anything.
EVERY = 5
# Variance of a pixel, in photons squared, that is expected at least, as in photometry.
LEAST_VARIANCE = 0.1
# Pixels with more light of emitters than this part of the noise's standard deviation are near them.
NEAR = 0.25
# What stands out by so many standard deviations through the PSF is an emitter that was missed; its
# light reaches as far as this.
MISSED = 4.0
MISSED_REACH_SIGMA = 2.5
# Median of the size of a normal deviation; every so many of them tell it well enough.
NORMAL_MEDIAN = 0.6745
THINNED = 7
# Filters of the same size for what alternates from one pixel to the next, and for what does not.
ALTERNATING = (1.0, -3.0, 3.0, -1.0)
SMOOTH = (1.0, 3.0, 3.0, 1.0)
# Mean size of white noise of variance 1 after two of these filters, whose squares sum to 20.
SIZE_OF_NOISE = 20 * math.sqrt(2 / math.pi)


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """Frames, and what is expected of them.

    Parameters
    ----------
    numbers : ndarray of int, shape (frame,)
        Which frames of the movie they are.
    photons : ndarray of float32, shape (frame, y, x)
        The frames in effective photons.
    expected : ndarray of float32, shape (frame, y, x)
        Background and emitters.
    background : ndarray of float64, shape (y, x)
    frame : ndarray of int, shape (n,)
        Frame of each emitter, from 0 within these.
    x_px, y_px : ndarray, shape (n,)
        Positions in camera pixels from the outer corner of the top-left pixel.
    emitter_photons : ndarray, shape (n,)
        Light of each in effective photons.
    """

    numbers: IntArray
    photons: Float32Array
    expected: Float32Array
    background: Float64Array
    frame: IntArray
    x_px: FloatArray
    y_px: FloatArray
    emitter_photons: FloatArray

    def checked(self) -> Explained:
        """Return those of the frames that are looked at."""
        chosen = is_checked(self.numbers)
        found = chosen[self.frame]
        return Explained(
            numbers=self.numbers[chosen],
            photons=self.photons[chosen],
            expected=self.expected[chosen],
            background=self.background,
            frame=(np.cumsum(chosen) - 1)[self.frame[found]],
            x_px=self.x_px[found],
            y_px=self.y_px[found],
            emitter_photons=self.emitter_photons[found],
        )


def is_checked(numbers: IntArray) -> BoolArray:
    """Tell which frames are looked at, by their numbers in the movie."""
    return np.asarray(numbers % EVERY == 0, bool)


def residual_sums(frames: Explained, sigma_px: float, left_out: BoolArray | None = None) -> FitSums:
    """Return how well frames are explained.

    Parameters
    ----------
    frames : Explained
    sigma_px : float
        Standard deviation of the PSF in camera pixels.
    left_out : ndarray of bool, shape (y, x) or (frame, y, x), optional
        Pixels that say nothing: faulty ones, for instance.
    """
    sums = FitSums.zeros(frames.photons.shape[1:])
    shape = frames.photons.shape
    out = np.broadcast_to(False if left_out is None else left_out, shape)
    sums.frames, sums.variances = frames.numbers.astype(np.int64), np.zeros(len(frames.numbers))
    for index in range(shape[0]):
        used = ~out[index]
        residual = np.where(used, frames.photons[index] - frames.expected[index], np.float32(0))
        variance = np.maximum(frames.expected[index], np.float32(LEAST_VARIANCE))
        light = frames.expected[index] - frames.background.astype(np.float32)
        over, under = _statistics(residual, variance, light, used, sigma_px)
        sums.over += over
        sums.under += under
        moments = (over * over, over * under, under * under)
        sums.squares += [moment.sum(axis=(1, 2)) for moment in moments]
        total = max(float(under[0].sum()), LEAST_VARIANCE)
        sums.variances[index] = float(over[0].sum()) / total
        here = np.flatnonzero(frames.frame == index)
        columns = (frames.x_px[here], frames.y_px[here], frames.emitter_photons[here])
        add_spots(sums, residual, used / variance, *columns, sigma_px)
    return sums


def _statistics(
    residual: Float32Array,
    variance: Float32Array,
    light: Float32Array,
    used: BoolArray,
    sigma_px: float,
) -> tuple[Float64Array, Float64Array]:
    """Return numerators and denominators of all statistics in each block of a frame."""
    noise = np.sqrt(variance)
    score = (residual / noise).astype(np.float32, copy=False)
    near = light > np.float32(NEAR) * noise
    away = used & ~near
    missed = _missed(np.where(away, score, np.float32(0)), away, sigma_px)
    away &= ~missed
    near &= used & ~missed
    square = score * score
    quiet = np.where(away, score, np.float32(0))
    over = np.zeros((len(STATISTICS), *residual.shape), np.float32)
    under = np.zeros_like(over)
    pairs = {
        "all": (residual * residual * used, variance * used),
        "near": (square * near, near),
        "away": (square * away, away),
        "offset": (quiet, away),
        "light": (residual * used, light * used),
        "level": (variance * away, away),
    }
    for at, name in enumerate(STATISTICS):
        if name in pairs:
            over[at], under[at] = pairs[name]
        elif name in LAGS:
            first, second = _apart(LAGS[name])
            here = (at, *first)
            over[here] = quiet[first] * quiet[second]
            under[here] = away[first] & away[second]
    if min(residual.shape) >= len(SMOOTH):
        finest, fine = _alternating(score)
        rows, columns = slice(1, finest.shape[0] + 1), slice(1, finest.shape[1] + 1)
        whole = _whole(used & ~missed)
        quiet = whole & _whole(light < variance / 2)
        for name, parts in {
            "finest": (finest * whole, fine * whole),
            "quiet": (finest * quiet, fine * quiet),
            "noise": (finest * quiet, np.float32(SIZE_OF_NOISE) * quiet),
        }.items():
            at = STATISTICS.index(name)
            over[at, rows, columns], under[at, rows, columns] = parts
    return _by_block(over), _by_block(under)


def _alternating(score: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return how large is what alternates from pixel to pixel along both axes, and along one."""
    along_both = np.abs(_filtered(score, ALTERNATING, ALTERNATING))
    along_one = np.abs(_filtered(score, SMOOTH, ALTERNATING))
    along_one += np.abs(_filtered(score, ALTERNATING, SMOOTH))
    along_one *= np.float32(0.5)
    return along_both, along_one


def _filtered(
    image: Float32Array, along_y: tuple[float, ...], along_x: tuple[float, ...]
) -> Float32Array:
    """Sum neighbours with weights, where all of them are there."""
    for weights in (along_y, along_x):
        length = image.shape[0] - len(weights) + 1
        total = np.float32(weights[0]) * image[:length]
        for step, weight in enumerate(weights[1:], 1):
            total += np.float32(weight) * image[step : step + length]
        image = total.T
    return image


def _whole(good: BoolArray) -> BoolArray:
    """Tell of which squares, as wide as the filters, all pixels are good."""
    for _ in range(2):
        length = good.shape[0] - len(SMOOTH) + 1
        parts = [good[step : step + length] for step in range(len(SMOOTH))]
        good = np.asarray(np.logical_and.reduce(parts).T, bool)
    return good


def _missed(score: Float32Array, away: BoolArray, sigma_px: float) -> BoolArray:
    """Tell which pixels may have light of emitters that were missed, or lie beyond the border.

    Whatever stands out of the noise when seen through the PSF is such a one, with what is around.
    """
    smooth = ndimage.gaussian_filter(score, sigma_px, mode="constant", truncate=3.0)
    seen = smooth[away][::THINNED]
    # Of white noise so much is left; noise of another kind, or scale, tells by its median.
    by_chance = 1 / (2 * math.sqrt(math.pi) * sigma_px)
    robust = float(np.median(np.abs(seen))) / NORMAL_MEDIAN if seen.size else 0.0
    stands_out = smooth > MISSED * max(by_chance, robust)
    if not stands_out.any():
        return stands_out
    around = 2 * math.ceil(MISSED_REACH_SIGMA * sigma_px) + 1
    return np.asarray(ndimage.maximum_filter(stands_out, around, mode="constant"), bool)


def _apart(lag: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where the first and the second pixels of all pairs so far apart (down, right) are."""
    down, right = (
        (
            slice(max(-step, 0), -step if step > 0 else None),
            slice(max(step, 0), step if step < 0 else None),
        )
        for step in lag
    )
    return (down[0], right[0]), (down[1], right[1])


def _by_block(images: Float32Array) -> Float64Array:
    """Sum images, (image, y, x), over the blocks of the field."""
    rows = np.arange(0, images.shape[1], BLOCK_PX)
    columns = np.arange(0, images.shape[2], BLOCK_PX)
    along_y = np.add.reduceat(images, rows, axis=1)
    return np.add.reduceat(along_y, columns, axis=2, dtype=np.float64)
