from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deepstorm.simulation.camera import (
    AnyCamera,
    EmccdCamera,
    IdealCamera,
    ScmosCamera,
    digitise,
)
from deepstorm.structures import FloatArray

N = 40_000

emccds = st.builds(
    EmccdCamera,
    quantum_efficiency=st.floats(0.5, 1.0),
    em_gain=st.floats(1.0, 1000.0),
    electrons_per_adu=st.floats(0.5, 200.0),
    read_noise_e=st.floats(0.0, 200.0),
    spurious_charge_e=st.floats(0.0, 0.1),
    offset_adu=st.floats(0.0, 2000.0),
)
scmoses = st.builds(
    ScmosCamera,
    quantum_efficiency=st.floats(0.3, 1.0),
    gain_adu_per_e=st.floats(0.1, 10.0),
    gain_spread=st.floats(0.0, 0.1),
    read_noise_e=st.floats(0.0, 5.0),
    read_noise_spread=st.floats(0.0, 1.0),
    offset_adu=st.floats(0.0, 2000.0),
    offset_spread_adu=st.floats(0.0, 5.0),
    maps_seed=st.integers(0, 2**32),
)
light = st.floats(1.0, 5000.0)
theory = settings(max_examples=20, deadline=None, derandomize=True)


def assert_moments(
    counts: FloatArray, mean: float, variance: float, fourth_cumulant: float
) -> None:
    """Compare samples with theory, to six standard errors that follow from theory as well."""
    n = counts.size
    slack = 1e-9 * (1 + abs(mean))
    assert counts.mean() == pytest.approx(mean, abs=6 * np.sqrt(variance / n) + slack)
    error = np.sqrt(fourth_cumulant / n + 2 * variance**2 / (n - 1))
    assert counts.var(ddof=1) == pytest.approx(variance, abs=6 * error + slack)


@given(light)
@theory
def test_ideal_camera_counts_photons(photons: float) -> None:
    counts = IdealCamera().expose(np.full(N, photons), np.random.default_rng(1))
    assert_moments(counts, photons, photons, photons)
    np.testing.assert_array_equal(counts, np.rint(counts))


@given(emccds, light)
@theory
def test_emccd_has_excess_noise_factor_two(camera: EmccdCamera, photons: float) -> None:
    counts = camera.expose(np.full(N, photons), np.random.default_rng(2))
    n = camera.quantum_efficiency * photons + camera.spurious_charge_e
    gain = camera.em_gain / camera.electrons_per_adu
    read = camera.read_noise_e / camera.electrons_per_adu
    # Cumulant k of a Poisson number of exponential variates is n · k! · gain^k.
    assert_moments(
        counts, camera.offset_adu + n * gain, 2 * n * gain**2 + read**2, 24 * n * gain**4
    )


def test_emccd_matches_the_published_movie() -> None:
    # Fig. 4 of the paper: 2.07 counts per photon and 19 background photons give a background of 140
    # with a variance near 161.
    counts = EmccdCamera().expose(np.full(N, 19.3), np.random.default_rng(3))
    assert counts.mean() == pytest.approx(140, abs=0.5)
    assert counts.var() == pytest.approx(161, rel=0.05)


@given(scmoses, light)
@theory
def test_scmos_pixels_have_their_own_offset_gain_and_read_noise(
    camera: ScmosCamera, photons: float
) -> None:
    n = 8000
    counts = camera.expose(np.full((n, 2, 3), photons), np.random.default_rng(4))
    maps = [values.ravel() for values in camera.maps((2, 3))]
    electrons = camera.quantum_efficiency * photons
    for pixel, offset, gain, read in zip(counts.reshape(n, 6).T, *maps, strict=True):
        assert_moments(
            pixel,
            offset + gain * electrons,
            gain**2 * (electrons + read**2),
            gain**4 * electrons,
        )


def test_scmos_maps_have_the_requested_spread() -> None:
    camera = ScmosCamera(offset_adu=200, offset_spread_adu=3, gain_adu_per_e=0.5, read_noise_e=1.6)
    offset, gain, read = (values.ravel() for values in camera.maps((150, 200)))
    n = offset.size
    for values, mean, spread in [
        (offset, 200.0, 3.0),
        (gain, 0.5, 0.5 * camera.gain_spread),
        (np.log(read), np.log(1.6), camera.read_noise_spread),
    ]:
        assert values.mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(n))
        assert values.std() == pytest.approx(spread, abs=5 * spread / np.sqrt(2 * n))


def test_scmos_maps_persist_from_exposure_to_exposure_and_movie_to_movie() -> None:
    camera = ScmosCamera(offset_spread_adu=20, maps_seed=7)
    dark, n = np.zeros((400, 8, 9)), 400
    first = camera.expose(dark, np.random.default_rng(5)).mean(0)
    again = ScmosCamera.model_validate(camera.model_dump()).expose(dark, np.random.default_rng(6))
    offset, gain, read = camera.maps((8, 9))
    error = gain * read / np.sqrt(n)
    assert (abs(first - offset) < 6 * error).all()
    assert (abs(again.mean(0) - offset) < 6 * error).all()
    other = camera.model_copy(update={"maps_seed": 8}).maps((8, 9))[0]
    assert (abs(other - offset) > 6 * error).mean() > 0.5


