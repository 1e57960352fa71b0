from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from deepstorm.reconstruction.emitters.peaks import PeakSettings, find_peaks

PIXEL_NM = 12.5


def blob(
    shape: tuple[int, int], y_px: float, x_px: float, sigma_px: float = 0.8, mass: float = 1.0
) -> npt.NDArray[np.float32]:
    """A Gaussian around a position counted from the corner, integrated over each pixel."""
    profiles = [
        np.diff(stats.norm.cdf(np.arange(length + 1), position, sigma_px))
        for length, position in zip(shape, (y_px, x_px), strict=True)
    ]
    return (mass * np.outer(*profiles)).astype(np.float32)


@given(st.floats(8, 32), st.floats(8, 24), st.floats(0.6, 1.0), st.floats(0.4, 1.5))
@settings(max_examples=50, deadline=None)
def test_a_blob_is_found_at_its_centroid(y: float, x: float, sigma: float, mass: float) -> None:
    found = find_peaks(blob((40, 32), y, x, sigma, mass)[None], PIXEL_NM)
    assert len(found) == 1
    assert found.y_nm[0] / PIXEL_NM == pytest.approx(y, abs=0.02)
    assert found.x_nm[0] / PIXEL_NM == pytest.approx(x, abs=0.02)
    assert found.confidence is not None
    assert found.confidence[0] == pytest.approx(mass, rel=0.01)


AS_WIDE = PeakSettings(error_of_unit_width=1, error_growth=1)


def test_the_error_grows_with_a_power_of_the_width() -> None:
    image = blob((30, 30), 15.5, 15.5, 0.8)[None]
    width, error = (
        find_peaks(image, 1.0, settings=chosen).uncertainty_nm
        for chosen in (AS_WIDE, PeakSettings(error_of_unit_width=0.5, error_growth=2))
    )
    assert width is not None
    np.testing.assert_allclose(error, 0.5 * width**2)


@pytest.mark.parametrize("sigma", [0.6, 0.75, 0.9])
def test_uncertainty_is_the_width_of_the_blob(sigma: float) -> None:
    blobs = blob((30, 30), 15.5, 15.5, sigma)[None]
    found = find_peaks(blobs, PIXEL_NM, settings=AS_WIDE)
    assert found.uncertainty_nm is not None
    # The image of the blob has been integrated over pixels, which widens it.
    expected = PIXEL_NM * np.sqrt(sigma**2 + 1 / 12)
    assert found.uncertainty_nm[0] == pytest.approx(expected, rel=0.05)


def test_faint_haze_does_not_make_a_sharp_peak_uncertain() -> None:
    sharp = blob((30, 30), 15.5, 15.5, 0.6)
    hazy = 0.9 * sharp + 0.1 / 49 * (np.abs(np.indices((30, 30)) - 15).max(axis=0) <= 3)
    both = np.stack([sharp, hazy]).astype(np.float32)
    found = find_peaks(both, PIXEL_NM, settings=AS_WIDE)
    assert found.uncertainty_nm is not None
    assert found.uncertainty_nm[1] < 1.15 * found.uncertainty_nm[0]


def test_a_certain_emitter_is_uncertain_within_its_pixel() -> None:
    image = np.zeros((1, 20, 20), np.float32)
    image[0, 7, 12] = 1
    found = find_peaks(image, 8.0, settings=AS_WIDE)
    assert (found.x_nm[0], found.y_nm[0]) == (100.0, 60.0)
    assert found.uncertainty_nm is not None
    assert found.uncertainty_nm[0] == pytest.approx(8 / np.sqrt(4 * np.pi))


@pytest.mark.parametrize("step", [(0, 8), (8, 0), (6, 6)])
def test_blobs_apart_are_two(step: tuple[int, int]) -> None:
    image = blob((40, 40), 15.2, 14.7) + blob((40, 40), 15.2 + step[0], 14.7 + step[1], mass=0.6)
    found = find_peaks(image[None], 1.0)
    np.testing.assert_allclose(found.y_nm, [15.2, 15.2 + step[0]], atol=0.05)
    np.testing.assert_allclose(found.x_nm, [14.7, 14.7 + step[1]], atol=0.05)
    assert found.confidence is not None
    np.testing.assert_allclose(found.confidence, [1.0, 0.6], rtol=0.03)


