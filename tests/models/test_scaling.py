from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deepstorm.errors import InputError
from deepstorm.models.scaling import (
    AsinhScaling,
    FittedAsinhScaling,
    MinMaxScaling,
    Scaling,
)
from deepstorm.structures import FloatArray

ASINH, MINMAX = AsinhScaling(), MinMaxScaling(mean=0.2, standard_deviation=0.1)


def movie(seed: int = 0) -> FloatArray:
    """Background of 100 counts with some bright emitters, whole numbers."""
    rng = np.random.default_rng(seed)
    frames = rng.poisson(100, (6, 20, 24)) + 30 * rng.poisson(0.03, (6, 20, 24)) ** 2
    return frames.astype(np.float64)


@given(st.floats(1e-3, 1e3), st.floats(-1e4, 1e4), st.integers(0, 50))
@settings(max_examples=50, deadline=None)
def test_camera_units_do_not_matter(gain: float, offset: float, seed: int) -> None:
    frames = movie(seed)
    counts = gain * frames + offset
    fitted = ASINH.fit(counts)
    # Counts pass through single precision; the slope of arcsinh is at most 1.
    rounding = np.finfo(np.float32).eps * abs(counts).max() * fitted.softness / fitted.range_adu
    assume(rounding < 0.1)
    np.testing.assert_allclose(
        fitted.apply(counts), ASINH.fit(frames).apply(frames), rtol=1e-5, atol=2 * rounding + 1e-5
    )


def test_level_and_range_are_percentiles() -> None:
    frames = movie()
    fitted = AsinhScaling(low_percentile=20, high_percentile=90, softness=3).fit(frames)
    low, high = np.percentile(frames, [20, 90])
    assert fitted == FittedAsinhScaling(level_adu=low, range_adu=high - low, softness=3)
    scaled = fitted.apply(np.array([[[low, high]]]))
    np.testing.assert_allclose(scaled, [[[0, np.arcsinh(3)]]], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_every_kind_of_counts_gives_single_precision(kind: type[np.generic]) -> None:
    frames = movie().clip(0, 250).astype(kind)
    kept = frames.copy()
    for scaling in (ASINH, MINMAX):
        scaled = scaling.fit(frames).apply(frames)
        assert scaled.dtype == np.float32
        assert scaled.shape == frames.shape
        expected = scaling.fit(frames).apply(frames.astype(np.float64))
        # Counts below the level must not wrap around.
        np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(frames, kept)


def test_hot_pixels_hardly_change_the_fit() -> None:
    frames = movie()
    clean = ASINH.fit(frames)
    hot = np.zeros(frames.shape, np.bool_)
    hot[:, 7, 9] = True
    fitted = ASINH.fit(np.where(hot, 65_535, frames))
    # Six pixels at the top do nothing but stretch the percentiles of the others by 0.2 %.
    stretch = (frames.size - 1) / (frames.size - hot.sum() - 1)
    low, high = np.percentile(frames[~hot], [10 * stretch, 99.5 * stretch])
    assert fitted.level_adu == pytest.approx(low)
    assert fitted.range_adu == pytest.approx(high - low)
    assert fitted.level_adu == pytest.approx(clean.level_adu, rel=0.01)
    assert fitted.range_adu == pytest.approx(clean.range_adu, rel=0.25)


def test_bright_pixels_are_compressed_and_order_is_kept() -> None:
    fitted = FittedAsinhScaling(level_adu=100, range_adu=200, softness=4)
    counts = np.array([0.0, 99.0, 100.0, 101.0, 300.0, 3000.0, 65_535.0])
    scaled = fitted.apply(counts)
    assert (np.diff(scaled) > 0).all()
    assert scaled[2] == 0
    # Linear near the level: 4 / 200 per count; logarithmic far above.
    assert scaled[3] == pytest.approx(0.02, rel=1e-3)
    assert scaled[-1] == pytest.approx(np.log(2 * 0.02 * 65_435), rel=1e-3)


@pytest.mark.parametrize("scaling", [ASINH, MINMAX], ids=lambda scaling: scaling.kind)
@pytest.mark.parametrize("value", [0.0, 100.0, 65_535.0, -5.0, 1e-20])
def test_constant_frames_are_finite(scaling: Scaling, value: float) -> None:
    frames = np.full((3, 4, 5), value)
    scaled = scaling.fit(frames).apply(frames)
    assert np.isfinite(scaled).all()
    assert (scaled == scaled[0, 0, 0]).all()


def test_blank_frames_stay_blank_beside_bright_ones() -> None:
    frames = movie()
    frames[0] = 100.0
    fitted = ASINH.fit(frames)
    assert abs(fitted.apply(frames[:1])).max() < 1.0


def test_a_sparse_movie_without_background_is_scaled_by_its_brightest_pixel() -> None:
    frames = np.zeros((10, 40, 40))
    frames[3, 5, 5], frames[7, 20, 3] = 800.0, 400.0
    fitted = ASINH.fit(frames)
    assert fitted.range_adu == 800.0
    assert fitted.apply(frames).max() == pytest.approx(np.arcsinh(4.0))


@pytest.mark.parametrize(
    "frames",
    [
        np.empty((0, 4, 4)),
        np.full((1, 2, 2), np.nan),
        np.array([[[1.0, np.nan], [2.0, 3.0]]]),
        np.array([[[1.0, np.inf], [2.0, 3.0]]]),
    ],
)
def test_frames_that_cannot_be_fitted_are_refused(frames: FloatArray) -> None:
    with pytest.raises(InputError, match="finite numbers"):
        ASINH.fit(frames)


def test_the_papers_scaling_stretches_each_frame_and_standardises() -> None:
    frames = np.array([[[0.0, 50.0], [100.0, 25.0]], [[7.0, 8.0], [9.0, 7.5]]])
    stretched = np.array([[[0, 0.5], [1, 0.25]]] * 2)
    scaled = MINMAX.fit(frames).apply(frames)
    np.testing.assert_allclose(scaled, (stretched - 0.2) / 0.1, rtol=1e-5)


def test_the_papers_scaling_takes_a_constant_frame_for_the_lower_end() -> None:
    scaled = MINMAX.apply(np.full((1, 3, 3), 40.0))
    np.testing.assert_allclose(scaled, -2.0, rtol=1e-6)


def test_a_single_frame_is_scaled_as_in_its_movie() -> None:
    frames = movie()
    for scaling in (ASINH, MINMAX):
        fitted = scaling.fit(frames)
        np.testing.assert_array_equal(fitted.apply(frames[2:3])[0], fitted.apply(frames)[2])


@pytest.mark.parametrize("scaling", [ASINH, MINMAX], ids=lambda scaling: scaling.kind)
def test_scalings_survive_json(scaling: Scaling) -> None:
    adapter: TypeAdapter[Scaling] = TypeAdapter(Scaling)
    assert adapter.validate_json(scaling.model_dump_json()) == scaling


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "asinh", "low_percentile": 60},
        {"kind": "asinh", "high_percentile": 101},
        {"kind": "asinh", "softness": 0},
        {"kind": "minmax", "standard_deviation": 0},
        {"kind": "percentile"},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Scaling).validate_python(values)
