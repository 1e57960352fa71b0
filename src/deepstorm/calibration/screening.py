"""Pixels and frames that say nothing, found before anything is measured, and left out of it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray
from deepstorm.calibration.faults import HotPixels, find_dead_pixels, find_hot_pixels
from deepstorm.calibration.field_parts import (
    find_darker_part,
    find_stuck,
    is_unlit,
    largest_rectangle,
)
from deepstorm.calibration.frame_faults import (
    EmptyFrames,
    noise_of,
    of_other_light,
    of_the_start,
    steadied,
)
from deepstorm.calibration.line_faults import find_faulty_lines
from deepstorm.calibration.sharp_faults import find_sharp_faults
from deepstorm.calibration.spikes import without_spikes
from deepstorm.structures import Screening

# Pixels this near to good ones are filled in from them.
REACH_PX = 2
# Fewer frames do not tell what is usual.
FEWEST_FRAMES = 3


def screen(frames: AnyArray) -> Screening:
    """Find out which pixels and frames of a movie say something.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames, spread over the movie; at least one.
    """
    empty = EmptyFrames.among(frames)
    left_out = empty.find(frames)
    if left_out.all():
        left_out[:] = False
    good = frames[~left_out]
    if len(good) >= FEWEST_FRAMES:
        left_out[~left_out] = of_other_light(good) | of_the_start(good)
        good = frames[~left_out]
    hot = find_hot_pixels(good).mask
    stuck = find_stuck(good)
    darker = find_darker_part(good, stuck)
    lines = find_faulty_lines(good.mean(axis=0, dtype=np.float64))
    sharp = (find_sharp_faults(good, stuck | darker) | lines) & ~darker
    dead = (find_dead_pixels(good) | stuck | sharp) & ~hot
    beyond_repair = _beyond_repair(dead | hot)
    unlit = beyond_repair | (
        darker if darker.any() and is_unlit(good, darker, ~darker & ~stuck) else False
    )
    return Screening(
        hot=hot & ~unlit,
        dead=dead & ~unlit,
        unlit=unlit,
        darker=darker & ~unlit,
        left_out=left_out,
        most_alike=empty.most_alike,
        noise_adu=noise_of(good),
    )


def _beyond_repair(faulty: BoolArray) -> BoolArray:
    """Return the groups of faulty pixels that are too wide to be filled in from beside."""
    if not faulty.any():
        return faulty
    groups, _ = ndimage.label(faulty, np.ones((3, 3), bool))
    side = 2 * REACH_PX + 1
    inner = ndimage.binary_erosion(faulty, np.ones((side, side), bool), border_value=1)
    wide = np.unique(groups[inner])
    return np.isin(groups, wide[wide > 0])


def sound_field(screening: Screening) -> tuple[slice, slice]:
    """Return rows and columns of the part of the field that a movie is measured by."""
    if not screening.unlit.any():
        return slice(None), slice(None)
    return largest_rectangle(~screening.unlit)


def sound_frames(frames: AnyArray, screening: Screening, *, whole: bool = False) -> AnyArray:
    """Return what a movie is measured by: frames without faults, of steady light.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        The frames that were screened.
    screening : Screening
    whole : bool
        Whether to keep dark parts of the field.

    Returns
    -------
    ndarray, shape (frame, y, x)
        Fewer frames where some say nothing, and the largest lit rectangle of them where a part of
        the field is dark. The frames themselves where nothing is wrong with them.
    """
    good = frames[~screening.left_out] if screening.left_out.any() else frames
    if screening.faulty.any():
        good = HotPixels(screening.faulty).repair(good)
    good = good if whole else good[:, *sound_field(screening)]
    despiked = without_spikes(np.array(good, np.float32), screening.noise_adu)
    if not np.array_equal(despiked, good):
        good = despiked
    return steadied(good)
