"""Pictures of the reproduction: panels of images with scale bars, and curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from deepstorm.arrays import AnyArray, RgbArray
from deepstorm.reports.drawing import coloured, length_label, round_length_nm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCH = 3.0
DPI = 150
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ImagePanel:
    """An image with what is drawn on it.

    Parameters
    ----------
    title : str
    image : ndarray, shape (y, x) or (y, x, 3)
        Intensities, or colours.
    pixel_size_nm : float
    boxes : tuple of (x0, y0, x1, y1)
        Regions in nm that are outlined.
    crosses_nm : ndarray of shape (n, 2), optional
        Places (x, y).
    line_nm : ((x, y), (x, y)), optional
    colormap : str
    """

    title: str
    image: AnyArray
    pixel_size_nm: float
    boxes: tuple[Box, ...] = ()
    crosses_nm: AnyArray | None = None
    line_nm: tuple[tuple[float, float], tuple[float, float]] | None = None
    colormap: str = "inferno"


@dataclass(frozen=True, slots=True)
class Line:
    """A curve.

    Parameters
    ----------
    x, y : sequence of float
        y may hold ``None`` for what was not measured.
    label : str
    style : str
        Of matplotlib.
    """

    x: Sequence[float]
    y: Sequence[float | None]
    label: str
    style: str = "-o"


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """A diagram of curves."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    logarithmic_x: bool = False
    ticks: tuple[float, ...] = ()


Panel = ImagePanel | CurvePanel


def cropped(image: AnyArray, pixel_size_nm: float, box: Box) -> AnyArray:
    """Return the pixels of a region, (x0, y0, x1, y1) in nm."""
    x0, y0, x1, y1 = (max(round(edge / pixel_size_nm), 0) for edge in box)
    return image[y0:y1, x0:x1]


def merged(truth: AnyArray, found: AnyArray) -> RgbArray:
    """Show the truth in red and what was found in green; where they agree is yellow."""
    red, green = (coloured(image, "gray")[..., 0] for image in (truth, found))
    return np.stack([red, green, np.zeros_like(red)], axis=-1)


def drawn(panels: Sequence[Panel], columns: int, *, width_inch: float = PANEL_INCH) -> bytes:
    """Draw panels row by row; return a PNG."""
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    heights = [
        max(_relative_height(panel) for panel in panels[row * columns : (row + 1) * columns])
        for row in range(rows)
    ]
    size = (width_inch * columns, (width_inch + 0.05) * sum(heights) + 0.3 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, panel in zip(grid.ravel(), panels, strict=False):
        if isinstance(panel, ImagePanel):
            _draw_image(axes, panel)
        else:
            _draw_curves(axes, panel)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _relative_height(panel: Panel) -> float:
    """Return height over width."""
    if isinstance(panel, CurvePanel):
        return 0.8
    height, width = panel.image.shape[:2]
    return float(height / width)


def _draw_image(axes: Axes, panel: ImagePanel) -> None:
    image = panel.image if panel.image.ndim == 3 else coloured(panel.image, panel.colormap)
    height_nm, width_nm = (length * panel.pixel_size_nm for length in image.shape[:2])
    axes.imshow(image, extent=(0, width_nm, height_nm, 0))
    axes.set_title(panel.title, fontsize=9)
    axes.set_axis_off()
    for x0, y0, x1, y1 in panel.boxes:
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color="white", lw=0.8)
    if panel.crosses_nm is not None:
        axes.plot(panel.crosses_nm[:, 0], panel.crosses_nm[:, 1], "x", color="cyan", ms=4, mew=0.7)
    if panel.line_nm is not None:
        (x0, y0), (x1, y1) = panel.line_nm
        axes.plot([x0, x1], [y0, y1], color="yellow", lw=1)
    axes.set(xlim=(0, width_nm), ylim=(height_nm, 0))
    _draw_scale_bar(axes, width_nm, height_nm)


def _draw_scale_bar(axes: Axes, width_nm: float, height_nm: float) -> None:
    from matplotlib.patheffects import withStroke

    length_nm = round_length_nm(width_nm)
    right, bottom = 0.96 * width_nm, height_nm - 0.04 * width_nm
    # The dark rim keeps bar and label legible where the specimen is bright.
    rim = [withStroke(linewidth=2, foreground="black")]
    bar = [withStroke(linewidth=4.5, foreground="black")]
    ends = ([right - length_nm, right], [bottom, bottom])
    axes.plot(*ends, color="white", lw=2.5, path_effects=bar, solid_capstyle="butt")
    axes.text(
        right - length_nm / 2,
        bottom - 0.015 * width_nm,
        length_label(length_nm),
        color="white",
        fontsize=7,
        ha="center",
        va="bottom",
        path_effects=rim,
    )


def _draw_curves(axes: Axes, panel: CurvePanel) -> None:
    for line in panel.lines:
        y = [np.nan if value is None else value for value in line.y]
        axes.plot(line.x, y, line.style, label=line.label, ms=4, lw=1)
    axes.set_title(panel.title, fontsize=9)
    axes.set_xlabel(panel.x_label, fontsize=8)
    axes.set_ylabel(panel.y_label, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if panel.logarithmic_x:
        axes.set_xscale("log")
    if panel.ticks:
        axes.set_xticks(panel.ticks, [f"{tick:g}" for tick in panel.ticks])
        axes.set_xticks([], minor=True)
    if any(line.label for line in panel.lines):
        axes.legend(fontsize=7)
