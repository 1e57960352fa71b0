"""Movies, and images, in NumPy's files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.io.movies.file_movie import FileMovie
from deepstorm.io.movies.movie import ArrayMovie, Movie

_SIGNATURE = b"\x93NUMPY"


class NpyFormat:
    """NumPy arrays of shape (frame, y, x) or (y, x), as ``numpy.save`` writes them."""

    name = "NumPy"
    suffixes = (".npy",)

    @staticmethod
    def matches(head: bytes, path: Path) -> bool:
        """Whether a file begins as NumPy's do."""
        return head.startswith(_SIGNATURE)

    @staticmethod
    def open(path: Path, *, growing: bool) -> Movie:
        """Open a movie; such a file says at its beginning how long it is, and does not grow."""
        return NpyMovie(path)


class NpyMovie(FileMovie):
    """Frames of a NumPy file, of which those that are read are loaded.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    InputError
        If the file is missing or damaged, or holds no movie of real numbers.
    """

    def __init__(self, path: PathLike) -> None:
        super().__init__(path)
        self._array = ArrayMovie(map_npy(self._path), name=self.name)
        self.shape, self.dtype = self._array.shape, self._array.dtype

    def _frames(self, start: int, stop: int) -> AnyArray:
        self._check_length()
        return np.array(self._array.read(start, stop))

    def _check_length(self) -> None:
        """Refuse a file that was cut off: touching what it lost would end the whole program."""
        with contextlib.suppress(FileNotFoundError):  # what is deleted stays mapped
            if self._path.stat().st_size < self.states[0].bytes:
                raise InputError(f"'{self.name}' has become shorter since it was opened")

    def _release(self) -> None:
        del self._array


def map_npy(file: Path) -> AnyArray:
    """Map a NumPy file into memory.

    Mapping refuses a header that claims more numbers than the file has; nothing is unpickled.

    Raises
    ------
    InputError
        If the file is not a NumPy array of numbers, or is damaged.
    """
    try:
        mapped: AnyArray = np.load(file, mmap_mode="r", allow_pickle=False)
        return mapped
    except Exception as error:
        raise InputError(f"'{file.name}' cannot be read as a NumPy array: {error}") from error
