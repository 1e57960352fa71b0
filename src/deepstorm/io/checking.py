"""What every reader of this room checks before it trusts what it was given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.files import check_named

MAX_FRAME_PIXELS = 2**28
"""More pixels than any camera frame has: the header of a movie beyond it is wrong."""

MAX_IMAGE_PIXELS = 2**30
"""Pixels of the largest super-resolution image: eightfold, of a camera of 4096 × 4096."""

HEAD_BYTES = 64
"""As many bytes of a file as its format is told by."""


def existing_file(path: PathLike) -> Path:
    """Return ``path`` if it is a regular file that holds something.

    Raises
    ------
    InputError
        If it is missing, a folder, a device or pipe, not readable, or empty.
    """
    file = check_named(path)
    if not file.exists():
        raise InputError(f"the file '{file}' does not exist; check its name and folder")
    if not file.is_file():
        raise InputError(f"'{file}' is not a regular file; give the name of a file")
    if not os.access(file, os.R_OK):
        raise InputError(f"the file '{file}' cannot be read; check its permissions")
    if file.stat().st_size == 0:
        raise InputError(f"the file '{file}' is empty; it may not have been copied completely")
    return file


def head_of(file: Path) -> bytes:
    """Return the first bytes of a file, by which its format is told.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        with file.open("rb") as handle:
            return handle.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"the file '{file}' cannot be read: {error}") from error


def require_numbers(dtype: np.dtype[Any], name: str) -> None:
    """Refuse pixel types that are not real numbers."""
    if dtype.kind not in "uif":
        raise InputError(
            f"'{name}' holds pixels of type {dtype}; expected integers or floating-point numbers"
        )


def require_finite(block: AnyArray, first_frame: int, name: str) -> None:
    """Refuse frames with NaN or infinite pixels.

    Parameters
    ----------
    block : ndarray, shape (n, y, x)
        Frames as they were read.
    first_frame : int
        Index of the first of them in the movie.
    name : str
        What the frames came from, for the message.
    """
    if block.dtype.kind != "f":
        return
    finite = np.isfinite(block).all(axis=(1, 2))
    if not finite.all():
        frame = first_frame + int(np.argmin(finite))
        raise InputError(
            f"'{name}': frame {frame} (counted from 0) holds NaN or infinite pixels; replace "
            "them before using the movie"
        )


def require_pixel_size(pixel_size_nm: float) -> float:
    """Return a pixel size in nm if it is a positive number.

    Raises
    ------
    InputError
        If it is zero, negative, NaN or infinite.
    """
    if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise InputError(f"the pixel size is {pixel_size_nm} nm; expected a positive number")
    return float(pixel_size_nm)


def require_image(image: AnyArray, name: str) -> None:
    """Refuse what is no image: other than two axes, empty, or not of finite real numbers."""
    if image.ndim != 2 or image.size == 0:
        raise InputError(f"{name} has shape {image.shape}; expected a 2D array (y, x)")
    require_numbers(image.dtype, name)
    if not np.isfinite(image).all():
        raise InputError(f"{name} holds NaN or infinite pixels; replace them first")
