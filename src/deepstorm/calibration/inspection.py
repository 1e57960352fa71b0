"""What some frames of a movie say of its fitness, besides their calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, Float32Array, Float64Array, IntArray
from deepstorm.calibration.calibrate import SMALLEST_FIELD_PX
from deepstorm.calibration.dense_start import DenseStart, find_dense_start
from deepstorm.calibration.faults import FEW_FRAMES
from deepstorm.calibration.frame_faults import EmptyFrames, noise_of
from deepstorm.calibration.repeated_noise import noise_shared_with_next
from deepstorm.calibration.roundness import Roundness
from deepstorm.calibration.screening import sound_frames
from deepstorm.calibration.spikes import without_spikes
from deepstorm.structures import Calibration, Estimate

# A filament counts as a strip this wide, half a µm at usual pixels: see the density on a card.
STRIP_PX = 5
# How well a movie's two halves tell the ratio of local and mean density. Where filaments cross it
# is larger than by the card's definition, which knows strips alone; in narrow clusters, smaller.
CONCENTRATION_ERROR = 0.3
# Light that blinks is shared by pixels this far apart along an axis, and hardly by those farther.
NEAR_PX, FAR_PX = (1, 2), (5, 6)
# Both axes share more than this many standard deviations of chance once in 500,000 blank movies.
SIGNIFICANT = 3.0
# Part of their noise that neighbouring pixels of a camera may share.
SHARED_BY_CAMERA = 1e-3
# Standard deviations of the spots that are looked for: those of 0.6 to 3 pixels look alike.
SPOT_WIDTHS_PX = (1.0, 2.0)
# A blink is this many times as bright as the brightest spot that chance makes of so many values or
# more. Of 2500 independent normal values, the brightest is that once in 700 movies.
OVER_CHANCE = 1.5
FEWEST_VALUES = 2**17
# Noise is taken from this many pixels around, more than a spot covers.
AROUND_PX = 7
# A pixel's noise is at least this part of the mean variance: without background most never change.
LEAST_NOISE = 0.01
# Fewer pixels than these at the highest counts are chance.
FEW_SATURATED = 10
# Of fewer steps from the lowest to the highest counts, each one holds many pixels.
FEWEST_STEPS = 16
# So many frames tell the mean of a pixel.
MEAN_FRAMES = 64
# Medians over time differ from pixel to pixel by this part of what noise makes at least, and
# rounding hides that where noise makes less than so many counts.
LEAST_MEDIAN_SPREAD, LEAST_MEDIAN_ADU = 0.15, 0.8
# A quarter of normal values lies so many standard deviations below their mean or more.
NORMAL_QUARTER = 0.6745
# Counts within this part of the movie's range below the highest are near it.
NEAR_LIMIT = 0.02


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is known of a movie before it is reconstructed.

    Parameters
    ----------
    calibration : Calibration
    local_density_per_px : Estimate
        Emitters that are on in a frame per camera pixel, where there are emitters.
    has_no_emitters : bool
        Whether nothing that blinks stands out of the noise.
    saturated_share : float
        Part of the pixels that are at the camera's limit, from 0 to 1.
    highest_adu : float
        The highest counts, which are that limit where ``saturated_share`` is not 0.
    upsampling : int
        Pixels of the image per camera pixel.
    dense_start : DenseStart, optional
        First frames in which emitters cannot be told apart.
    shared_with_next : Estimate, optional
        Correlation of the noise of a frame and of the next one.
    is_taken_off : bool
        Whether the median of each pixel over time was taken off it.
    roundness : Roundness, optional
        Of the spots.
    """

    calibration: Calibration
    local_density_per_px: Estimate
    has_no_emitters: bool
    saturated_share: float
    highest_adu: float
    upsampling: int
    dense_start: DenseStart | None = None
    shared_with_next: Estimate | None = None
    is_taken_off: bool = False
    roundness: Roundness | None = None


