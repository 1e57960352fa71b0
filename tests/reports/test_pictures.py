from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deepstorm.errors import InputError
from deepstorm.reports.panels import ImagePanel
from deepstorm.reports.pictures import comparison_picture, write_preview

IMAGE = np.random.default_rng(0).gamma(0.3, 2.0, (48, 64)).astype(np.float32)


def filaments(side: int = 256) -> npt.NDArray[np.float32]:
    """Return a few thin lines of very different brightness on an empty field."""
    image = np.zeros((side, side), np.float32)
    along = np.arange(side)
    for slope, brightness in ((1.0, 40.0), (0.6, 8.0), (0.2, 2.0)):
        image[np.minimum((slope * along).astype(int) + 20, side - 1), along] += brightness
    return image


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        return np.asarray(picture).copy()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros(4), "2D"),
        (np.zeros((2, 3, 4)), "2D"),
        (np.zeros((0, 4)), "2D"),
        (np.array([[1.0, np.nan]]), "NaN"),
        (np.array([[1.0, np.inf]]), "NaN or infinite"),
        (np.zeros((2, 2), complex), "complex"),
    ],
)
def test_what_is_no_image_is_not_drawn(
    image: npt.NDArray[Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        write_preview(tmp_path / "i.png", image, 12.5)
    with pytest.raises(InputError, match=reason):
        comparison_picture(tmp_path / "c.png", [ImagePanel("one", image, 12.5)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pixel_size_nm", [0.0, -12.5, np.nan, np.inf])
def test_a_pixel_size_must_be_positive(pixel_size_nm: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pixel size"):
        write_preview(tmp_path / "i.png", IMAGE, pixel_size_nm)
    with pytest.raises(InputError, match="pixel size"):
        comparison_picture(tmp_path / "c.png", [ImagePanel("one", IMAGE, pixel_size_nm)])


def test_names_must_fit_the_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png"):
        write_preview(tmp_path / "i.tif", IMAGE, 12.5)
    with pytest.raises(InputError, match=r"\.png"):
        comparison_picture(tmp_path / "i.jpg", [ImagePanel("one", IMAGE, 12.5)])


def test_outputs_are_not_overwritten_unasked(tmp_path: Path) -> None:
    write_preview(tmp_path / "i.png", IMAGE, 12.5)
    with pytest.raises(InputError, match="exists"):
        write_preview(tmp_path / "i.png", IMAGE, 12.5)
    write_preview(tmp_path / "i.png", IMAGE, 12.5, overwrite=True)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((512, 512), (512, 512)),
        ((64, 64), (512, 512)),
        ((30, 40), (390, 520)),
        ((1, 1), (512, 512)),
        ((1, 600), (1, 600)),
        ((3000, 5000), (1000, 1667)),
        ((2048, 1024), (2048, 1024)),
    ],
)
def test_the_size_of_a_preview(
    shape: tuple[int, int], expected: tuple[int, int], tmp_path: Path
) -> None:
    write_preview(tmp_path / "p.png", np.ones(shape, np.float32), 12.5)
    assert pixels(tmp_path / "p.png").shape == (*expected, 3)


def test_a_preview_is_magnified_by_whole_pixels(tmp_path: Path) -> None:
    image = np.zeros((8, 8), np.float32)
    image[2, 3] = 1
    write_preview(tmp_path / "p.png", image, 100.0)
    bright = pixels(tmp_path / "p.png")[..., 0] > 128
    assert bright[128:192, 192:256].all()
    bright[128:192, 192:256] = False
    assert not bright[:384].any()


def test_faint_filaments_are_seen(tmp_path: Path) -> None:
    image = filaments()
    write_preview(tmp_path / "p.png", image, 12.5)
    shown = pixels(tmp_path / "p.png")[::2, ::2].max(axis=2)[:180]
    image = image[:180]
    # The faintest line has a twentieth of the brightness of the brightest.
    assert shown[image == 2].min() > 40
    assert shown[image == 40].min() > 230
    assert shown[image == 0].max() < 10


def test_the_scale_bar_is_as_long_as_its_label_says(tmp_path: Path) -> None:
    write_preview(tmp_path / "p.png", np.zeros((512, 512), np.float32), 12.5)
    white = (pixels(tmp_path / "p.png") == 255).all(axis=2)
    longest = white.sum(axis=1).max()
    assert longest * 12.5 == 1000  # of a field of 6400 nm
    rows, columns = np.nonzero(white)
    assert rows.min() > 400
    assert columns.min() > 400
    assert white.any(axis=1).sum() > longest / 8  # the label stands above the bar


def test_an_empty_image_has_a_preview(tmp_path: Path) -> None:
    write_preview(tmp_path / "p.png", np.zeros((512, 512), np.float32), 12.5, colormap="gray")
    assert pixels(tmp_path / "p.png")[:400].max() == 0


def test_an_unknown_colour_map(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'rainbows' is not known"):
        write_preview(tmp_path / "p.png", IMAGE, 12.5, colormap="rainbows")
    assert list(tmp_path.iterdir()) == []


def test_panels_of_a_comparison_show_the_same_field(tmp_path: Path) -> None:
    fine = np.zeros((512, 512), np.float32)
    fine[64:128, 256:320] = 1
    coarse = fine.reshape(64, 8, 64, 8).mean(axis=(1, 3))
    panels = [ImagePanel("widefield", coarse, 100.0), ImagePanel("truth", fine, 12.5)]
    comparison_picture(tmp_path / "c.png", panels)
    picture = pixels(tmp_path / "c.png")
    left, right = picture[:, :512], picture[:, -512:]
    assert picture.shape[1] == 2 * 512 + 8
    assert left[:40].max() == 255  # the title
    band = picture.shape[0] - 512
    np.testing.assert_array_equal(left[band:], right[band:])
    assert (left[band + 64 : band + 128, 256:320].max(axis=2) > 200).all()


def test_a_long_title_is_cut(tmp_path: Path) -> None:
    comparison_picture(tmp_path / "c.png", [ImagePanel("word " * 50, IMAGE, 12.5)])
    picture = pixels(tmp_path / "c.png")
    assert picture.shape[1] == 384


def test_panels_of_another_field_are_refused(tmp_path: Path) -> None:
    panels = [ImagePanel("widefield", IMAGE, 100.0), ImagePanel("detail", IMAGE, 12.5)]
    with pytest.raises(
        InputError, match="'detail' shows 800 × 600 nm, the first image 6400 × 4800"
    ):
        comparison_picture(tmp_path / "c.png", panels)
    with pytest.raises(InputError, match="no images"):
        comparison_picture(tmp_path / "c.png", [])
    with pytest.raises(InputError, match="'one' has no pixel size"):
        comparison_picture(tmp_path / "c.png", [ImagePanel("one", IMAGE)])
