from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deepstorm.errors import InputError
from deepstorm.models.scaling import (
    FittedPhotonScaling,
    MinMaxScaling,
    PhotonScaling,
    Scaling,
    stabilised,
)
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, IdealCamera, ScmosCamera
from deepstorm.structures import FloatArray, Instrument

PHOTONS, MINMAX = PhotonScaling(), MinMaxScaling(mean=0.2, standard_deviation=0.1)
BOTH: list[Scaling] = [PHOTONS, MINMAX]
INSTRUMENT = Instrument(zero_adu=40.0, adu_per_photon=2.0, sigma_px=1.4)
FITTED = FittedPhotonScaling(zero_adu=40.0, adu_per_photon=2.0, sigma_px=1.4, level=12.0)


def movie(seed: int = 0) -> FloatArray:
    """Background of 30 photons with some bright emitters, whole counts of ``INSTRUMENT``."""
    rng = np.random.default_rng(seed)
    photons = 30 + 15 * rng.poisson(0.03, (6, 20, 24)) ** 2
    frames: FloatArray = 40.0 + 2.0 * rng.poisson(photons)
    return frames


def counts_of(stabilised_light: FloatArray) -> FloatArray:
    """Counts of ``INSTRUMENT`` whose stabilised light is the given one."""
    counts: FloatArray = 40.0 + 2.0 * (stabilised_light**2 / 4 - 3 / 8)
    return counts


gains = st.floats(1e-2, 1e3)
offsets = st.floats(-1e3, 1e3)


@given(gains, offsets, st.floats(0.1, 10), offsets)
@settings(max_examples=50, deadline=None)
def test_camera_units_do_not_matter(gain: float, offset: float, slope: float, zero: float) -> None:
    frames = zero + slope * (movie() - 40) / 2
    instrument = Instrument(zero, slope, 1.4)
    counts = gain * frames + offset
    converted = Instrument(gain * zero + offset, gain * slope, 1.4)
    # Counts pass through single precision; light changes by less than a photon does here.
    rounding = np.finfo(np.float32).eps * (
        abs(frames).max() / slope + abs(counts).max() / (gain * slope)
    )
    assume(rounding < 0.05)
    wanted = PHOTONS.fit(frames, instrument).apply(frames)
    found = PHOTONS.fit(counts, converted).apply(counts)
    np.testing.assert_allclose(found, wanted, atol=rounding + 1e-5)


# Cameras whose pixels are all alike: what differs between pixels is no noise.
ALIKE = {"gain_spread": 0.0, "read_noise_spread": 0.0, "offset_spread_adu": 0.0}
CAMERAS: list[AnyCamera] = [
    IdealCamera(),
    EmccdCamera(),
    EmccdCamera(em_gain=1000, electrons_per_adu=5, read_noise_e=500, offset_adu=400),
    EmccdCamera(em_gain=50, electrons_per_adu=50, read_noise_e=40, quantum_efficiency=0.8),
    ScmosCamera.model_validate(ALIKE),
    ScmosCamera.model_validate(ALIKE | {"gain_adu_per_e": 0.46, "read_noise_e": 2.5}),
    ScmosCamera.model_validate(ALIKE | {"gain_adu_per_e": 8.0, "offset_adu": 1000.0}),
]


@pytest.mark.parametrize(
    ("photons", "tolerance"), [(15, 0.04), (40, 0.02), (200, 0.01), (3e3, 0.01)]
)
@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
def test_noise_is_the_same_whatever_camera_and_light(
    camera: AnyCamera, photons: float, tolerance: float
) -> None:
    counts = camera.expose(np.full((40, 50, 50), float(photons)), np.random.default_rng(1))
    light = stabilised(counts, *camera.noise_line())
    assert light.std() == pytest.approx(1, abs=tolerance + 0.01)


def test_noisy_pixels_are_told_from_quiet_ones_no_more_than_by_their_read_noise() -> None:
    camera = ScmosCamera()
    counts = camera.expose(np.full((400, 20, 20), 100.0), np.random.default_rng(1))
    deviation = stabilised(counts, *camera.noise_line()).std(axis=0)
    assert deviation.mean() == pytest.approx(1, abs=0.02)
    assert deviation.max() < 1.2


