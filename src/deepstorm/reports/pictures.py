"""Super-resolution images as pictures, with colour map and scale bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.io.checking import (
    require_image,
    require_pixel_size,
)
from deepstorm.reports.drawing import coloured, draw_scale_bar, shrunk, titled
from deepstorm.reports.panels import ImagePanel

if TYPE_CHECKING:
    from PIL import Image

_LONGEST_PX = 2048
_LEGIBLE_PX = 512
_PANEL_PX = (384, 768)
_GAP_PX = 8
_SAME_FIELD = 0.1


def write_preview(
    path: PathLike,
    image: AnyArray,
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
    require_image(image, "the image")
    require_pixel_size(pixel_size_nm)
    averaged, factor = shrunk(image, _LONGEST_PX)
    magnified = max(1, round(_LEGIBLE_PX / max(averaged.shape)))
    size = (averaged.shape[1] * magnified, averaged.shape[0] * magnified)
    picture = _picture(averaged, colormap, size)
    draw_scale_bar(picture, pixel_size_nm * factor / magnified)
    with written_whole(path, overwrite=overwrite) as partial:
        picture.save(partial)


def _picture(image: AnyArray, colormap: str, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(coloured(image, colormap)).resize(size, Image.Resampling.NEAREST)


def comparison_picture(
    path: PathLike,
    panels: Sequence[ImagePanel],
    overwrite: bool = False,
) -> None:
    """Write a PNG picture of several images of the same field side by side.

    Parameters
    ----------
    path : path-like
        Ending in ``.png``.
    panels : sequence of ImagePanel
        From left to right. Every image is shown at the same size, with its own contrast and a
        scale bar; curves are left out.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If there are no panels, an image is not a 2D array of finite numbers or has no pixel size,
        the fields differ by more than a tenth, or the file may not be written.
    """
    _require_png(path)
    width, height = _panel_size(panels)
    text_height = max(14, width // 22)
    shown = [titled(_panel(panel, (width, height)), panel.title, text_height) for panel in panels]
    with written_whole(path, overwrite=overwrite) as partial:
        _side_by_side(shown).save(partial)


def _panel_size(panels: Sequence[ImagePanel]) -> tuple[int, int]:
    """Return the width and height of every panel: the finest image's own, within limits."""
    if not panels:
        raise InputError("there are no images to compare")
    fields = [_field_nm(panel) for panel in panels]
    width_nm, height_nm = fields[0]
    for panel, (other_width, other_height) in zip(panels, fields, strict=True):
        if max(abs(other_width / width_nm - 1), abs(other_height / height_nm - 1)) > _SAME_FIELD:
            raise InputError(
                f"'{panel.title}' shows {other_width:g} × {other_height:g} nm, the first image "
                f"{width_nm:g} × {height_nm:g} nm; images of the same field are compared"
            )
    least, most = _PANEL_PX
    finest = max(max(panel.image.shape) for panel in panels)
    longest = min(max(finest, least), most)
    scale = longest / max(width_nm, height_nm)
    return max(1, round(width_nm * scale)), max(1, round(height_nm * scale))


def _field_nm(panel: ImagePanel) -> tuple[float, float]:
    """Return the width and height of what a panel shows."""
    require_image(panel.image, f"the image '{panel.title}'")
    if panel.pixel_size_nm is None:
        raise InputError(f"the image '{panel.title}' has no pixel size; give it in nm")
    pixel_nm = require_pixel_size(panel.pixel_size_nm)
    return panel.image.shape[1] * pixel_nm, panel.image.shape[0] * pixel_nm


def _panel(panel: ImagePanel, size: tuple[int, int]) -> Image.Image:
    averaged, _ = shrunk(panel.image, max(size))
    picture = _picture(averaged, panel.colormap, size)
    draw_scale_bar(picture, _field_nm(panel)[0] / size[0])
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


def _require_png(path: PathLike) -> None:
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"the picture '{path}' is written as PNG; end its name in .png")
