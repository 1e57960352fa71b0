"""Frames spread over a movie, by which it is measured before it is reconstructed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deepstorm.arrays import AnyArray, Int64Array
from deepstorm.calibration.faults import FEW_FRAMES

# A sample has about this many pixels, and no more frames than that.
SAMPLE_VALUES = 2**24
SAMPLE_FRAMES = 200
# Frames that are looked at together with the next one.
PAIRS = 6


class Frames(Protocol):
    """What a calibration and a reconstruction ask of a movie."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size (frame, y, x)."""

    def read(self, start: int, stop: int) -> AnyArray:
        """Return frames, shape (n, y, x)."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameSample:
    """Frames of a movie.

    Parameters
    ----------
    numbers : ndarray of int, shape (n,)
        Which frames, from 0.
    frames : ndarray, shape (n, y, x)
        As the camera gave them.
    pairs : ndarray, shape (pair, 2, y, x)
        Some frames, and those that follow them.
    """

    numbers: Int64Array
    frames: AnyArray
    pairs: AnyArray


def sample_frames(movie: Frames, among: int | None = None) -> FrameSample:
    """Read frames spread evenly over a movie, few enough to fit in memory.

    Parameters
    ----------
    movie : Frames
    among : int, optional
        Only the first so many frames are looked at, as where a movie is still being recorded; all
        that there are by default.
    """
    total, height, width = movie.shape
    there = total if among is None else min(among, total)
    count = min(there, SAMPLE_FRAMES, max(SAMPLE_VALUES // (height * width), FEW_FRAMES))
    numbers = np.linspace(0, there - 1, count).round().astype(np.int64)
    read = [movie.read(int(number), int(number) + 1) for number in numbers]
    starts = np.unique(np.linspace(0, max(there - 2, 0), min(PAIRS, there)).astype(np.int64))
    pairs = [movie.read(int(start), int(start) + 2) for start in starts if start + 1 < there]
    none = np.empty((0, 2, height, width))
    return FrameSample(
        numbers, np.concatenate(read), np.stack(pairs) if pairs else none.astype(read[0].dtype)
    )
