"""Super-resolution images in and out, with their physical pixel size, and pictures of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.io.checking import (
    MAX_IMAGE_PIXELS,
    existing_file,
    require_numbers,
    require_pixel_size,
)
from deepstorm.io.matlab import read_matrix
from deepstorm.io.movies.tiff.metadata import IMAGE_PIXELS_NM
from deepstorm.io.movies.tiff.stack import TiffMovie
from deepstorm.reports.drawing import coloured, draw_scale_bar, shrunk, titled

if TYPE_CHECKING:
    from PIL import Image

_NM_PER_CM = 1e7
_NPY_SIGNATURE = b"\x93NUMPY"
_LONGEST_PX = 2048
_LEGIBLE_PX = 512
_PANEL_PX = (384, 768)
_GAP_PX = 8
_SAME_FIELD = 0.1


def write_image(
    path: str | os.PathLike[str],
    image: npt.NDArray[Any],
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
        raise InputError(f"the image '{path}' would be TIFF; end its name in .tif")
    _require_image(image, "the image")
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


def _require_image(image: npt.NDArray[Any], name: str) -> None:
    if image.ndim != 2 or image.size == 0:
        raise InputError(f"{name} has shape {image.shape}; expected a 2D array (y, x)")
    require_numbers(image.dtype, name)
    if not np.isfinite(image).all():
        raise InputError(f"{name} holds NaN or infinite pixels; replace them first")


def read_image(path: str | os.PathLike[str]) -> tuple[npt.NDArray[Any], float | None]:
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
    elif _starts_with(file, _NPY_SIGNATURE):
        image, pixel_size_nm = _read_npy(file), None
    else:
        image, pixel_size_nm = _read_tiff(file)
    _require_image(image, f"'{file.name}'")
    return _as_float(image), pixel_size_nm


def _starts_with(file: Path, signature: bytes) -> bool:
    try:
        with file.open("rb") as handle:
            return handle.read(len(signature)) == signature
    except OSError as error:
        raise InputError(f"the file '{file}' cannot be read: {error}") from error


def _as_float(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    exact = np.can_cast(image.dtype, np.float32)
    return image.astype(np.float32 if exact else np.float64)


def _read_tiff(file: Path) -> tuple[npt.NDArray[Any], float | None]:
    with TiffMovie(file, credible_nm=IMAGE_PIXELS_NM, most_pixels=MAX_IMAGE_PIXELS) as movie:
        if movie.shape[0] != 1:
            raise InputError(f"'{file.name}' holds {movie.shape[0]} frames; expected one image")
        return movie.read(0, 1)[0], movie.pixel_size_nm


def _read_npy(file: Path) -> npt.NDArray[Any]:
    try:
        # Mapping the file refuses a header that claims more numbers than the file has.
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        return np.array(mapped)
    except Exception as error:
        raise InputError(f"'{file.name}' cannot be read as a NumPy array: {error}") from error


def write_preview(
    path: str | os.PathLike[str],
    image: npt.NDArray[Any],
    pixel_size_nm: float,
    overwrite: bool = False,
    colormap: str = "inferno",
) -> None:
    """Write a PNG picture of an image, with a scale bar burnt in.

    Small images are magnified by a whole factor, so that the label is legible; large ones are
    averaged down to at most 2048 pixels.

    Parameters
    ----------
    path : path-like
        Ending in ``.png``.
    image : ndarray, shape (y, x)
        Finite numbers.
    pixel_size_nm : float
        Size of a pixel of the image.
    overwrite : bool
        Whether an existing file may be replaced.
    colormap : str
        A name that matplotlib knows.

    Raises
    ------
    InputError
        If the image is not a 2D array of finite numbers, the colour map is not known, or the file
        may not be written.
    """
    _require_png(path)
    _require_image(image, "the image")
    require_pixel_size(pixel_size_nm)
    averaged, factor = shrunk(image, _LONGEST_PX)
    magnified = max(1, round(_LEGIBLE_PX / max(averaged.shape)))
    size = (averaged.shape[1] * magnified, averaged.shape[0] * magnified)
    picture = _picture(averaged, colormap, size)
    draw_scale_bar(picture, pixel_size_nm * factor / magnified)
    with written_whole(path, overwrite=overwrite) as partial:
        picture.save(partial)


def _picture(image: npt.NDArray[Any], colormap: str, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(coloured(image, colormap)).resize(size, Image.Resampling.NEAREST)


def comparison_picture(
    path: str | os.PathLike[str],
    panels: Sequence[tuple[str, npt.NDArray[Any], float]],
    overwrite: bool = False,
    colormap: str = "inferno",
) -> None:
    """Write a PNG picture of several images of the same field side by side.

    Parameters
    ----------
    path : path-like
        Ending in ``.png``.
    panels : sequence of (str, ndarray of shape (y, x), float)
        Title, image and pixel size in nm of each panel, from left to right. Every image is shown
        at the same size, with its own contrast and a scale bar.
    overwrite : bool
        Whether an existing file may be replaced.
    colormap : str
        A name that matplotlib knows.

    Raises
    ------
    InputError
        If there are no panels, an image is not a 2D array of finite numbers, the fields differ by
        more than a tenth, or the file may not be written.
    """
    _require_png(path)
    size = _panel_size(panels)
    text_height = max(14, size[0] // 22)
    shown = [
        titled(_panel(image, pixel_size_nm, size, colormap), title, text_height)
        for title, image, pixel_size_nm in panels
    ]
    with written_whole(path, overwrite=overwrite) as partial:
        _side_by_side(shown).save(partial)


def _panel_size(panels: Sequence[tuple[str, npt.NDArray[Any], float]]) -> tuple[int, int]:
    """Return the width and height of every panel: the finest image's own, within limits."""
    if not panels:
        raise InputError("there are no images to compare")
    fields: list[tuple[float, float]] = []
    for title, image, pixel_size_nm in panels:
        _require_image(image, f"the image '{title}'")
        pixel_nm = require_pixel_size(pixel_size_nm)
        fields.append((image.shape[1] * pixel_nm, image.shape[0] * pixel_nm))
    width_nm, height_nm = fields[0]
    for (title, _, _), (other_width, other_height) in zip(panels, fields, strict=True):
        if max(abs(other_width / width_nm - 1), abs(other_height / height_nm - 1)) > _SAME_FIELD:
            raise InputError(
                f"'{title}' shows {other_width:g} × {other_height:g} nm, the first image "
                f"{width_nm:g} × {height_nm:g} nm; images of the same field are compared"
            )
    least, most = _PANEL_PX
    finest = max(max(image.shape) for _, image, _ in panels)
    longest = min(max(finest, least), most)
    scale = longest / max(width_nm, height_nm)
    return max(1, round(width_nm * scale)), max(1, round(height_nm * scale))


def _panel(
    image: npt.NDArray[Any], pixel_size_nm: float, size: tuple[int, int], colormap: str
) -> Image.Image:
    averaged, _ = shrunk(image, max(size))
    picture = _picture(averaged, colormap, size)
    draw_scale_bar(picture, image.shape[1] * pixel_size_nm / size[0])
    return picture


def _side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    from PIL import Image

    width = sum(picture.width for picture in pictures) + _GAP_PX * (len(pictures) - 1)
    whole = Image.new("RGB", (width, pictures[0].height))
    left = 0
    for picture in pictures:
        whole.paste(picture, (left, 0))
        left += picture.width + _GAP_PX
    return whole


def _require_png(path: str | os.PathLike[str]) -> None:
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"the picture '{path}' would be PNG; end its name in .png")
