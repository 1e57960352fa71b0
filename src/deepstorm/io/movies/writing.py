"""Movies into TIFF files, as their frames come."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.io.checking import require_pixel_size

_IMAGEJ_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


def write_movie(
    path: PathLike,
    frames: AnyArray | Iterable[AnyArray],
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
    path: PathLike, pixel_size_nm: float | None, overwrite: bool = False
) -> Iterator[Callable[[AnyArray], None]]:
    """Yield a function that appends blocks of frames to a movie; see :func:`write_movie`.

    The file appears, whole, when the context ends; an error within leaves nothing behind.

    Raises
    ------
    InputError
        As :func:`write_movie`.
    """
    from tifffile import TiffWriter

    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"the movie '{path}' is written as TIFF; end its name in .tif")
    header: dict[str, Any] = {"metadata": {}}
    if pixel_size_nm is not None:
        per_um = 1000 / require_pixel_size(pixel_size_nm)
        header = {"resolution": (per_um, per_um), "metadata": {"unit": "um"}}
    alike = _AlikeFrames()
    with written_whole(path, overwrite=overwrite) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*truncating ImageJ file", UserWarning)
        with TiffWriter(partial, imagej=True) as writer:

            def append(block: AnyArray) -> None:
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

    def check(self, block: AnyArray) -> None:
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
