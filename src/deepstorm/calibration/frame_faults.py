"""Frames that say nothing, and light that changes with the frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, Float64Array

# A frame is empty - dropped, filled up with zeros, or white - if at most this part of those pixels
# that usually differ from its extreme value do so. Where photons are counted one by one most pixels
# are 0 in good frames, too.
EMPTY_PART = 0.3
# A frame is of another light if its median lies this many of the noise's standard deviations away
# from the other frames', and farther than their own spread by this factor.
OTHER_LIGHT, OTHER_SPREAD = 10.0, 6.0
# The light of a movie changes if its slow course has this many of a pixel's standard deviations
# between its ends, and this many of the course's own.
LEAST_CHANGE, CERTAIN_CHANGE = 0.25, 6.0
# The start of a movie is brighter if its mean is so by this many of a pixel's standard deviations;
# no more than this part of the frames is its start.
LEAST_EXCESS, LONGEST_START = 0.5, 0.34
# So many values tell how large the noise is, and where the middle is.
ENOUGH_VALUES = 2**20
# Over so many frames of a sample the course is smoothed.
COURSE_FRAMES = 9


@dataclass(frozen=True, slots=True)
class EmptyFrames:
    """How a movie's empty frames are told from its other ones.

    Parameters
    ----------
    most_alike : float
        Largest share of pixels with one extreme value that a good frame has.
    """

    most_alike: float

    @classmethod
    def among(cls, frames: AnyArray) -> EmptyFrames:
        """Learn from sample frames, shape (frame, y, x), what is usual."""
        shares = np.array([_alike(frame) for frame in frames])
        usual = float(np.median(shares[shares < 1.0])) if (shares < 1.0).any() else 0.0
        return cls(1 - EMPTY_PART * (1 - usual))

    def find(self, frames: AnyArray) -> BoolArray:
        """Return which of some frames are empty, shape (frame,)."""
        return np.array([_alike(frame) > self.most_alike for frame in frames], bool)


def _alike(frame: AnyArray) -> float:
    """Return the share of the pixels that have the lowest, or the highest, value of a frame."""
    lowest, highest = frame.min(), frame.max()
    if lowest == highest:
        return 1.0
    counts = np.count_nonzero(frame == lowest), np.count_nonzero(frame == highest)
    return max(counts) / frame.size


def of_other_light(frames: AnyArray) -> BoolArray:
    """Return which sample frames are lit so differently that they tell nothing of the others.

    The first molecules of a movie, all of them on at once, are such light, as are a lamp that was
    switched on for a moment and a closed shutter.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)

    Returns
    -------
    ndarray of bool, shape (frame,)
        Never more than half of them.
    """
    medians = _medians(frames)
    usual = float(np.median(medians))
    spread = float(np.median(np.abs(medians - usual))) / 0.6745
    limit = max(OTHER_LIGHT * noise_of(frames), OTHER_SPREAD * spread)
    other: BoolArray = np.abs(medians - usual) > limit
    return other if other.mean() <= 0.5 else np.zeros_like(other)


def of_the_start(frames: AnyArray) -> BoolArray:
    """Return which of the first sample frames have more light than the movie settles to.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames in the order of time.

    Returns
    -------
    ndarray of bool, shape (frame,)
        None of them where so many have that nothing says to what the movie settles.
    """
    light = frames.mean(axis=(1, 2), dtype=np.float64)
    late = light[len(light) // 2 :]
    settled = float(np.median(late))
    spread = float(np.median(np.abs(late - settled))) / 0.6745
    limit = max(LEAST_EXCESS * noise_of(frames), CERTAIN_CHANGE * spread)
    is_brighter: BoolArray = np.logical_and.accumulate(light - settled > limit)
    return is_brighter if is_brighter.mean() < LONGEST_START else np.zeros_like(is_brighter)


def steadied(frames: AnyArray) -> AnyArray:
    """Take off how pixels follow the slow course of the light, such as bleaching.

    Every pixel keeps its mean. Frames without such a course are returned as they are.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames in the order of time.
    """
    course = _slow_course(frames)
    if course is None:
        return frames
    change = course - course.mean()
    rest = frames - frames.mean(axis=0, dtype=np.float64)
    follows = np.einsum("t,tyx->yx", change, rest) / (change @ change)
    return np.asarray(frames - change[:, None, None] * follows, np.float32)


def _slow_course(frames: AnyArray) -> Float64Array | None:
    """Return the smooth course of the median pixel, or nothing if it does not change."""
    if len(frames) < 2 * COURSE_FRAMES:
        return None
    medians = _medians(frames)
    smooth = ndimage.median_filter(medians, COURSE_FRAMES, mode="nearest")
    # The ends of a decay are steep: there the filter would repeat what is farther inside.
    course = ndimage.uniform_filter1d(smooth, COURSE_FRAMES // 2, mode="nearest")
    scatter = float(np.median(np.abs(medians - course))) / 0.6745
    change = float(np.ptp(course))
    noise = noise_of(frames)
    if noise == 0 or change < max(LEAST_CHANGE * noise, CERTAIN_CHANGE * scatter):
        return None
    edge = COURSE_FRAMES // 2
    course[:edge], course[-edge:] = medians[:edge], medians[-edge:]
    return course


def _medians(frames: AnyArray) -> Float64Array:
    return np.array([float(np.median(frame)) for frame in _thinned(frames)])


def _thinned(frames: AnyArray) -> AnyArray:
    """Leave out rows and columns where there are more pixels than say anything new."""
    stride = max(int(math.sqrt(frames.size / ENOUGH_VALUES)), 1)
    return frames[:, ::stride, ::stride]


def noise_of(frames: AnyArray) -> float:
    """Return a usual standard deviation of a pixel from one sample frame to the next.

    Where photons are counted one by one most steps are 0, and the larger ones have to tell.
    """
    few = _thinned(frames).astype(np.float32)
    steps = np.abs(np.diff(few, axis=0)) if len(few) > 1 else few
    middle, large = np.percentile(steps, [50, 90])
    clipped = float(np.sqrt(np.mean(np.minimum(steps, large) ** 2, dtype=np.float64)))
    return max(float(middle) / 0.6745, clipped) / math.sqrt(2)