@pytest.mark.parametrize("sigma_px", [0.8, 1.2, 2.2])
@pytest.mark.parametrize("level", [1.0, 10.0, 60.0])
def test_light_counts_from_the_level_and_constants_tell_of_the_movie(
    level: float, sigma_px: float
) -> None:
    fitted = FITTED.model_copy(update={"level": level, "sigma_px": sigma_px})
    values = level + np.array([[[-1.0, 0.0], [8.0, 80.0]]])
    scaled = fitted.apply(counts_of(values))
    assert scaled.shape == (1, 3, 2, 2)
    np.testing.assert_allclose(scaled[0, 0], (values[0] - level) / 8, atol=1e-5)
    np.testing.assert_allclose(scaled[0, 1], np.log(level / 10), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(scaled[0, 2], 2 * np.log(sigma_px / 1.2), rtol=1e-5, atol=1e-7)


def test_darkness_is_told_as_a_level_of_one() -> None:
    frames = np.full((2, 4, 4), -1000.0)  # far below what the camera gives in the dark
    fitted = PHOTONS.fit(frames, INSTRUMENT)
    assert fitted.level == 0
    scaled = fitted.apply(frames)
    np.testing.assert_array_equal(scaled[:, 0], 0)
    np.testing.assert_allclose(scaled[:, 1], np.log(0.1), rtol=1e-6)


@pytest.mark.parametrize("percentile", [0.0, 10.0, 40.0])
def test_the_level_is_a_percentile_of_the_movie(percentile: float) -> None:
    frames = movie()
    fitted = PhotonScaling(percentile=percentile).fit(frames, INSTRUMENT)
    # The square root keeps the order, so that the percentile may be taken before it.
    around = [np.percentile(frames, percentile, method=side) for side in ("lower", "higher")]
    low, high = stabilised(np.array(around), 40, 2)
    assert low - 1e-4 <= fitted.level <= high + 1e-4
    assert (fitted.zero_adu, fitted.adu_per_photon, fitted.sigma_px) == (40, 2, 1.4)


@pytest.mark.parametrize("photons", [5.0, 30.0, 1000.0])
def test_the_level_follows_the_background(photons: float) -> None:
    frames = np.random.default_rng(0).poisson(photons, (20, 40, 40))
    level = PHOTONS.fit(frames, Instrument(0, 1, 1.2)).level
    # One in ten values of a Gaussian is more than 1.28 standard deviations below its mean.
    assert level == pytest.approx(2 * np.sqrt(photons + 3 / 8) - 1.28, abs=0.35)


def test_blank_frames_stay_near_zero_beside_bright_ones() -> None:
    rng = np.random.default_rng(3)
    frames = 40 + 2 * rng.poisson(30.0, (12, 30, 30))
    frames[6:] += 2 * rng.poisson(2000 * rng.random((6, 30, 30)) ** 8)
    scaled = PHOTONS.fit(frames, INSTRUMENT).apply(frames)[:, 0]
    blank, bright = scaled[:6], scaled[6:]
    assert abs(blank).max() < 0.9
    assert blank.std() == pytest.approx(1 / 8, rel=0.05)
    assert blank.mean() == pytest.approx(0.15, abs=0.06)
    assert bright.max() > 5


def test_hot_pixels_do_not_change_the_level() -> None:
    frames = movie()
    clean = PHOTONS.fit(frames, INSTRUMENT).level
    frames[:, 7, 9] = 65_535
    # A standard deviation of the noise is 1.
    assert PHOTONS.fit(frames, INSTRUMENT).level == pytest.approx(clean, abs=0.05)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_every_kind_of_counts_gives_single_precision(kind: type[np.generic]) -> None:
    frames = movie().clip(0, 250).astype(kind)
    frames[0, 0, 0] = 3  # below the camera's zero: it must not wrap around
    kept = frames.copy()
    for scaling in BOTH:
        scaled = scaling.fit(frames, INSTRUMENT).apply(frames)
        assert scaled.dtype == np.float32
        assert scaled.shape == (6, scaling.channels, 20, 24)
        expected = scaling.fit(frames, INSTRUMENT).apply(frames.astype(np.float64))
        np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(frames, kept)


def test_bright_pixels_are_compressed_and_order_is_kept() -> None:
    counts = np.array([[[100.0, 101.0, 300.0, 3000.0, 65_535.0]]])
    scaled = FITTED.apply(counts)[0, 0, 0]
    assert (np.diff(scaled) > 0).all()
    # Far above the background four times the photons are twice as much.
    far = FITTED.apply(np.array([[[40 + 2e6, 40 + 8e6]]]))[0, 0, 0] + 12 / 8
    assert far[1] / far[0] == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize("scaling", BOTH, ids=lambda scaling: scaling.kind)
@pytest.mark.parametrize("value", [0.0, 100.0, 65_535.0, -5.0, 1e-20])
def test_constant_frames_are_finite(scaling: Scaling, value: float) -> None:
    frames = np.full((3, 4, 5), value)
    scaled = scaling.fit(frames, INSTRUMENT).apply(frames)
    assert np.isfinite(scaled).all()
    for channel in scaled.swapaxes(0, 1):
        assert (channel == channel[0, 0, 0]).all()


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
        PHOTONS.fit(frames, INSTRUMENT)


@pytest.mark.parametrize(
    "values",
    [
        {"adu_per_photon": 0},
        {"adu_per_photon": -2},
        {"sigma_px": 0},
        {"zero_adu": float("nan")},
        {"level": -1},
    ],
)
def test_an_impossible_instrument_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        FittedPhotonScaling.model_validate(FITTED.model_dump() | values)


def test_the_papers_scaling_stretches_each_frame_and_standardises() -> None:
    frames = np.array([[[0.0, 50.0], [100.0, 25.0]], [[7.0, 8.0], [9.0, 7.5]]])
    stretched = np.array([[[[0, 0.5], [1, 0.25]]]] * 2)
    scaled = MINMAX.fit(frames, INSTRUMENT).apply(frames)
    np.testing.assert_allclose(scaled, (stretched - 0.2) / 0.1, rtol=1e-5)


def test_the_papers_scaling_takes_a_constant_frame_for_the_lower_end() -> None:
    scaled = MINMAX.apply(np.full((1, 3, 3), 40.0))
    np.testing.assert_allclose(scaled, -2.0, rtol=1e-6)


def test_the_papers_scaling_is_taken_from_training_regions_and_the_other_is_not() -> None:
    regions = movie()
    trained = MinMaxScaling().trained_on(regions)
    standard = trained.apply(regions)
    assert standard.mean() == pytest.approx(0, abs=1e-5)
    assert standard.std(axis=(-2, -1)).mean() == pytest.approx(1, rel=1e-5)
    assert PHOTONS.trained_on(regions) == PHOTONS


@pytest.mark.parametrize("scaling", BOTH, ids=lambda scaling: scaling.kind)
def test_a_single_frame_is_scaled_as_in_its_movie(scaling: Scaling) -> None:
    frames = movie()
    fitted = scaling.fit(frames, INSTRUMENT)
    np.testing.assert_array_equal(fitted.apply(frames[2:3])[0], fitted.apply(frames)[2])


@pytest.mark.parametrize("scaling", BOTH, ids=lambda scaling: scaling.kind)
def test_scalings_survive_json(scaling: Scaling) -> None:
    adapter: TypeAdapter[Scaling] = TypeAdapter(Scaling)
    assert adapter.validate_json(scaling.model_dump_json()) == scaling


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "photons", "percentile": -1},
        {"kind": "photons", "percentile": 50},
        {"kind": "photons", "softness": 4},
        {"kind": "minmax", "standard_deviation": 0},
        {"kind": "percentile"},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Scaling).validate_python(values)
