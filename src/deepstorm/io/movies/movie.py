"""What a movie is, what all movies share, and the one in memory."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.errors import InputError
from deepstorm.io.checking import require_finite, require_numbers, require_pixel_size


@runtime_checkable
class Movie(Protocol):
    """Frames of one camera, in the order of time.

    A movie is a context manager that closes itself. Frames are given in the type in which they are
    stored and are finite. The length changes in :meth:`refresh` and at no other time. A movie can
    be pickled: what comes out in another process is opened there, as by :meth:`reopen`.
    """

    @property
    def name(self) -> str:
        """What the movie is called in messages."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Length of the axes (frame, y, x)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""

    @property
    def pixel_size_nm(self) -> float | None:
        """Size of a camera pixel in nm where the source gives a credible one, else None."""

    @property
    def pixel_size_doubt(self) -> str:
        """What the source says of the size and why that is not believed; mostly empty."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people: what may be wrong with the movie, frames that lack for instance."""

    def read(self, start: int, stop: int) -> AnyArray:
        """Return the frames from ``start`` up to, not including, ``stop``; shape (n, y, x)."""

    def reopen(self) -> Movie:
        """Return the same movie opened anew; each is closed on its own.

        Raises
        ------
        InputError
            If the source is gone, or has become another one.
        """

    def refresh(self) -> int:
        """Look whether the source has more frames by now, and return how many there are.

        Raises
        ------
        InputError
            If the source has become another one.
        """

    def close(self) -> None:
        """Let go of the source."""

    def __enter__(self) -> Self:
        """Return the movie itself."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the movie."""


class MovieBase:
    """What movies have in common: they close themselves, and by default they do not grow.

    ``__reduce__`` says what opens the movie again, for pickle as for :meth:`reopen`.
    """

    @property
    def pixel_size_doubt(self) -> str:
        """Why a stated pixel size is not believed; by default none is stated."""
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What may be wrong with the movie; by default nothing is known."""
        return ()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return a function that opens the movie again, and its arguments."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to reopen it")

    def reopen(self) -> Any:
        """Return the same movie opened anew; each is closed on its own."""
        again, arguments = self.__reduce__()
        return again(*arguments)

    def refresh(self: Movie) -> int:
        """Return the number of frames, which by default does not change."""
        return self.shape[0]

    def close(self) -> None:
        """Let go of the source; by default it belongs to somebody else."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class WrappedMovie(MovieBase):
    """A movie made of another one, of whose source it says what that one says.

    Parameters
    ----------
    movie : Movie
        Closed with it.
    """

    def __init__(self, movie: Movie) -> None:
        self._movie = movie

    @property
    def name(self) -> str:
        """Name of the movie."""
        return self._movie.name

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._movie.dtype

    @property
    def pixel_size_nm(self) -> float | None:
        """Size of a camera pixel where the source gives one."""
        return self._movie.pixel_size_nm

    @property
    def pixel_size_doubt(self) -> str:
        """Why the size that the source states is not believed."""
        return self._movie.pixel_size_doubt

    @property
    def notes(self) -> tuple[str, ...]:
        """What may be wrong with the movie."""
        return self._movie.notes

    def reopen(self) -> Any:
        """Return the same of the other movie opened anew."""
        again, (movie, *rest) = self.__reduce__()
        return again(movie.reopen(), *rest)

    def close(self) -> None:
        """Close the movie."""
        self._movie.close()


def require_range(start: int, stop: int, movie: Movie) -> None:
    """Refuse a range of frames that is not inside a movie.

    Raises
    ------
    IndexError
        If it is not.
    """
    count = movie.shape[0]
    if not 0 <= start <= stop <= count:
        raise IndexError(f"frames {start} to {stop} are outside '{movie.name}', which has {count}")


class ArrayMovie(MovieBase):
    """Frames of an array in memory, or of a memory-mapped one.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x) or (y, x)
        Real numbers; a 2D array is a movie of one frame. It is not copied.
    pixel_size_nm : float, optional
        Size of a camera pixel.
    name : str
        What the movie is called in messages.

    Raises
    ------
    InputError
        If the array has another number of axes, is empty, or holds anything but real numbers.
    """

    def __init__(
        self,
        frames: AnyArray,
        pixel_size_nm: float | None = None,
        name: str = "array",
    ) -> None:
        if frames.ndim not in (2, 3):
            raise InputError(f"'{name}' has shape {frames.shape}; expected (frame, y, x) or (y, x)")
        if frames.size == 0:
            raise InputError(f"'{name}' has shape {frames.shape} and holds no pixels")
        require_numbers(frames.dtype, name)
        self._frames = frames if frames.ndim == 3 else frames[np.newaxis]
        count, height, width = self._frames.shape
        self.shape = (count, height, width)
        self.name = name
        self.pixel_size_nm = None if pixel_size_nm is None else require_pixel_size(pixel_size_nm)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the type and what it was made of."""
        return type(self), (self._frames, self.pixel_size_nm, self.name)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in the byte order of this machine."""
        return self._frames.dtype.newbyteorder("=")

    def read(self, start: int, stop: int) -> AnyArray:
        """Return the frames from ``start`` up to, not including, ``stop``.

        Raises
        ------
        IndexError
            If the range is not inside the movie.
        InputError
            If a frame holds NaN or infinite pixels.
        """
        require_range(start, stop, self)
        block = self._frames[start:stop].astype(self.dtype, copy=False)
        require_finite(block, start, self.name)
        return block
