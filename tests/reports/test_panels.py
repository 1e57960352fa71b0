from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.figure import Figure
from PIL import Image

from deepstorm.errors import InputError
from deepstorm.reports.drawing import draw_scale_bar
from deepstorm.reports.panels import (
    Curve,
    CurvePanel,
    ImagePanel,
    panels_figure,
    png_of,
    write_figure,
)

DARK = np.zeros((40, 40))


def shown(figure: Figure) -> npt.NDArray[np.uint8]:
    """Return the first panel of a figure as it is drawn."""
    whole = np.asarray(Image.open(BytesIO(png_of(figure))).convert("RGB"))
    figure.set_dpi(150)
    figure.draw_without_rendering()
    left, bottom, width, height = (round(value) for value in figure.axes[0].bbox.bounds)
    top = len(whole) - bottom - height
    return whole[top : top + height, left : left + width]


@pytest.mark.parametrize(
    ("shape", "pixel_size_nm", "width_inch"),
    [((40, 40), 100.0, 3.0), ((20, 60), 12.5, 4.0), ((60, 37), 1.0, 4.0), ((40, 41), 777.0, 3.0)],
)
def test_panels_have_the_scale_bar_of_pictures(
    shape: tuple[int, int], pixel_size_nm: float, width_inch: float
) -> None:
    panel = ImagePanel("", np.zeros(shape), pixel_size_nm, "gray")
    drawn = shown(panels_figure([panel], 1, width_inch=width_inch))
    expected = Image.new("RGB", (drawn.shape[1], drawn.shape[0]))
    draw_scale_bar(expected, shape[1] * pixel_size_nm / expected.width, 15)
    assert np.ptp(drawn) == 255
    inner = slice(1, -1)  # the panel may end within a pixel
    np.testing.assert_allclose(drawn[inner, inner], np.asarray(expected)[inner, inner], atol=2)


def test_no_scale_bar_without_a_pixel_size() -> None:
    assert not shown(panels_figure([ImagePanel("", DARK, colormap="gray")], 1)).any()


def test_a_bar_is_above_what_is_drawn_on_the_image() -> None:
    bare = shown(panels_figure([ImagePanel("", DARK, 100.0, "gray")], 1))
    bar = (bare == 255).all(axis=2)
    lines = [Curve([0, 40], [y, y], colour="red") for y in np.arange(35, 40, 0.1)]
    covered = shown(panels_figure([ImagePanel("", DARK, 100.0, curves=tuple(lines))], 1))
    assert (covered[0.9 * len(covered) < np.arange(len(covered)), :40, 0] > 250).any()
    assert (covered[bar] == 255).all()


def test_curves_on_images_count_in_pixels() -> None:
    mark = Curve([10.5], [30.5], style="s", colour="red")
    picture = shown(panels_figure([ImagePanel("", DARK, colormap="gray", curves=(mark,))], 1))
    rows, columns = np.nonzero(picture[..., 0] > 128)
    assert np.mean(rows) / len(picture) == pytest.approx(30.5 / 40, abs=0.01)
    assert np.mean(columns) / picture.shape[1] == pytest.approx(10.5 / 40, abs=0.01)
    middle = picture[round(np.mean(rows)), round(np.mean(columns))]
    assert not middle.any()  # hollow


def test_large_images_are_averaged_and_keep_their_axes() -> None:
    panel = ImagePanel("", np.ones((1500, 3000)), unit="photons")
    axes = panels_figure([panel], 1).axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 3000), (1500, 0))
    assert axes.images[0].get_array().shape == (500, 1000)  # type: ignore[union-attr]


def test_values_with_a_unit_are_explained_by_a_bar() -> None:
    image = np.arange(12.0).reshape(3, 4)
    axes, bar = panels_figure([ImagePanel("", image, unit="photons")], 1).axes
    assert bar.get_ylabel() == "photons"
    assert axes.images[0].get_clim() == (0, 11)  # as they are, nothing cut off


def test_what_was_not_measured_leaves_a_gap() -> None:
    curve = Curve([1, 2, 3], [1.0, None, 3.0], "a")
    (line,) = panels_figure([CurvePanel("", "", "", (curve,))], 1).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("values", "scale", "label"),
    [
        ([2.0, 9.0], "log", "2"),
        ([2.0, 900.0], "log", None),
        ([0.0, -1.0], "linear", None),
        ([0.0, 5.0], "log", "2"),
    ],
)
def test_logarithmic_axes(values: list[float], scale: str, label: str | None) -> None:
    panel = CurvePanel("", "", "", (Curve([1, 2], values),), "y")
    axes = panels_figure([panel], 1).axes[0]
    assert axes.get_yscale() == scale
    if label is not None:
        assert axes.yaxis.get_minor_formatter()(2.0) == label


def test_ticks_are_where_they_are_asked_for() -> None:
    panel = CurvePanel("", "", "", (Curve([250, 3000], [1, 2]),), "x", (250, 3000))
    axes = panels_figure([panel], 1).axes[0]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["250", "3000"]


def test_rows_are_as_high_as_their_highest_panel() -> None:
    flat, tall = ImagePanel("", np.ones((10, 20))), ImagePanel("", np.ones((20, 20)))
    assert panels_figure([flat, flat, flat], 2).get_size_inches() == pytest.approx((6, 3))
    assert panels_figure([flat, tall, flat], 2).get_size_inches() == pytest.approx((6, 4.5))
    beside_bar = ImagePanel("", np.ones((20, 20)), unit="photons")
    assert beside_bar.relative_height == CurvePanel("", "", "", ()).relative_height
    # A line of pixels is a panel, and a column does not fill pages.
    assert ImagePanel("", np.ones((1, 600))).relative_height == 0.25
    assert ImagePanel("", np.ones((600, 1))).relative_height == 1.5


def test_titles_are_no_formulas() -> None:
    panels = [ImagePanel("a$b$c$", DARK, 100.0)]
    assert png_of(panels_figure(panels, 1, title="$x_$.tif")).startswith(b"\x89PNG")


def test_figures_appear_whole(tmp_path: Path) -> None:
    figure = panels_figure([ImagePanel("", DARK, 100.0)], 3)
    write_figure(tmp_path / "f.png", figure)
    with pytest.raises(InputError, match="exists"):
        write_figure(tmp_path / "f.png", figure)
    write_figure(tmp_path / "f.png", figure, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]


def test_nothing_slow_is_loaded_before_something_is_drawn() -> None:
    names = ("calibration", "drawing", "pages", "panels", "pictures")
    imports = "; ".join(f"import deepstorm.reports.{name}" for name in names)
    code = (
        f"{imports}; import sys; print(sorted({{'matplotlib', 'PIL', 'torch'}} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
