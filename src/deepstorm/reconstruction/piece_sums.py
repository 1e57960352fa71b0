"""Sums over the pieces of a field: in memory, or on disk where they are too large for it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from deepstorm.reconstruction.stored_arrays import (
    Arrays,
    packed_tables,
    read_arrays,
    store_arrays,
    unpacked_tables,
)
from deepstorm.reconstruction.sums import MovieSums
from deepstorm.structures import Localizations


@dataclass(slots=True, eq=False)
class PieceSums:
    """Sums over one piece of the field.

    Parameters
    ----------
    sums : MovieSums
    stop : int
        Frame after the last one that is in them.
    found : dict of int to Localizations
        Places found in the latest blocks, by their first frame, which wait for the other pieces:
        light is measured over the whole field.
    """

    sums: MovieSums
    stop: int = 0
    found: dict[int, Localizations] = field(default_factory=dict)

    def copy(self) -> PieceSums:
        """Return sums that do not change with these."""
        return PieceSums(self.sums.copy(), self.stop)

    def __add__(self, other: PieceSums) -> PieceSums:
        """Return the sums over the frames of both."""
        total = self.sums.copy()
        total.include(other.sums)
        return PieceSums(total, max(self.stop, other.stop))

    def arrays(self) -> Arrays:
        """Return all of it as named arrays."""
        return {**self.sums.arrays(), "stop": np.array(self.stop), **packed_tables(self.found)}

    @classmethod
    def of_arrays(cls, named: Arrays) -> PieceSums:
        """Return what :meth:`arrays` gave."""
        sums = {name: part for name, part in named.items() if name in MovieSums.__slots__}
        return cls(MovieSums(**sums), int(named["stop"]), unpacked_tables(named))


class PiecesOnDisk(MutableMapping[int, PieceSums]):
    """Sums of pieces, each in a file of its own that is replaced as a whole.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def temporary(cls) -> Self:
        """Return an empty one, which goes with the last reference to it."""
        folder = tempfile.mkdtemp(prefix="deepstorm-")
        pieces = cls(Path(folder))
        weakref.finalize(pieces, shutil.rmtree, folder, ignore_errors=True)
        return pieces

    def _path(self, index: int) -> Path:
        return self._folder / f"piece-{index}.npz"

    def __getitem__(self, index: int) -> PieceSums:
        if not self._path(index).is_file():
            raise KeyError(index)
        return read_arrays(self._path(index), PieceSums.of_arrays)

    def __setitem__(self, index: int, piece: PieceSums) -> None:
        store_arrays(self._path(index), piece.arrays())

    def __delitem__(self, index: int) -> None:
        self._path(index).unlink()

    def __iter__(self) -> Iterator[int]:
        names = (path.stem.removeprefix("piece-") for path in self._folder.glob("piece-*.npz"))
        return iter(sorted(int(name) for name in names))

    def __len__(self) -> int:
        return sum(1 for _ in self)
