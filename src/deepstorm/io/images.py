"""Super-resolution images in and out, with their physical pixel size, and pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.io.checking import (
    MAX_IMAGE_PIXELS,
    existing_file,
    head_of,
    require_image,
    require_pixel_size,
)
from deepstorm.io.matlab import read_matrix
from deepstorm.io.movies.npy import NpyFormat, map_npy
from deepstorm.io.movies.tiff.pixel_sizes import IMAGE_PIXELS_NM
from deepstorm.io.movies.tiff.stack import TiffMovie

_NM_PER_CM = 1e7
_PICTURES = {
    "PNG": (b"\x89PNG",),
    "JPEG": (b"\xff\xd8\xff",),
    "GIF": (b"GIF8",),
    "BMP": (b"BM",),
    "PDF": (b"%PDF",),
    "WebP or AVI": (b"RIFF",),
}


def write_image(
    path: PathLike,
    image: AnyArray,
    pixel_size_nm: float,
    description: str = "",
    overwrite: bool = False,
) -> None:
    """Write an image as a 32-bit floating-point OME-TIFF.

    The physical pixel size stands both in the OME metadata and in the resolution tags of TIFF, so
    that readers of either find it.

    Parameters
    ----------
    path : path-like
        Ending in ``.tif`` or ``.tiff``; the content is OME-TIFF in any case.
    image : ndarray, shape (y, x)
        Finite numbers, stored as float32.
    pixel_size_nm : float
        Size of a pixel of the image.
    description : str
        What the image is, for whoever opens it.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the image is not a 2D array of finite numbers or the file may not be written.
    """
    from tifffile import imwrite

    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"the image '{path}' is written as TIFF; end its name in .tif")
    require_image(image, "the image")
    per_cm = _NM_PER_CM / require_pixel_size(pixel_size_nm)
    metadata: dict[str, Any] = {"axes": "YX", "Description": _printable(description)}
    for axis in "XY":
        metadata |= {f"PhysicalSize{axis}": pixel_size_nm, f"PhysicalSize{axis}Unit": "nm"}
    with written_whole(path, overwrite=overwrite) as partial:
        imwrite(
            partial,
            image.astype(np.float32, copy=False),
            ome=True,
            photometric="minisblack",
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            metadata=metadata,
        )


def _printable(text: str) -> str:
    """Leave out the characters that XML cannot hold."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def read_image(path: PathLike) -> tuple[AnyArray, float | None]:
    """Read a single image.

    Parameters
    ----------
    path : path-like
        TIFF of one page, NumPy ``.npy``, or MATLAB ``.mat`` with one matrix.

    Returns
    -------
    image : ndarray of float32 or float64, shape (y, x)
        float64 where float32 could not hold the stored numbers.
    pixel_size_nm : float or None
        Size of a pixel where the file gives a credible one.

    Raises
    ------
    InputError
        If the file is missing or damaged, or does not hold a single greyscale image of finite
        numbers.
    """
    file = existing_file(path)
    if file.suffix.lower() == ".mat":
        image, pixel_size_nm = read_matrix(file), None
    elif NpyFormat.matches(head_of(file), file):
        image, pixel_size_nm = np.array(map_npy(file)), None
    else:
        _refuse_picture(file)
        image, pixel_size_nm = _read_tiff(file)
    require_image(image, f"'{file.name}'")
    return _as_float(image), pixel_size_nm


def _refuse_picture(file: Path) -> None:
    """Refuse what is made to be looked at: its brightness is no longer that of the image."""
    head = head_of(file)
    for kind, signatures in _PICTURES.items():
        if head.startswith(signatures):
            raise InputError(
                f"'{file.name}' is a picture ({kind}), whose colours and contrast are for the eye; "
                "give the image itself: TIFF, NumPy .npy or MATLAB .mat"
            )


def _as_float(image: AnyArray) -> AnyArray:
    exact = np.can_cast(image.dtype, np.float32)
    return image.astype(np.float32 if exact else np.float64)


def _read_tiff(file: Path) -> tuple[AnyArray, float | None]:
    with TiffMovie(file, credible_nm=IMAGE_PIXELS_NM, most_pixels=MAX_IMAGE_PIXELS) as movie:
        if movie.shape[0] != 1:
            raise InputError(f"'{file.name}' holds {movie.shape[0]} frames; expected one image")
        return movie.read(0, 1)[0], movie.pixel_size_nm
