"""Pictures of a whole field, and of regions of it, by every method."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.paper.drawing import cropped, outlined, pictured
from deepstorm.paper.findings import Picture
from deepstorm.paper.methods import Imaged
from deepstorm.paper.movies import PIXEL_NM, Specimen
from deepstorm.reports.panels import Curve, ImagePanel

COLUMNS = 4

# Title, image, and size of its pixels in nm.
Shown = list[tuple[str, AnyArray, float]]
Place = tuple[float, float]


def title_of(imaged: Imaged, specimen: Specimen) -> str:
    """Return the method, with its number of frames where it was not given all."""
    part = len(imaged.frames) < len(specimen.frames)
    return f"{imaged.method}, {len(imaged.frames)} frames" if part else imaged.method


def field_pictures(
    shown: Shown, specimen: Specimen, caption: str, line_nm: tuple[Place, Place] | None = None
) -> tuple[Picture, ...]:
    """Draw the whole field with its regions outlined, and each region by itself.

    Parameters
    ----------
    shown : list
    specimen : Specimen
        Has the regions.
    caption : str
        Of the whole field.
    line_nm : optional
        Ends of a line to draw into the field.
    """
    panels = []
    for title, image, pixel_nm in shown:
        curves = [outlined(region, pixel_nm) for region in specimen.regions]
        if line_nm is not None:
            x, y = np.transpose(line_nm) / pixel_nm
            curves.append(Curve(x, y, colour="yellow"))
        panels.append(ImagePanel(title, image, pixel_nm, _colormap(pixel_nm), curves=tuple(curves)))
    whole = pictured("overview", caption, panels, COLUMNS)
    return whole, *(_magnified(shown, specimen, index) for index in range(len(specimen.regions)))


def _magnified(shown: Shown, specimen: Specimen, index: int) -> Picture:
    region = specimen.regions[index]
    panels = [
        ImagePanel(title, cropped(image, pixel_nm, region), pixel_nm, _colormap(pixel_nm))
        for title, image, pixel_nm in shown
    ]
    caption = f"Region {index + 1} of those outlined above."
    return pictured(f"region{index + 1}", caption, panels, COLUMNS)


def _colormap(pixel_nm: float) -> str:
    """Return gray for what a camera sees."""
    return "gray" if pixel_nm == PIXEL_NM else "inferno"
