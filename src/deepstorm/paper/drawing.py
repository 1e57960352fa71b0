"""Pictures of the reproduction, and what is drawn on their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepstorm.arrays import AnyArray, RgbArray
from deepstorm.paper.findings import Picture
from deepstorm.reports.drawing import coloured
from deepstorm.reports.panels import Curve, Panel, panels_figure, png_of

Box = tuple[float, float, float, float]


def pictured(
    name: str, caption: str, panels: Sequence[Panel], columns: int, *, width_inch: float = 3.0
) -> Picture:
    """Draw panels row by row into a picture of a part."""
    return Picture(name, caption, png_of(panels_figure(panels, columns, width_inch=width_inch)))


def cropped(image: AnyArray, pixel_size_nm: float, box: Box) -> AnyArray:
    """Return the pixels of a region, (x0, y0, x1, y1) in nm."""
    x0, y0, x1, y1 = (max(round(edge / pixel_size_nm), 0) for edge in box)
    return image[y0:y1, x0:x1]


def merged(truth: AnyArray, found: AnyArray) -> RgbArray:
    """Show the truth in red and what was found in green; where they agree is yellow."""
    red, green = (coloured(image, "gray")[..., 0] for image in (truth, found))
    return np.stack([red, green, np.zeros_like(red)], axis=-1)


def outlined(box: Box, pixel_size_nm: float) -> Curve:
    """Return the outline of a region, (x0, y0, x1, y1) in nm, on an image."""
    x0, y0, x1, y1 = (edge / pixel_size_nm for edge in box)
    return Curve([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], colour="white")


def crosses(places_nm: AnyArray, pixel_size_nm: float) -> Curve:
    """Return crosses at places, (n, 2) as (x, y) in nm, on an image."""
    x, y = places_nm.T / pixel_size_nm
    return Curve(x, y, style="x", colour="cyan")


def circles(places_nm: AnyArray, pixel_size_nm: float) -> Curve:
    """Return circles around places, (n, 2) as (x, y) in nm, on an image."""
    x, y = places_nm.T / pixel_size_nm
    return Curve(x, y, style="o", colour="lime")
