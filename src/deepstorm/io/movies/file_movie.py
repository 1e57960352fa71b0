"""Movies in files: what they share, whichever the format."""

from __future__ import annotations

import threading
import zlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.io.checking import existing_file, require_finite
from deepstorm.io.movies.movie import MovieBase, require_range


@dataclass(frozen=True, slots=True)
class FileState:
    """A file's size and the time of its last change, which tell whether it is still the same."""

    path: Path
    bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Look at a file now.

        Raises
        ------
        InputError
            If it is gone.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise InputError(f"the file '{path}' cannot be accessed: {error}") from error
        return cls(path, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class _Before:
    """What a movie was when it was opened; ``checksum`` is of its first and its last frame."""

    states: tuple[FileState, ...]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    checksum: int | None


class FileMovie(MovieBase):
    """A movie in a file, which can be opened again by the path of the file.

    A format derives from it, sets ``shape`` and ``dtype``, ``pixel_size_nm``, ``pixel_size_doubt``
    and ``notes`` where it knows them, and has :meth:`_frames`. One object may be used from several
    threads.

    Parameters
    ----------
    path : path-like
        A regular file; a relative path is that of the folder in which the program is now.
    **options
        The other arguments with which the type was called, to call it with them again.

    Raises
    ------
    InputError
        If the file is missing, not a regular one, not readable, or empty.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pixel_size_nm: float | None = None
    pixel_size_doubt: str = ""
    notes: tuple[str, ...] = ()

    def __init__(self, path: PathLike, **options: Any) -> None:
        self._path = existing_file(path).absolute()
        self._options = options
        self.states: tuple[FileState, ...] = (FileState.of(self._path),)
        self._lock = threading.Lock()
        self._closed = False
        self.name = self._path.name

    @abstractmethod
    def _frames(self, start: int, stop: int) -> AnyArray:
        """Return frames, shape (n, y, x), in the byte order of this machine, of a checked range."""

    def _release(self) -> None:
        """Close what is open."""

    def _look_again(self) -> None:
        """Take in what the source has become; a source that does not grow has nothing to do."""

    def read(self, start: int, stop: int) -> AnyArray:
        """Read the frames from ``start`` up to, not including, ``stop``.

        Returns
        -------
        ndarray, shape (stop - start, y, x)
            In the type of the file and the byte order of this machine.

        Raises
        ------
        IndexError
            If the range is not inside the movie.
        InputError
            If a frame cannot be decoded or holds NaN or infinite pixels.
        """
        with self._lock:
            block = self._checked(start, stop)
        require_finite(block, start, self.name)
        return block

    def _checked(self, start: int, stop: int) -> AnyArray:
        require_range(start, stop, self)
        if self._closed:
            raise ValueError(f"'{self.name}' is closed")
        return self._frames(start, stop)

    def refresh(self) -> int:
        """Look whether the file has more frames by now, and return how many there are.

        Raises
        ------
        InputError
            If the frames so far are no longer what the file holds.
        """
        with self._lock:
            if self._closed:
                raise ValueError(f"'{self.name}' is closed")
            self._look_again()
            return self.shape[0]

    def close(self) -> None:
        """Close the file; reading is not possible afterwards."""
        with self._lock:
            if not self._closed:
                self._release()
            self._closed = True

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return what opens the file again and refuses it if it has become another one."""
        with self._lock:
            checksum = None if self._closed else self._checksum(self.shape[0])
            before = _Before(self.states, self.shape, self.dtype, checksum)
        return _reopened, (type(self), self._path, self._options, before)

    def _checksum(self, count: int) -> int:
        """Return a checksum of the first and the last of ``count`` frames."""
        first, last = self._checked(0, 1), self._checked(count - 1, count)
        return zlib.crc32(last.tobytes(), zlib.crc32(first.tobytes()))

    def _continues(self, before: _Before) -> bool:
        """Whether the movie is the one of before, as it was or with more written after it."""
        if self.states == before.states:
            return True
        count = before.shape[0]
        longer = self.shape[0] > count or any(
            now.bytes > then.bytes for now, then in zip(self.states, before.states, strict=False)
        )
        alike = (self.shape[1:], self.dtype) == (before.shape[1:], before.dtype)
        return longer and alike and count <= self.shape[0] and self._same_ends(before)

    def _same_ends(self, before: _Before) -> bool:
        return before.checksum == self._checksum(before.shape[0])


_Kind = TypeVar("_Kind", bound=FileMovie)


def _reopened(kind: type[_Kind], path: Path, options: dict[str, Any], before: _Before) -> _Kind:
    movie = kind(path, **options)
    if not movie._continues(before):
        movie.close()
        raise InputError(
            f"the file '{path}' is no longer the one that was opened: it has since been changed "
            "or replaced; start again with the current file"
        )
    return movie
