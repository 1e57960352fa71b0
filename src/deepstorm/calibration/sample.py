"""Frames of a movie, cut into patches of space and blocks of time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import AnyArray, Float32Array

AnyValue = TypeVar("AnyValue", bound=np.generic)

PATCH_PX = 64
# With few frames the spread between smaller patches has to tell how certain the results are.
SMALL_PATCH_PX = 32
# More values than these make the results hardly better.
MAX_VALUES = 3 * 2**20
BLOCKS = 10
# A block's own mean is taken off, so that neither bleaching nor drift passes for fluctuation.
FRAMES_PER_BLOCK = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """Frames cut into patches of space and blocks of time.

    Parameters
    ----------
    patches : ndarray of float32, shape (patch, frame, y, x)
        In units of ``scale_adu`` above ``level_adu``.
    blocks : tuple of slice
        Frames that follow each other; the mean of each block is its own.
    level_adu, scale_adu : float
        What the units mean.
    step_adu : float
        Distance between neighbouring counts; 0 for frames that are not of integers.
    """

    patches: Float32Array
    blocks: tuple[slice, ...]
    level_adu: float
    scale_adu: float
    step_adu: float

    @classmethod
    def cut(cls, frames: AnyArray) -> Sample:
        """Cut frames of shape (frame, y, x)."""
        cut = cut_patches(frames)
        level = float(np.median(cut))
        scale = _scale(cut)
        patches = ((cut.astype(np.float64) - level) / scale).astype(np.float32)
        step = 1.0 if frames.dtype.kind in "ui" else 0.0
        return cls(patches, _blocks(len(frames)), level, scale, step)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.patches.shape[1])

    def fluctuations(self) -> Float32Array:
        """Return the patches less the mean of each pixel over its block, with their variance.

        A single frame has no mean of its own and is returned as it is.
        """
        if self.frames == 1:
            return self.patches
        parts = [self.patches[:, block] for block in self.blocks]
        centred = [
            (part - part.mean(axis=1, keepdims=True)) * np.sqrt(len(part[0]) / (len(part[0]) - 1))
            for part in parts
        ]
        return np.concatenate(centred, axis=1)


def cut_patches(frames: npt.NDArray[AnyValue]) -> npt.NDArray[AnyValue]:
    """Cut frames, (frame, y, x), into as many patches as are looked at, (patch, frame, y, x)."""
    total, height, width = frames.shape
    side = PATCH_PX if total >= FRAMES_PER_BLOCK else SMALL_PATCH_PX
    size = min(side, height), min(side, width)
    corners = [(y, x) for y in _starts(height, size[0]) for x in _starts(width, size[1])]
    most = max(MAX_VALUES // (total * size[0] * size[1]), 1)
    if len(corners) > most:
        chosen = np.linspace(0, len(corners) - 1, most).round().astype(int)
        corners = [corners[index] for index in chosen]
    return np.stack([frames[:, y : y + size[0], x : x + size[1]] for y, x in corners])


def _starts(length: int, size: int) -> list[int]:
    """Return where patches begin that cover a length with as little overlap as possible."""
    count = -(-length // size)
    return [round(float(start)) for start in np.linspace(0, length - size, count)]


def _scale(values: AnyArray) -> float:
    """Return a positive size of the variation of values."""
    low, high = np.percentile(values, [5.0, 95.0])
    spread = float(high) - float(low) or float(np.ptp(values.astype(np.float64)))
    return spread if spread > 0 and np.isfinite(spread) else 1.0


def _blocks(total: int) -> tuple[slice, ...]:
    """Split frames into blocks of about equal length, ten frames or more each where there are."""
    count = min(max(total // FRAMES_PER_BLOCK, 1), BLOCKS)
    edges = np.linspace(0, total, count + 1).round().astype(int).tolist()
    return tuple(slice(start, stop) for start, stop in pairwise(edges))
