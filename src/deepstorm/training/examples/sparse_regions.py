"""Which regions of sparse frames composites are made of, for training and for validation."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import BoolArray, Int64Array, IntArray
from deepstorm.errors import InputError
from deepstorm.training.examples.sparse_frames import Material
from deepstorm.training.examples.truth import counted, emitter_pixels


@dataclass(frozen=True, slots=True)
class Portion:
    """A portion of the frames that shares no pixel with the other one.

    Parameters
    ----------
    frames : ndarray of int, shape (n,)
    rows, columns : slice
    """

    frames: IntArray
    rows: slice = field(default_factory=lambda: slice(None))
    columns: slice = field(default_factory=lambda: slice(None))

    def of(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Cut the portion out of values of shape (frame, y, x)."""
        cut: npt.NDArray[np.generic] = values[self.frames, self.rows, self.columns]
        return cut

    @property
    def corner(self) -> IntArray:
        """What to add to a place in the portion, (frame, top, left), the frame excepted."""
        return np.array([0, self.rows.start or 0, self.columns.start or 0])


@dataclass(frozen=True, slots=True)
class Pool:
    """Corners (frame, top, left) of regions, in camera pixels.

    Parameters
    ----------
    first : ndarray of int, shape (n, 3)
        Regions without ambiguous light, which give the background.
    others : ndarray of int, shape (n, 3)
        Regions of which spots are taken.
    """

    first: IntArray
    others: IntArray


def divided(
    material: Material, side: int, fraction: float, rng: np.random.Generator, *, by_field: bool
) -> tuple[Portion, Portion]:
    """Return the portions for training and for validation.

    Where the field is divided, a strip of twice the spot radius belongs to neither, so that no
    emitter has light in both.

    Parameters
    ----------
    material : Material
    side : int
        Of a region, in camera pixels.
    fraction : float
        Part of the frames, or of the longer side of the field, for validation.
    rng : numpy.random.Generator
    by_field : bool
        Whether the field is divided, and not the frames.

    Raises
    ------
    InputError
        If the frames are too few or too small for that.
    """
    count, *sides = material.light.shape
    strip = ceil(2 * material.radius_px)
    needed = 2 * side + strip
    enough = max(sides) >= needed if by_field else count >= 2
    if not enough or min(sides) < side:
        field_size = f"a field at least {needed} pixels long (two regions, two spot radii apart)"
        least = field_size if by_field else "at least 2 frames"
        raise InputError(
            f"the sparse frames are {count} of {sides[0]} × {sides[1]} pixels; expected {least}, "
            f"and no side shorter than the regions of {side} pixels"
        )
    if by_field:
        return _divided_field(material.light.shape, side, strip, fraction)
    held_back = min(max(round(fraction * count), 1), count - 1)
    order = rng.permutation(count)
    return Portion(np.sort(order[held_back:])), Portion(np.sort(order[:held_back]))


def _divided_field(
    shape: tuple[int, ...], side: int, strip: int, fraction: float
) -> tuple[Portion, Portion]:
    """Divide the field along its longer side, a strip between the portions left out."""
    count, *sides = shape
    longest = max(sides)
    held_back = min(max(round(fraction * longest), side), longest - side - strip)
    cut = longest - held_back
    frames, before, after = np.arange(count), slice(0, cut - strip), slice(cut, longest)
    if sides[0] == longest:
        return Portion(frames, rows=before), Portion(frames, rows=after)
    return Portion(frames, columns=before), Portion(frames, columns=after)


def choose_regions(
    material: Material,
    portion: Portion,
    side: int,
    min_emitters: int,
    most: int,
    rng: np.random.Generator,
) -> Pool:
    """Choose regions of a portion.

    Parameters
    ----------
    material : Material
    portion : Portion
    side : int
        Of a region, in camera pixels.
    min_emitters : int
        Usable emitters in a region, for the first of a composite only where such regions hold no
        ambiguous light.
    most : int
        Regions of either use.
    rng : numpy.random.Generator

    Raises
    ------
    InputError
        If there are none.
    """
    shape, pixel_nm = material.light.shape, material.pixel_size_nm
    emitters = counted(emitter_pixels(material.emitters, pixel_nm), shape)
    bright = _window_sums(portion.of(emitters), side) >= min_emitters
    clean = _window_sums(portion.of(material.ambiguous), side) == 0
    first = clean & bright if (clean & bright).any() else clean
    if not (bright.any() and first.any()):
        raise InputError(
            f"of the regions of {side} pixels, {int(bright.sum())} hold at least {min_emitters} "
            f"usable emitters, and {int(clean.sum())} hold no ambiguous light; at least one of "
            "each is needed for both training and validation: take more or sparser frames, or "
            "smaller regions"
        )
    return Pool(*(_corners(mask, portion, most, rng) for mask in (first, bright)))


def _corners(mask: BoolArray, portion: Portion, most: int, rng: np.random.Generator) -> IntArray:
    """Return some of the corners in a mask, shape (n, 3)."""
    found = np.flatnonzero(mask)
    chosen = np.sort(rng.choice(found, min(most, len(found)), replace=False))
    frame, top, left = np.unravel_index(chosen, mask.shape)
    return np.column_stack([portion.frames[frame], top, left]) + portion.corner


def _window_sums(values: npt.NDArray[np.generic], side: int) -> Int64Array:
    """Return the sum over each square of a side, shape (frame, y − side + 1, x − side + 1)."""
    total = np.zeros((len(values), values.shape[1] + 1, values.shape[2] + 1), np.int64)
    total[:, 1:, 1:] = values.astype(np.int64).cumsum(axis=1).cumsum(axis=2)
    rows = total[:, side:] - total[:, :-side]
    windows: Int64Array = rows[:, :, side:] - rows[:, :, :-side]
    return windows
