from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.evaluation.uniformity import clumping, pixel_histogram
from deepstorm.structures import Localizations, histogram_image


def table(x_nm: np.ndarray, y_nm: np.ndarray) -> Localizations:
    return Localizations(np.zeros(len(x_nm), int), x_nm, y_nm)


def uniform(n: int, seed: int = 0) -> Localizations:
    return table(*np.random.default_rng(seed).uniform(0, 6400, (2, n)))


def test_uniform_positions_are_flat_within_the_counting_error() -> None:
    histogram = pixel_histogram(uniform(50_000), 100)
    assert histogram.counting_error == pytest.approx(np.sqrt(7 / 50_000))
    assert histogram.largest_deviation < 4 * histogram.counting_error
    entries = np.concatenate([histogram.x_share, histogram.y_share])
    assert np.std(entries) == pytest.approx(histogram.counting_error, rel=0.6)


@given(st.integers(0, 7), st.booleans())
def test_a_preferred_place_is_seen_in_its_axis_and_bin(place: int, along_x: bool) -> None:
    flat = np.arange(800) * 12.5 + 3
    extra_nm = np.full(100, (place + 0.5) * 12.5 + 300)
    uneven, even = np.concatenate([flat, extra_nm]), np.arange(900) * 12.5 + 3
    columns = (uneven, even) if along_x else (even, uneven)
    histogram = pixel_histogram(table(*columns), 100)
    share = histogram.x_share if along_x else histogram.y_share
    assert int(np.argmax(share)) == place
    assert share[place] == pytest.approx(200 / 900 * 8)
    assert histogram.largest_deviation == pytest.approx(200 / 900 * 8 - 1)


def test_positions_outside_the_field_keep_their_place_in_the_pixel() -> None:
    histogram = pixel_histogram(table(np.array([-95.0]), np.array([195.0])), 100, bins=2)
    assert histogram.x_share.tolist() == [2, 0]
    assert histogram.y_share.tolist() == [0, 2]


def test_tables_and_bins_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="no localizations"):
        pixel_histogram(Localizations.concatenate([]), 100)
    with pytest.raises(InputError, match="2 or more"):
        pixel_histogram(uniform(10), 100, bins=1)


def drawn(localizations: Localizations) -> np.ndarray:
    return histogram_image(localizations, (512, 512), 12.5)


def test_clumps_raise_the_figure_and_blur_lowers_it() -> None:
    truth = drawn(uniform(20_000))
    assert clumping(truth, truth, 12.5, 50) == 1
    assert clumping(3 * truth, truth, 12.5, 100) == pytest.approx(1)
    # Four emitters at each place have twice the relative scatter of as many single ones.
    clumped = 4 * drawn(uniform(5_000, seed=1))
    assert clumping(clumped, truth, 12.5, 50) == pytest.approx(2, rel=0.05)
    smooth = truth + truth.mean()
    assert clumping(smooth, truth, 12.5, 50) == pytest.approx(0.5)


def test_a_rest_at_the_border_is_left_out() -> None:
    truth = drawn(uniform(20_000))
    cut = truth.copy()
    cut[-1] += 1000
    cut[:, -1] += 1000
    assert clumping(cut[:511, :511], truth[:511, :511], 12.5, 50) == 1


@pytest.mark.parametrize(
    ("image", "truth", "box_nm", "message"),
    [
        (np.ones((8, 8)), np.ones((8, 9)), 50, "one shape"),
        (np.ones((8, 8)), np.eye(8), 40, "multiple of the pixel size"),
        (np.ones((8, 8)), np.ones((8, 8)), 50, "same number in every box"),
        (np.zeros((8, 8)), np.triu(np.ones((8, 8))), 50, "blank"),
        (np.ones((8, 8)), np.eye(8), 100, "no two boxes"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    image: np.ndarray, truth: np.ndarray, box_nm: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        clumping(image, truth, 12.5, box_nm)