def inspect_frames(
    frames: AnyArray,
    calibration: Calibration,
    upsampling: int,
    frame_numbers: IntArray | None = None,
    pairs: AnyArray | None = None,
) -> Conditions:
    """Return what is known of a movie.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        The frames that the calibration is of, as the camera gave them.
    calibration : Calibration
    upsampling : int
        Pixels of the image per camera pixel.
    frame_numbers : ndarray of int, shape (frame,), optional
        Where in the movie the frames are from; consecutive ones where absent.
    pairs : ndarray, shape (pair, 2, y, x), optional
        Frames, and those that follow them.
    """
    numbers = np.arange(len(frames)) if frame_numbers is None else frame_numbers
    faulty = calibration.hot_pixels | calibration.dead_pixels
    sound = blinking = seen = frames
    screening, is_empty = calibration.screening, np.zeros(len(frames), bool)
    if screening is not None:
        sound = blinking = sound_frames(frames, screening)
        if screening.unlit.any():
            blinking = sound_frames(frames, screening, whole=True)
        seen = frames[~screening.left_out]
        faulty = faulty | screening.unlit
        is_empty = EmptyFrames(screening.most_alike).find(frames)
    blinks, roundness = not _is_still(blinking), None
    if _is_told(blinking):
        changes, deviations = _changes(blinking, faulty)
        blinks = _blinks(changes)
        changes *= deviations
        roundness = Roundness.of(changes, calibration.sigma_px.value)
    return Conditions(
        calibration=calibration,
        local_density_per_px=local_density(sound, calibration),
        has_no_emitters=not blinks,
        roundness=roundness,
        saturated_share=saturated_share(seen, faulty),
        highest_adu=float(seen[:, ~faulty].max(initial=0)),
        upsampling=upsampling,
        shared_with_next=None if pairs is None else _shared_with_next(seen, pairs),
        is_taken_off=_is_taken_off(sound),
        dense_start=find_dense_start(frames[~is_empty], numbers[~is_empty], ~faulty, calibration),
    )


