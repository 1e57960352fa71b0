"""What a movie is, and the one in memory."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.errors import InputError
from deepstorm.io.checking import require_finite, require_numbers, require_pixel_size
from deepstorm.io.closing import ClosesItself


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

    def read(self, start: int, stop: int) -> AnyArray:
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

    def read(self, start: int, stop: int) -> AnyArray:
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