def test_scattered_probability_of_one_emitter_is_joined() -> None:
    image = np.zeros((1, 20, 20), np.float32)
    image[0, 9:12, 9:12] = [[0.1, 0.0, 0.2], [0.0, 0.1, 0.0], [0.2, 0.0, 0.2]]
    found = find_peaks(image, 1.0)
    assert len(found) == 1
    assert found.confidence is not None
    assert found.confidence[0] == pytest.approx(0.8)
    assert found.x_nm[0] == pytest.approx((9.5 * 0.3 + 10.5 * 0.1 + 11.5 * 0.4) / 0.8)


@pytest.mark.parametrize(("height", "width"), [(2, 1), (1, 2), (2, 2), (3, 4)])
@pytest.mark.parametrize("smoothing", [0.0, 1.5])
def test_a_plateau_is_one_peak(height: int, width: int, smoothing: float) -> None:
    image = np.zeros((1, 20, 20), np.float32)
    image[0, 8 : 8 + height, 9 : 9 + width] = 1 / (height * width)
    found = find_peaks(image, 1.0, settings=PeakSettings(smoothing_px=smoothing))
    assert len(found) == 1
    assert found.confidence is not None
    assert found.confidence[0] == pytest.approx(1)
    assert found.y_nm[0] == pytest.approx(8 + height / 2)
    assert found.x_nm[0] == pytest.approx(9 + width / 2)


def test_an_even_image_has_one_peak_at_most() -> None:
    assert len(find_peaks(np.full((1, 30, 30), 0.5, np.float32), 1.0)) == 1


@pytest.mark.parametrize("shape", [(0, 16, 16), (1, 16, 16), (3, 1, 1), (2, 8, 24)])
def test_nothing_is_found_where_nothing_is_expected(shape: tuple[int, int, int]) -> None:
    found = find_peaks(np.zeros(shape, np.float32), PIXEL_NM)
    assert len(found) == 0
    assert list(found.columns()) == ["frame", "x_nm", "y_nm", "uncertainty_nm", "confidence"]
    assert found.frame.dtype.kind == "i"


@pytest.mark.parametrize(("mass", "count"), [(0.29, 0), (0.31, 1)])
def test_the_default_threshold(mass: float, count: int) -> None:
    assert len(find_peaks(blob((20, 20), 10.5, 10.5, 0.6, mass)[None], 1.0)) == count


@pytest.mark.parametrize(("least", "count"), [(0.0, 3), (0.2, 2), (0.5, 1), (0.95, 0)])
def test_the_threshold_can_be_set(least: float, count: int) -> None:
    image = np.zeros((1, 40, 40), np.float32)
    image[0, [5, 15, 25], [5, 15, 25]] = 0.1, 0.3, 0.9
    assert len(find_peaks(image, 1.0, settings=PeakSettings(min_confidence=least))) == count


@pytest.mark.parametrize("row", [0, 1, 15, 30, 31])
@pytest.mark.parametrize("column", [0, 2, 22, 23])
def test_emitters_at_borders_are_found_where_they_are(row: int, column: int) -> None:
    image = np.zeros((1, 32, 24), np.float32)
    image[0, row, column] = 0.9
    found = find_peaks(image, 2.0)
    assert len(found) == 1
    assert (found.y_nm[0], found.x_nm[0]) == (2 * row + 1, 2 * column + 1)
    assert found.confidence is not None
    assert found.confidence[0] == pytest.approx(0.9)


def test_frames_count_from_the_first_one_in_order() -> None:
    frames = np.zeros((5, 24, 24), np.float32)
    for frame, row in [(0, 5), (2, 8), (2, 18), (4, 3)]:
        frames[frame, row, 10] = 1
    found = find_peaks(frames, 1.0, first_frame=100)
    assert found.frame.tolist() == [100, 102, 102, 104]
    assert found.y_nm.tolist() == [5.5, 8.5, 18.5, 3.5]


def test_the_reach_decides_what_belongs_to_a_peak() -> None:
    image = np.zeros((1, 30, 30), np.float32)
    image[0, 15, [12, 15]] = 0.2, 0.8
    masses = []
    for reach in (2, 3):
        table = find_peaks(image, 1.0, settings=PeakSettings(reach_px=reach, smoothing_px=0.5))
        assert table.confidence is not None
        masses.append(float(table.confidence.max()))
    assert masses == pytest.approx([0.8, 1.0])


def test_the_expectation_is_left_as_it_was(rng: np.random.Generator) -> None:
    image = rng.random((2, 16, 16)).astype(np.float32)
    before = image.copy()
    find_peaks(image, 1.0)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("values", [{"reach_px": 0}, {"smoothing_px": -1}, {"threshold": 0.1}])
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PeakSettings.model_validate(values)