def _shared_with_next(frames: AnyArray, pairs: AnyArray) -> Estimate:
    """Return how much of its noise a frame shares with the next one, cosmic rays aside."""
    few = np.array(frames[:: max(len(frames) // MEAN_FRAMES, 1)], np.float32)
    noise = noise_of(few)
    mean = without_spikes(few, noise).mean(axis=0, dtype=np.float64)
    flat = np.array(pairs, np.float32).reshape(-1, *mean.shape)
    return noise_shared_with_next(without_spikes(flat, noise).reshape(pairs.shape), mean)


def _is_taken_off(frames: AnyArray) -> bool:
    """Tell whether the median of each pixel over time is nearer to its neighbours' than noise lets.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Of a movie that is hardly longer; of a long one, some frames do not tell.
    """
    if len(frames) < 2 * FEW_FRAMES:
        return False
    quarters, medians = np.percentile(frames, [25, 50], axis=0)
    # Of the darker half of the values: emitters make the brighter one wider.
    dark = float(np.median(medians - quarters)) / NORMAL_QUARTER
    expected = 1.25 * (dark or noise_of(frames)) / math.sqrt(len(frames))
    apart = np.abs(np.diff(medians, axis=1)) / math.sqrt(2)
    spread = float(np.sqrt(np.mean(np.minimum(apart, 3 * expected) ** 2)))
    is_fine = frames.dtype.kind == "f" or expected > LEAST_MEDIAN_ADU
    return bool(is_fine and expected > 0 and spread < LEAST_MEDIAN_SPREAD * expected)


def _is_told(frames: AnyArray) -> bool:
    """Tell whether there are frames enough, large enough, to see whether something blinks."""
    is_enough = len(frames) >= FEW_FRAMES and min(frames.shape[1:]) >= SMALLEST_FIELD_PX
    return is_enough and not bool((frames == frames[0]).all())


def _is_still(frames: AnyArray) -> bool:
    """Tell whether nothing changes at all in frames that are too few, too small, or all alike."""
    is_large = len(frames) >= FEW_FRAMES and min(frames.shape[1:]) >= SMALLEST_FIELD_PX
    return is_large or bool(frames.min() == frames.max())


def _blinks(changes: Float32Array) -> bool:
    """Tell whether something blinks in frames in which emitters could be seen.

    A calibration cannot tell: it supposes that there are emitters, measures them as the variance
    beyond the noise that it has measured itself, and of some hundred blank movies it finds in one a
    density by chance. This asks instead whether pixels fluctuate together. A camera's noise does
    not know of the pixel beside it, whatever gain, offset, background and distribution it has; an
    emitter lights several pixels at once. Many faint emitters show in the mean over all pixels
    (:func:`_coherence`), few bright ones in the brightest spot (:func:`_brightest_over_chance`).
    """
    return _coherence(changes) > SIGNIFICANT or _brightest_over_chance(changes) > OVER_CHANCE


def _changes(frames: AnyArray, faulty: BoolArray) -> tuple[Float32Array, Float32Array]:
    """Return what changes with time in standard deviations of the noise around a pixel, and those.

    The course of the whole field, of a lamp that flickers or a background that bleaches, is taken
    off as far as a pixel follows it. Faulty pixels are 0.
    """
    changes: Float32Array = np.empty(frames.shape, np.float32)
    np.subtract(frames, frames.mean(axis=0, dtype=np.float64), out=changes, casting="unsafe")
    # Single precision holds the squares then, whatever the counts.
    changes /= np.float32(np.abs(changes).max() or 1.0)
    variance = changes.var(axis=0)
    least = max(LEAST_NOISE * float(variance.mean()), float(np.finfo(np.float32).tiny))
    course = changes.mean(axis=(1, 2))
    power = max(float(course @ course), float(np.finfo(np.float32).tiny))
    follows = np.einsum("t,tyx->yx", course, changes) / np.float32(power)
    changes -= course[:, None, None] * follows
    noise = ndimage.median_filter(changes.var(axis=0), AROUND_PX, mode="mirror")
    deviations: Float32Array = np.sqrt(np.maximum(noise, np.float32(least)))
    changes /= deviations
    changes[:, faulty] = 0
    return changes, deviations


def _coherence(changes: Float32Array) -> float:
    """Return how certainly near pixels fluctuate together, in standard deviations of chance.

    Far pixels are taken off: what they share is no spot. The lesser of the two axes counts, since a
    camera that reads row by row may smear a pixel into the next one of its row.
    """
    excesses = []
    for along_rows in (changes, changes.swapaxes(1, 2)):
        near, near_variance = _shared(along_rows, NEAR_PX)
        far, far_variance = _shared(along_rows, FAR_PX)
        chance = near_variance + far_variance + SHARED_BY_CAMERA**2
        excesses.append((near - far) / math.sqrt(chance))
    return min(excesses)


def _shared(changes: Float32Array, distances_px: tuple[int, ...]) -> tuple[float, float]:
    """Return the mean product of pixels so far apart in a row, and its variance by chance.

    If one of two pixels has its frames in any other order just as likely, the sum of their products
    over n frames has the mean 0 and the variance Σa² Σb² / (n - 1), exactly; and those of different
    pairs are uncorrelated, even where they have a pixel in common.
    """
    power = np.einsum("tyx,tyx->yx", changes, changes).astype(np.float64)
    total = variance = 0.0
    pairs = 0
    for distance in distances_px:
        first, other = changes[:, :, :-distance], changes[:, :, distance:]
        total += float(np.einsum("tyx,tyx->yx", first, other).sum(dtype=np.float64))
        powers = power[:, :-distance] * power[:, distance:]
        variance += float(powers.sum()) / (len(changes) - 1)
        pairs += int(np.count_nonzero(powers))
    values = max(pairs, 1) * len(changes)
    return total / values, variance / values**2


def _brightest_over_chance(changes: Float32Array) -> float:
    """Return the light of the brightest spot over that of the brightest one of chance."""
    rng = np.random.default_rng(0)
    rounds = math.ceil(FEWEST_VALUES / changes.size)
    chances = [_out_of_step(changes, rng) for _ in range(rounds)]
    ratios = []
    for width_px in SPOT_WIDTHS_PX:
        by_chance = float(np.mean([_brightest(frames, width_px) for frames in chances]))
        ratios.append(_brightest(changes, width_px) / max(by_chance, 1e-3))
    return max(ratios)


def _out_of_step(changes: Float32Array, rng: np.random.Generator) -> list[Float32Array]:
    """Return frames in which each pixel begins at another frame, and starts over after the last.

    The values are the same, rare and bright ones as well, but those of a spot are no longer in one
    frame: what is bright there is so by chance.
    """
    count = len(changes)
    begin = rng.integers(0, count, changes.shape[1:])
    rows, columns = np.indices(begin.shape)
    return [changes[(begin + frame) % count, rows, columns] for frame in range(count)]


def _brightest(frames: Iterable[Float32Array], width_px: float) -> float:
    """Return the light of the brightest spot of a width."""
    smooth = (ndimage.gaussian_filter(frame, width_px, mode="constant") for frame in frames)
    return max(float(frame.max()) for frame in smooth)


def local_density(frames: AnyArray, calibration: Calibration) -> Estimate:
    """Return how many emitters are on per camera pixel where there are emitters.

    The variance over time that is beyond the noise's shows where emitters blink, whatever the
    background. Its product for two halves of the movie, over that of their means, is the mean
    density around an emitter over that of the field: noise of the halves averages out.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts, without faults.
    calibration : Calibration
        Of these frames.

    Returns
    -------
    Estimate
        The density of the whole field where the frames are too few to tell.
    """
    density = calibration.density_per_px
    if not np.isfinite(density.uncertainty) or len(frames) < 2 * FEW_FRAMES:
        return density
    whole = np.asarray(frames, np.float32)
    middle = len(whole) // 2
    halves = [_blinking(part, calibration) for part in (whole[:middle], whole[middle:])]
    means = [float(half.mean()) for half in halves]
    if min(means) <= 0:
        return density
    concentration = max(float((halves[0] * halves[1]).mean()) / (means[0] * means[1]), 1.0)
    value = density.value * concentration
    apart = abs(means[0] - means[1]) / (means[0] + means[1])
    relative = np.array([density.uncertainty / density.value, CONCENTRATION_ERROR, apart])
    return Estimate(value, value * float(np.sqrt((relative**2).sum())))


def _blinking(counts: Float32Array, calibration: Calibration) -> Float64Array:
    """Return the variance over time beyond that of the noise, averaged over a strip's width."""
    slope = calibration.adu_per_photon.value
    mean = (counts.mean(axis=0, dtype=np.float64) - calibration.zero_adu.value) / slope
    variance = counts.var(axis=0, ddof=1).astype(np.float64) / slope**2
    return np.asarray(ndimage.uniform_filter(variance - mean, STRIP_PX, mode="reflect"))


def saturated_share(frames: AnyArray, faulty: BoolArray) -> float:
    """Return the part of the pixels that are at the camera's limit.

    Brightness has no upper end: if more pixels have the very highest counts than lie just below,
    something has cut them off, wherever that limit may be.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts.
    faulty : ndarray of bool, shape (y, x)
        Pixels to be left out.
    """
    good = frames[:, ~faulty]
    if not good.size:
        return 0.0
    lowest, highest = float(good.min()), float(good.max())
    below = good[good < highest]
    if not below.size:
        return 0.0
    at_limit = good.size - below.size
    span, next_highest = highest - lowest, float(below.max())
    # The next of a camera's steps is near the limit, however wide these are.
    near = min(highest - NEAR_LIMIT * span, next_highest)
    has_steps = span >= FEWEST_STEPS * (highest - next_highest)
    is_cut_off = at_limit >= max(FEW_SATURATED, int((below >= near).sum()))
    return at_limit / good.size if has_steps and is_cut_off else 0.0
