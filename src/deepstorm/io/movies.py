"""Frames from files, lazily: one interface for every source, never the whole file in memory."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.io.checking import require_finite, require_numbers, require_pixel_size
from deepstorm.io.closing import ClosesItself
from deepstorm.io.tiff import TiffMovie

__all__ = ["ArrayMovie", "Movie", "TiffMovie", "movie_stream", "open_movie", "write_movie"]

_IMAGEJ_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


@runtime_checkable
class Movie(Protocol):
    """Frames of one camera, in the order of time.

    A movie is a context manager that closes itself. Frames are given in the type in which they are
    stored and are finite.
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

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the frames from ``start`` up to, not including, ``stop``; shape (n, y, x)."""

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


class ArrayMovie(ClosesItself):
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
        frames: npt.NDArray[Any],
        pixel_size_nm: float | None = None,
        name: str = "array",
    ) -> None:
        if frames.ndim not in (2, 3):
            raise InputError(f"'{name}' has shape {frames.shape}; expected (frame, y, x) or (y, x)")
        if frames.size == 0:
            raise InputError(f"'{name}' has shape {frames.shape} and holds no pixels")
        require_numbers(frames.dtype, name)
        self._frames = frames if frames.ndim == 3 else frames[np.newaxis]
        self.name = name
        self.pixel_size_nm = None if pixel_size_nm is None else require_pixel_size(pixel_size_nm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Length of the axes (frame, y, x)."""
        frames, height, width = self._frames.shape
        return frames, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in the byte order of this machine."""
        return self._frames.dtype.newbyteorder("=")

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Return the frames from ``start`` up to, not including, ``stop``.

        Raises
        ------
        IndexError
            If the range is not inside the movie.
        InputError
            If a frame holds NaN or infinite pixels.
        """
        count = len(self._frames)
        if not 0 <= start <= stop <= count:
            raise IndexError(f"frames {start} to {stop} are not inside '{self.name}' of {count}")
        block = self._frames[start:stop].astype(self.dtype, copy=False)
        require_finite(block, start, self.name)
        return block


class _LentMovie(ClosesItself):
    """A movie that somebody else opened and will close."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie
        self.name = movie.name
        self.shape = movie.shape
        self.dtype = movie.dtype
        self.pixel_size_nm = movie.pixel_size_nm

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        return self._movie.read(start, stop)


def open_movie(source: str | os.PathLike[str] | npt.NDArray[Any] | Movie) -> Movie:
    """Open a movie from whatever holds one.

    Parameters
    ----------
    source : path-like, ndarray or Movie
        A TIFF file; an array of shape (frame, y, x) or (y, x); or a movie that is already open,
        which then stays open when the returned one is closed.

    Returns
    -------
    Movie
        To be used as a context manager.

    Raises
    ------
    InputError
        If there is no movie in it; the message says what is wrong.
    """
    if isinstance(source, np.ndarray):
        return ArrayMovie(source)
    if isinstance(source, Movie):
        return _LentMovie(source)
    if isinstance(source, (str, os.PathLike)):
        return TiffMovie(source)
    raise InputError(
        f"a movie cannot be read from {type(source).__name__}; give a file name or an array"
    )


def write_movie(
    path: str | os.PathLike[str],
    frames: npt.NDArray[Any] | Iterable[npt.NDArray[Any]],
    pixel_size_nm: float | None,
    overwrite: bool = False,
) -> None:
    """Write a movie as a TIFF file that ImageJ opens as a time series.

    Blocks are written as they come. Up to 4 GB every frame has its own page table; a longer movie
    has one for all, ImageJ's own way beyond the limit of TIFF.

    Parameters
    ----------
    path : path-like
        Ending in ``.tif`` or ``.tiff``.
    frames : ndarray or iterable of ndarray, shape (n, y, x) each
        Types uint8, uint16 or float32, the ones that ImageJ has.
    pixel_size_nm : float, optional
        Size of a camera pixel, written into the header.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If there are no frames, they differ in size or type, or the file may not be written.
    """
    with movie_stream(path, pixel_size_nm, overwrite) as append:
        for block in [frames] if isinstance(frames, np.ndarray) else frames:
            append(block)


@contextlib.contextmanager
def movie_stream(
    path: str | os.PathLike[str], pixel_size_nm: float | None, overwrite: bool = False
) -> Iterator[Callable[[npt.NDArray[Any]], None]]:
    """Yield a function that appends blocks of frames to a movie; see :func:`write_movie`.

    The file appears, whole, when the context ends; an error within leaves nothing behind.

    Raises
    ------
    InputError
        As :func:`write_movie`.
    """
    from tifffile import TiffWriter

    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"the movie '{path}' would be TIFF; end its name in .tif")
    header: dict[str, Any] = {"metadata": {}}
    if pixel_size_nm is not None:
        per_um = 1000 / require_pixel_size(pixel_size_nm)
        header = {"resolution": (per_um, per_um), "metadata": {"unit": "um"}}
    alike = _AlikeFrames()
    with written_whole(path, overwrite=overwrite) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*truncating ImageJ file", UserWarning)
        with TiffWriter(partial, imagej=True) as writer:

            def append(block: npt.NDArray[Any]) -> None:
                alike.check(block)
                for frame in block:
                    # The axes (z, channel, y, x, sample), so that what accumulates is time.
                    writer.write(frame[None, None, :, :, None], contiguous=True, **header)

            yield append
            if alike.count == 0:
                raise InputError("there are no frames to write")


class _AlikeFrames:
    """Sees to it that all frames have the size and type of the first one."""

    def __init__(self) -> None:
        self.count = 0
        self._expected: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    def check(self, block: npt.NDArray[Any]) -> None:
        """Refuse a block that is none, differs from those before, or that ImageJ cannot hold."""
        if block.ndim != 3:
            raise InputError(f"a block of frames has shape {block.shape}; expected (n, y, x)")
        given = (block.shape[1:], block.dtype.newbyteorder("="))
        self._expected = self._expected or given
        if given != self._expected:
            raise InputError(
                f"frames of shape {given[0]} and type {given[1]} follow frames of shape "
                f"{self._expected[0]} and type {self._expected[1]}; they must be alike"
            )
        if given[1] not in _IMAGEJ_TYPES or 0 in given[0]:
            raise InputError(
                f"frames of shape {given[0]} and type {given[1]} cannot be written for ImageJ; "
                "expected pixels of type uint8, uint16 or float32"
            )
        self.count += len(block)