@given(st.one_of(emccds, scmoses, st.just(IdealCamera())), st.lists(light, min_size=6, max_size=6))
@settings(deadline=None)
def test_to_photons_inverts_the_mean(camera: AnyCamera, photons: list[float]) -> None:
    expected = np.array(photons).reshape(2, 3)
    np.testing.assert_allclose(
        camera.to_photons(mean_counts(camera, expected)), expected, rtol=1e-9, atol=1e-6
    )


def mean_counts(camera: AnyCamera, photons: FloatArray) -> FloatArray:
    """Mean response as the documentation of each camera states it."""
    if isinstance(camera, IdealCamera):
        return photons
    electrons = camera.quantum_efficiency * photons
    if isinstance(camera, EmccdCamera):
        electrons = electrons + camera.spurious_charge_e
        return camera.offset_adu + electrons * camera.em_gain / camera.electrons_per_adu
    offset, gain, _ = camera.maps((2, 3))
    return offset + gain * electrons


# The mean counts of a typical pixel are those of every pixel where all are alike.
ALIKE = {"gain_spread": 0.0, "offset_spread_adu": 0.0, "read_noise_spread": 0.0}


def alike(camera: AnyCamera) -> AnyCamera:
    """The camera, with the median pixel everywhere."""
    return camera.model_copy(update=ALIKE) if isinstance(camera, ScmosCamera) else camera


@given(st.one_of(emccds, scmoses, st.just(IdealCamera())), light)
@settings(deadline=None)
def test_mean_counts_are_those_that_mean_so_many_photons(camera: AnyCamera, photons: float) -> None:
    same = alike(camera)
    counts = np.full((2, 3), camera.mean_adu(photons))
    np.testing.assert_allclose(same.to_photons(counts), photons, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("photons", [0.5, 10.0, 2000.0])
def test_mean_counts_are_those_of_the_typical_pixel(photons: float) -> None:
    camera = ScmosCamera(gain_spread=0.1, offset_spread_adu=5)
    offset, gain, _ = camera.maps((200, 200))
    expected = np.median(offset + gain * photons)
    assert camera.mean_adu(photons) == pytest.approx(expected, abs=0.1 + 2e-3 * photons)


@given(st.one_of(emccds, scmoses, st.just(IdealCamera())), light)
@theory
def test_the_noise_line_is_that_of_the_counts(camera: AnyCamera, photons: float) -> None:
    zero_adu, adu_per_photon = camera.noise_line()
    counts = alike(camera).expose(np.full((N, 1), photons), np.random.default_rng(12))
    mean = camera.mean_adu(photons)
    variance = adu_per_photon * (mean - zero_adu)
    # The fourth cumulant is largest where electrons are multiplied: see above.
    effective = (mean - zero_adu) / adu_per_photon
    assert_moments(counts, mean, variance, 6 * effective * adu_per_photon**4)


@pytest.mark.parametrize(
    "camera", [EmccdCamera(), ScmosCamera(read_noise_e=3.0)], ids=lambda camera: camera.kind
)
def test_read_noise_moves_the_zero_below_the_offset(
    camera: EmccdCamera | ScmosCamera,
) -> None:
    zero_adu, adu_per_photon = camera.noise_line()
    dark = alike(camera).expose(np.zeros((N, 1)), np.random.default_rng(13))
    read_variance = adu_per_photon * (camera.offset_adu - zero_adu)
    assert read_variance > 0
    # Spurious charge adds a little on average.
    assert dark.var() == pytest.approx(read_variance, rel=0.1)


@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()])
@pytest.mark.parametrize("kind", [np.uint16, np.float32, np.float64])
def test_photons_are_double_precision_whatever_the_counts_are(
    camera: AnyCamera, kind: type[np.generic]
) -> None:
    counts = np.array([[90, 100, 40_000]]).astype(kind)
    photons = camera.to_photons(counts)
    assert photons.dtype == np.float64
    # Counts below the offset must not wrap around.
    np.testing.assert_allclose(photons, camera.to_photons(counts.astype(float)), rtol=1e-12)


@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()])
def test_the_same_generator_state_gives_the_same_counts(camera: AnyCamera) -> None:
    photons = np.full((3, 4, 5), 30.0)
    one, two = (camera.expose(photons, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == photons.shape
    assert not np.array_equal(one, camera.expose(photons, np.random.default_rng(10)))


@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()])
def test_darkness_is_finite(camera: AnyCamera) -> None:
    counts = camera.expose(np.zeros((2, 4, 4)), np.random.default_rng(11))
    assert np.isfinite(counts).all()


def test_digitise_rounds_and_clips_to_16_bits() -> None:
    counts = np.array([-3.0, -0.4, 0.4, 0.6, 65534.6, 65535.4, 1e6])
    result = digitise(counts)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, [0, 0, 0, 1, 65535, 65535, 65535])


@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()])
def test_cameras_are_told_apart_by_their_kind(camera: AnyCamera) -> None:
    adapter: TypeAdapter[AnyCamera] = TypeAdapter(AnyCamera)
    assert adapter.validate_json(camera.model_dump_json()) == camera


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (EmccdCamera, {"em_gain": 0.5}),
        (EmccdCamera, {"quantum_efficiency": 1.1}),
        (EmccdCamera, {"gain_adu_per_e": 2}),
        (ScmosCamera, {"gain_adu_per_e": 0}),
        (ScmosCamera, {"offset_adu": -1}),
        (IdealCamera, {"offset_adu": 0}),
    ],
)
def test_impossible_settings_are_refused(
    kind: type[IdealCamera | EmccdCamera | ScmosCamera], values: dict[str, float]
) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(values)
