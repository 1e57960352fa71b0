"""What some frames of a movie come to: a value that can be made anywhere, added, and saved."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from deepstorm.arrays import Float64Array, Int64Array, IntArray, PathLike
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.reconstruction.goodness import FitSums
from deepstorm.reconstruction.piece_sums import PiecesOnDisk, PieceSums
from deepstorm.reconstruction.stored_arrays import (
    Arrays,
    packed_tables,
    read_arrays,
    unpacked_tables,
    write_arrays,
)
from deepstorm.structures import Localizations

FrameRange = tuple[int, int]


@dataclass(slots=True, eq=False)
class Partial:
    """What some frames of a movie come to.

    Parts of a movie add up in any order and grouping, ``a + b``, to what the whole movie gives.

    Parameters
    ----------
    job : str
        Checksum of the :class:`~deepstorm.reconstruction.job.Job` that it is of.
    light : ndarray of float64, shape (y, x)
        Sum of the frames, in camera counts and pixels.
    frames : list of (int, int)
        First frame and frame after the last one of each stretch, in ascending order.
    pieces : mutable mapping of int to PieceSums
        Sums over those frames, for each piece of the field.
    tables : dict of int to Localizations
        What was found in each block of frames, by the block's first frame.
    empty : ndarray of int, shape (n,)
        Frames that say nothing, in ascending order; they are not in the sums.
    fit : FitSums, optional
        How well frames are explained; none before a frame was looked at.
    """

    job: str
    light: Float64Array
    frames: list[FrameRange] = field(default_factory=list)
    pieces: MutableMapping[int, PieceSums] = field(default_factory=dict)
    tables: dict[int, Localizations] = field(default_factory=dict)
    empty: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    fit: FitSums | None = None

    @property
    def count(self) -> int:
        """Number of frames."""
        return sum(stop - start for start, stop in self.frames)

    def missing(self, total_frames: int) -> list[FrameRange]:
        """Return the stretches of a movie that are not in it."""
        edges = [0, *(edge for stretch in self.frames for edge in stretch), total_frames]
        gaps = zip(edges[::2], edges[1::2], strict=True)
        return [(start, stop) for start, stop in gaps if start < stop]

    @property
    def localizations(self) -> Localizations:
        """All that was found, in the order of frames."""
        return Localizations.concatenate([self.tables[start] for start in sorted(self.tables)])

    def take_tables(self) -> list[Localizations]:
        """Return what was found, block by block in the order of frames, and keep it no longer."""
        taken = [self.tables[start] for start in sorted(self.tables)]
        self.tables.clear()
        return taken

    def extend(
        self,
        frames: FrameRange,
        light: Float64Array,
        found: Localizations | None,
        empty: IntArray | tuple[()] = (),
        fit: FitSums | None = None,
    ) -> None:
        """Count frames in whose sums are there already."""
        self.frames = joined([*self.frames, frames])
        self.empty = np.union1d(self.empty, np.asarray(empty, np.int64))
        self.light += light
        if found is not None:
            self.tables[frames[0]] = found
        self.fit = _together(self.fit, fit)

    def __add__(self, other: Partial) -> Partial:
        """Return what the frames of both come to.

        Raises
        ------
        InputError
            If they are of different jobs, or have a frame in common.
        """
        if self.job != other.job:
            raise InputError(
                "two parts of different reconstructions cannot be added; make them with the same "
                "network, settings and calibration"
            )
        frames = joined([*self.frames, *other.frames])
        pieces: MutableMapping[int, PieceSums] = (
            PiecesOnDisk.temporary() if _is_on_disk(self, other) else {}
        )
        for index in sorted({*self.pieces, *other.pieces}):
            there = [part.pieces[index] for part in (self, other) if index in part.pieces]
            pieces[index] = there[0] + there[1] if len(there) > 1 else there[0].copy()
        return Partial(
            job=self.job,
            light=self.light + other.light,
            frames=frames,
            pieces=pieces,
            tables=self.tables | other.tables,
            empty=np.union1d(self.empty, other.empty),
            fit=_together(self.fit, other.fit),
        )

    def save(self, path: PathLike, *, overwrite: bool = False) -> None:
        """Write it to a file, whole or not at all.

        Raises
        ------
        InputError
            If the file may not be written.
        """
        with written_whole(path, overwrite=overwrite) as partial:
            write_arrays(partial, self.arrays())

    def arrays(self) -> Arrays:
        """Return all of it as named arrays."""
        named: Arrays = {
            "job": np.array(self.job),
            "light": self.light,
            "frames": np.array(self.frames, np.int64).reshape(-1, 2),
            "empty": self.empty,
        }
        for index, piece in self.pieces.items():
            named |= {f"piece.{index}.{name}": part for name, part in piece.arrays().items()}
        if self.fit is not None:
            named |= {f"fit.{name}": part for name, part in self.fit.arrays().items()}
        return named | packed_tables(self.tables)

    @classmethod
    def load(cls, path: PathLike, job: str) -> Self:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
        job : str
            Checksum of the job that it has to be of.

        Raises
        ------
        InputError
            If the file is missing, damaged, or of another job.
        """
        partial = read_arrays(path, cls._of_arrays)
        if partial.job != job:
            raise InputError(
                f"'{path}' is part of another reconstruction; give one made with the same network, "
                "settings and calibration"
            )
        return partial

    @classmethod
    def _of_arrays(cls, named: Arrays) -> Self:
        """Return what :meth:`arrays` gave."""
        return cls(
            job=str(named["job"]),
            light=named["light"],
            frames=[(int(start), int(stop)) for start, stop in named["frames"]],
            pieces={index: PieceSums.of_arrays(parts) for index, parts in _by_piece(named).items()},
            tables=unpacked_tables(named),
            empty=named["empty"],
            fit=_fit_of(named),
        )


def _by_piece(named: Arrays) -> dict[int, Arrays]:
    """Return the arrays of each piece, under their own names."""
    pieces: dict[int, Arrays] = {}
    for name, array in named.items():
        if name.startswith("piece."):
            _, index, part = name.split(".", 2)
            pieces.setdefault(int(index), {})[part] = array
    return pieces


def _fit_of(named: Arrays) -> FitSums | None:
    """Return how well frames are explained, where any were looked at."""
    parts = {
        name.removeprefix("fit."): part for name, part in named.items() if name.startswith("fit.")
    }
    return FitSums(**parts) if parts else None


def _together(one: FitSums | None, other: FitSums | None) -> FitSums | None:
    """Return the sums of both, or of the one that there is."""
    if one is None or other is None:
        return one if other is None else other
    return one + other


def _is_on_disk(*parts: Partial) -> bool:
    """Tell whether sums are too large for memory."""
    return any(isinstance(part.pieces, PiecesOnDisk) for part in parts)


def joined(stretches: Iterable[FrameRange]) -> list[FrameRange]:
    """Return stretches of frames in ascending order, those that touch as one.

    Raises
    ------
    InputError
        If two of them have a frame in common.
    """
    result: list[FrameRange] = []
    for start, stop in sorted(stretches):
        if result and start < result[-1][1]:
            raise InputError(
                f"two parts have frames {start} to {min(stop, result[-1][1]) - 1} in common; "
                "every frame counts once"
            )
        if result and start == result[-1][1]:
            result[-1] = (result[-1][0], stop)
        else:
            result.append((start, stop))
    return result
