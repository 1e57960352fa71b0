"""Panels of curves and of images, side by side in one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.files import written_whole
from deepstorm.reports.drawing import coloured, shrunk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_TITLE_INCH = 0.3
_LONGEST_IMAGE_PX = 1024
_TITLE_SIZE, _LABEL_SIZE, _TICK_SIZE = 10, 9, 8
_FULL_MARK = {"markersize": 4}
_HOLLOW_MARK = {"markersize": 5, "markerfacecolor": "none"}
_FLATTEST, _TALLEST = 0.25, 1.5
_PLAIN_RANGE = 20.0
"""Up to this ratio of values, numbers fit along a logarithmic axis without powers of ten."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line or marks, in a diagram or on an image.

    Parameters
    ----------
    x, y : sequence of float, length n
        On an image in its pixels, from the outer corner of the first one. y may hold ``None`` for
        what was not measured.
    label : str
        For the legend; none where empty.
    style : str
        Of matplotlib, without a colour: ``-`` joins the points, ``o`` marks them.
    colour : str, optional
        The next of a series where absent.
    """

    x: Sequence[float] | AnyArray
    y: Sequence[float | None] | AnyArray
    label: str = ""
    style: str = "-"
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """A diagram of curves.

    Parameters
    ----------
    title, x_label, y_label : str
    curves : tuple of Curve
    logarithmic : str
        Axes that are: ``x``, ``y`` or ``xy``. y stays linear where nothing is above zero.
    ticks : tuple of float
        Along x; chosen by themselves where empty.
    relative_height : float
        Over the width.
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    logarithmic: str = ""
    ticks: tuple[float, ...] = ()
    relative_height: float = 0.8


@dataclass(frozen=True, slots=True)
class ImagePanel:
    """An image with a scale bar.

    Parameters
    ----------
    title : str
    image : ndarray, shape (y, x) or (y, x, 3)
        Intensities, or colours.
    pixel_size_nm : float, optional
        No scale bar where absent.
    colormap : str
    unit : str
        Of intensities that are to be read: shown linearly, with a bar that explains their colours
        and pixels numbered along the axes. Where empty, contrast is that of other pictures.
    curves : tuple of Curve
        Drawn on the image; marks are hollow, so that what they mark is seen.
    """

    title: str
    image: AnyArray
    pixel_size_nm: float | None = None
    colormap: str = "inferno"
    unit: str = ""
    curves: tuple[Curve, ...] = ()

    @property
    def relative_height(self) -> float:
        """Height of the panel over its width, within limits."""
        height, width = self.image.shape[:2]
        beside_bar = 0.8 if self.unit else 1.0  # which takes a fifth of the width
        return float(min(max(beside_bar * height / width, _FLATTEST), _TALLEST))


Panel = ImagePanel | CurvePanel


def panels_figure(
    panels: Sequence[Panel],
    columns: int,
    *,
    width_inch: float = 3.0,
    title: str = "",
    share_x: bool = False,
) -> Figure:
    """Draw panels row by row.

    Parameters
    ----------
    panels : sequence of ImagePanel or CurvePanel
    columns : int
        Panels in a row, at most.
    width_inch : float
        Of one panel.
    title : str
        Above all panels.
    share_x : bool
        Whether curves above each other have one axis along x.
    """
    from matplotlib.figure import Figure

    columns = min(columns, len(panels))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(panel.relative_height for panel in row) for row in rows]
    above = _TITLE_INCH * (sum(any(panel.title for panel in row) for row in rows) + bool(title))
    size = (width_inch * columns, width_inch * sum(heights) + above)
    figure = Figure(figsize=size, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=_TITLE_SIZE + 2, parse_math=False)
    grid = figure.subplots(
        len(rows), columns, squeeze=False, height_ratios=heights, sharex="col" if share_x else False
    )
    for axes, panel in zip(grid.ravel(), panels, strict=False):
        axes.set_title(panel.title, fontsize=_TITLE_SIZE, parse_math=False)
        if isinstance(panel, ImagePanel):
            _draw_image(axes, panel)
        else:
            _draw_diagram(axes, panel)
    for axes in grid.ravel()[len(panels) :]:
        axes.remove()
    return figure


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def write_figure(path: PathLike, figure: Figure, *, overwrite: bool = False) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises
    ------
    InputError
        If the file may not be written.
    """
    with written_whole(path, overwrite=overwrite) as partial:
        partial.write_bytes(png_of(figure))


def _draw_curves(axes: Axes, curves: Sequence[Curve], mark: Mapping[str, object]) -> None:
    for curve in curves:
        values = np.asarray(curve.y, dtype=np.float64)  # None becomes NaN
        (line,) = axes.plot(curve.x, values, curve.style, label=curve.label, color=curve.colour)
        line.set(linewidth=1, **mark)


def _draw_diagram(axes: Axes, panel: CurvePanel) -> None:
    _draw_curves(axes, panel.curves, _FULL_MARK)
    axes.set_xlabel(panel.x_label, fontsize=_LABEL_SIZE)
    axes.set_ylabel(panel.y_label, fontsize=_LABEL_SIZE)
    axes.tick_params(which="both", labelsize=_TICK_SIZE)
    axes.grid(alpha=0.3)
    if "x" in panel.logarithmic:
        axes.set_xscale("log")
    if "y" in panel.logarithmic:
        _make_y_logarithmic(axes, panel.curves)
    if panel.ticks:
        axes.set_xticks(panel.ticks, [f"{tick:g}" for tick in panel.ticks])
        axes.set_xticks([], minor=True)
    if any(curve.label for curve in panel.curves):
        axes.legend(fontsize=_TICK_SIZE)


def _make_y_logarithmic(axes: Axes, curves: Sequence[Curve]) -> None:
    values = np.concatenate([np.asarray(curve.y, dtype=np.float64) for curve in curves])
    shown = values[values > 0]
    if not shown.size:
        return
    axes.set_yscale("log")
    if shown.max() < _PLAIN_RANGE * shown.min():
        axes.yaxis.set_major_formatter("{x:.3g}")
        axes.yaxis.set_minor_formatter("{x:.3g}")


def _draw_image(axes: Axes, panel: ImagePanel) -> None:
    image, (height, width) = panel.image, panel.image.shape[:2]
    if image.ndim == 2:
        image, _ = shrunk(image, _LONGEST_IMAGE_PX)
    if panel.unit:
        drawn = axes.imshow(image, cmap=panel.colormap, extent=(0, width, height, 0))
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.8)
        bar.set_label(panel.unit, fontsize=_LABEL_SIZE)
        bar.ax.tick_params(labelsize=_TICK_SIZE)
        axes.tick_params(labelsize=_TICK_SIZE)
    else:
        colours = image if image.ndim == 3 else coloured(image, panel.colormap)
        axes.imshow(colours, extent=(0, width, height, 0))
        axes.set_axis_off()
    _draw_curves(axes, panel.curves, _HOLLOW_MARK)
    axes.set(xlim=(0, width), ylim=(height, 0))
    if panel.pixel_size_nm is not None:
        from deepstorm.reports.scale_bar import ScaleBar

        axes.add_artist(ScaleBar(width * panel.pixel_size_nm))
