"""The parts that pictures for people are made of: colours, magnification, scale bars."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepstorm.arrays import AnyArray, RgbArray
from deepstorm.errors import InputError

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont


_GAMMA = 0.7
"""Below 1, so that a thin filament is seen beside a bright crossing of several."""
_BAR_FRACTION = 0.2
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def coloured(image: AnyArray, colormap: str) -> RgbArray:
    """Show intensities as colours.

    Black stands for the darkest half per cent of the pixels, the top of the colour map for the
    99.5th percentile of those brighter than that: most pixels of a super-resolution image are
    empty, and a percentile of all of them would be empty too.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        Finite numbers.
    colormap : str
        A name that matplotlib knows.

    Returns
    -------
    ndarray of uint8, shape (y, x, 3)

    Raises
    ------
    InputError
        If the colour map is not known.
    """
    from matplotlib import colormaps

    if colormap not in colormaps:
        raise InputError(f"the colour map '{colormap}' is not known; try inferno, gray or viridis")
    values = np.asarray(image, dtype=np.float64)
    low = np.percentile(values, 0.5)
    above = values[values > low]
    span = np.percentile(above, 99.5) - low if above.size else 1.0
    shown = np.clip((values - low) / span, 0, 1) ** _GAMMA
    colours: RgbArray = colormaps[colormap](shown, bytes=True)[..., :3]
    return colours


def shrunk(image: AnyArray, longest: int) -> tuple[AnyArray, int]:
    """Average whole blocks of pixels until no side is longer than ``longest``.

    Returns
    -------
    image : ndarray, shape (ceil(y / factor), ceil(x / factor))
        The last row and column may average fewer pixels.
    factor : int
        Pixels that became one, along each side.
    """
    factor = math.ceil(max(image.shape) / longest)
    if factor <= 1:
        return image, 1
    averaged = image  # not copied: it may be large
    for axis in (0, 1):
        starts = np.arange(0, image.shape[axis], factor)
        counts = np.diff(np.append(starts, image.shape[axis]))
        sums = np.add.reduceat(averaged, starts, axis=axis, dtype=np.float64)
        averaged = sums / (counts[:, None] if axis == 0 else counts)
    return averaged, factor


def round_length_nm(field_nm: float) -> float:
    """Return a length of the series 1, 2, 5, 10, … close to a fifth of a field of view."""
    target = _BAR_FRACTION * field_nm
    decade = 10.0 ** math.floor(math.log10(target))
    return min((decade * step for step in (1, 2, 5, 10)), key=lambda nm: abs(math.log(nm / target)))


def length_label(length_nm: float) -> str:
    """Write a length in nm, or from 1000 nm on in µm."""
    return f"{length_nm:g} nm" if length_nm < 1000 else f"{length_nm / 1000:g} µm"


@lru_cache(maxsize=8)
def font(height: int) -> ImageFont.FreeTypeFont:
    """Return the font that comes with matplotlib, which has µ, about ``height`` pixels tall."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), height)


def draw_scale_bar(picture: Image.Image, nm_per_pixel: float, least_text_px: int = 12) -> None:
    """Burn a scale bar with its label into the lower right corner of a picture.

    Parameters
    ----------
    picture : PIL image
        RGB, or RGBA; changed in place.
    nm_per_pixel : float
        Size in the specimen of one pixel of the picture.
    least_text_px : int
        Height of the label, which is the larger the larger the picture.
    """
    from PIL import ImageDraw

    length_nm = round_length_nm(picture.width * nm_per_pixel)
    bar = max(1, round(length_nm / nm_per_pixel))
    text_height = max(least_text_px, round(min(picture.size) / 24))
    thickness = max(2, text_height // 4)
    right = picture.width - text_height
    bottom = picture.height - text_height
    draw = ImageDraw.Draw(picture)
    box = (right - bar, bottom - thickness, right - 1, bottom - 1)
    # The dark rim keeps bar and label legible where the specimen is bright.
    draw.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), fill=_BLACK)
    draw.rectangle(box, fill=_WHITE)
    middle = right - bar / 2
    _draw_text(draw, (middle, bottom - 2 * thickness), length_label(length_nm), text_height)


def _draw_text(
    draw: ImageDraw.ImageDraw, foot: tuple[float, float], text: str, height: int
) -> None:
    """Write a line that is centred over a point."""
    rim = max(1, height // 10)
    draw.text(foot, text, _WHITE, font(height), anchor="md", stroke_width=rim, stroke_fill=_BLACK)


def titled(picture: Image.Image, title: str, text_height: int) -> Image.Image:
    """Return a picture with a title on a black band above it, cut to its width."""
    from PIL import Image, ImageDraw

    band = 2 * text_height
    whole = Image.new("RGB", (picture.width, picture.height + band), _BLACK)
    whole.paste(picture, (0, band))
    letters = font(text_height)
    while len(title) > 1 and letters.getlength(title) > picture.width:
        title = title[:-2].rstrip() + "…"
    ImageDraw.Draw(whole).text((picture.width / 2, band / 2), title, _WHITE, letters, anchor="mm")
    return whole
