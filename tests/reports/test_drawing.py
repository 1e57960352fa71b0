from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.reports.drawing import coloured, font, length_label, round_length_nm, shrunk


@given(field_nm=st.floats(1e-3, 1e9))
def test_scale_bars_have_round_lengths_near_a_fifth(field_nm: float) -> None:
    length_nm = round_length_nm(field_nm)
    # Between two lengths of the series the nearer one on a logarithmic scale is taken, so that the
    # farthest lie a factor of √2.5 from a fifth, halfway between 2 and 5.
    assert 0.2 / 2.5**0.5 * 0.999 < length_nm / field_nm < 0.2 * 2.5**0.5 * 1.001
    assert f"{length_nm:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")


@pytest.mark.parametrize(
    ("length_nm", "label"),
    [(50, "50 nm"), (500.0, "500 nm"), (1000.0, "1 µm"), (20_000.0, "20 µm"), (0.5, "0.5 nm")],
)
def test_labels(length_nm: float, label: str) -> None:
    assert length_label(length_nm) == label


def test_the_font_has_the_letters_of_the_labels() -> None:
    missing = font(20).getmask("\ufffe").getbbox()
    assert font(20).getmask("µ").getbbox() != missing


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), longest=st.integers(1, 20))
def test_averaging_keeps_the_mean_of_every_block(rows: int, columns: int, longest: int) -> None:
    image = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    small, factor = shrunk(image, longest)
    assert max(small.shape) <= max(longest, 1)
    assert small.shape == (-(-rows // factor), -(-columns // factor))
    for row, column in np.ndindex(small.shape):
        block = image[row * factor :, column * factor :][:factor, :factor]
        assert small[row, column] == pytest.approx(block.mean())


def test_contrast_leaves_out_the_brightest_pixels() -> None:
    image = np.ones((100, 100))
    image[0, 0] = 1e6
    image[50:] = 0
    colours = coloured(image, "gray")
    assert colours[0, 1].tolist() == [255, 255, 255]
    assert colours[60, 0].tolist() == [0, 0, 0]


def test_an_offset_is_black() -> None:
    image = np.full((100, 100), 140.0)
    image[40:45] = 200.0
    colours = coloured(image, "gray")
    assert colours[0, 0, 0] == 0
    assert colours[42, 0, 0] == 255
