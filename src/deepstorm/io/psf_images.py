"""Images of a PSF in and out: 32-bit TIFF stacks with pixel size and distance of planes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array, PathLike
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.io.checking import require_numbers, require_pixel_size
from deepstorm.io.movies.tiff.pixel_sizes import IMAGE_PIXELS_NM
from deepstorm.io.movies.tiff.stack import TiffMovie

LARGEST_SIDE_PX = 4096


def write_psf(
    path: PathLike,
    planes: AnyArray,
    pixel_size_nm: float,
    z_step_nm: float | None = None,
    overwrite: bool = False,
) -> None:
    """Write the image of a PSF as a stack that ImageJ opens, with its lengths in µm.

    Parameters
    ----------
    path : path-like
        Ending in ``.tif`` or ``.tiff``.
    planes : ndarray, shape (z, y, x)
        Stored as float32.
    pixel_size_nm : float
        Size of a pixel of the image.
    z_step_nm : float, optional
        Distance between planes.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the planes are no stack of finite numbers, or the file may not be written.
    """
    from tifffile import imwrite

    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"the PSF '{path}' is written as TIFF; end its name in .tif")
    _require_stack(planes, "the PSF")
    per_um = 1000 / require_pixel_size(pixel_size_nm)
    metadata: dict[str, Any] = {"axes": "ZYX", "unit": "um"}
    if z_step_nm is not None:
        metadata["spacing"] = z_step_nm / 1000
    with written_whole(path, overwrite=overwrite) as partial:
        imwrite(
            partial,
            planes.astype(np.float32),
            imagej=True,
            resolution=(per_um, per_um),
            metadata=metadata,
        )


def read_psf(
    path: PathLike,
) -> tuple[Float64Array, float, float | None]:
    """Read the image of a PSF.

    Parameters
    ----------
    path : path-like
        A TIFF file of one plane or several, with its pixel size.

    Returns
    -------
    planes : ndarray of float64, shape (z, y, x)
    pixel_size_nm : float
    z_step_nm : float or None
        Distance between planes, where the file gives it.

    Raises
    ------
    InputError
        If the file is missing, damaged, no greyscale stack, or does not tell its pixel size.
    """
    with TiffMovie(path, credible_nm=IMAGE_PIXELS_NM) as movie:
        if movie.pixel_size_nm is None:
            raise InputError(
                f"the PSF '{movie.name}' does not give its pixel size; set it in Fiji (Image › "
                "Properties) and save it again"
            )
        _, height, width = movie.shape
        if max(height, width) > LARGEST_SIDE_PX:
            raise InputError(
                f"the PSF '{movie.name}' has {height} × {width} pixels; expected the image of one "
                f"emitter, of at most {LARGEST_SIDE_PX} pixels"
            )
        planes = movie.read(0, movie.shape[0])
        _require_stack(planes, f"the PSF '{movie.name}'")
        return planes.astype(np.float64), movie.pixel_size_nm, _z_step_nm(path)


def _z_step_nm(path: PathLike) -> float | None:
    """Return the distance of planes that ImageJ's description gives, in µm as it is written."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        found = (file.imagej_metadata or {}).get("spacing")
    return 1000 * float(found) if isinstance(found, float | int) and found > 0 else None


def _require_stack(planes: AnyArray, name: str) -> None:
    if planes.ndim != 3 or planes.size == 0:
        raise InputError(f"{name} has shape {planes.shape}; expected a stack (z, y, x)")
    require_numbers(planes.dtype, name)
    if not np.isfinite(planes).all():
        raise InputError(f"{name} holds NaN or infinite pixels; replace them first")
