from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.sample import Sample
from deepstorm.calibration.zero import ZeroPrior
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, IdealCamera, ScmosCamera
from deepstorm.simulation.scenes import FilamentScene, UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Estimate

Counts = npt.NDArray[Any]
CAMERAS: list[AnyCamera] = [IdealCamera(), EmccdCamera(), ScmosCamera()]


def even_movie(camera: AnyCamera, background: float, seed: int) -> Counts:
    """A movie whose brightness hardly varies: 40 frames of 64 × 64 pixels."""
    settings = SimulationSettings(
        frames=40,
        density_per_um2=0.5,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=1000),
        background=Background(mean_photons=background),
        camera=camera,
    )
    return np.concatenate(list(simulate_movie(settings, np.random.default_rng(seed)).frames()))


def prior_of(frames: Counts) -> ZeroPrior | None:
    sample = Sample.cut(frames)
    return ZeroPrior.of(frames, sample, float(np.percentile(sample.patches, 0.1)))


def counts(level: float, kind: str = "uint16") -> Counts:
    return np.random.default_rng(0).poisson(level, (20, 16, 16)).astype(kind)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "float32", "float64"])
def test_raw_frames_have_a_prior_that_begins_at_the_converters_zero(kind: str) -> None:
    frames = counts(100, kind)
    sample, prior = Sample.cut(frames), prior_of(frames)
    assert prior is not None
    assert prior.lowest * sample.scale_adu + sample.level_adu == pytest.approx(0, abs=1e-6)
    assert prior.lowest < prior.darkest < 0


@pytest.mark.parametrize(
    "frames",
    [counts(100, "float64") + 0.25, counts(100, "int32") - 140, counts(100) - counts(100).min()],
    ids=["fractional", "negative", "clipped"],
)
def test_frames_that_something_may_have_been_taken_off_have_none(frames: Counts) -> None:
    assert prior_of(frames) is None


def test_the_prior_is_flat_but_for_zeros_below_and_at_the_converters() -> None:
    prior = ZeroPrior(lowest=0.0, darkest=500.0)
    slope = np.array([2.0])
    high, higher = prior.log_weight(np.array([200.0, 450.0]), slope)
    assert high == pytest.approx(higher)
    none, below, far = prior.log_weight(np.array([0.0, -20.0, -100.0]), slope)
    assert high < none < high + 2
    assert below == pytest.approx(none - 0.5)
    assert far < none - 10


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
@pytest.mark.parametrize("background", [300.0, 500.0])
def test_an_even_movie_has_a_zero_that_a_camera_can_have(
    camera: AnyCamera, background: float
) -> None:
    zero, slope = camera.noise_line()
    for seed in (3, 6):
        found = calibrate_frames(even_movie(camera, background, seed))
        gain, level = found.adu_per_photon, found.zero_adu
        assert gain.value == pytest.approx(slope, rel=0.4)
        assert abs(gain.value - slope) < 2 * gain.uncertainty
        assert gain.uncertainty < 0.36 * gain.value
        assert level.value > -20 * slope
        assert abs(level.value - zero) < 2 * level.uncertainty


def test_taking_a_fraction_off_takes_the_prior_away() -> None:
    # The slope of this movie happens to be measured far too low.
    movie = even_movie(IdealCamera(), 300.0, 6)
    raw, shifted = calibrate_frames(movie), calibrate_frames(movie - 0.5)
    assert shifted.adu_per_photon.value < 0.8
    assert raw.adu_per_photon.value > shifted.adu_per_photon.value + 0.2
    assert raw.adu_per_photon.uncertainty < 0.7 * shifted.adu_per_photon.uncertainty
    assert raw.zero_adu.uncertainty < 0.5 * shifted.zero_adu.uncertainty


def test_the_prior_does_not_move_what_is_measured_well() -> None:
    settings = SimulationSettings(frames=60, scene=FilamentScene())
    movie = np.concatenate(list(simulate_movie(settings, np.random.default_rng(0)).frames()))
    raw, shifted = calibrate_frames(movie), calibrate_frames(movie - 0.5)

    def near(one: Estimate, other: float) -> bool:
        return abs(one.value - other) < 0.2 * one.uncertainty

    assert near(raw.adu_per_photon, shifted.adu_per_photon.value)
    assert near(raw.zero_adu, shifted.zero_adu.value + 0.5)


def test_known_values_override_the_prior() -> None:
    movie = even_movie(IdealCamera(), 300.0, 6)
    found = calibrate_frames(movie, known=KnownValues(zero_adu=-50))
    assert (found.zero_adu.value, found.zero_adu.uncertainty) == (pytest.approx(-50), 0)
    assert found.adu_per_photon.value == pytest.approx(300 / 350, rel=0.05)
    found = calibrate_frames(movie, known=KnownValues(adu_per_photon=0.5))
    assert found.zero_adu.value == pytest.approx(-300, abs=20)


def test_a_constant_that_was_taken_off_moves_the_zero_alone() -> None:
    movie = even_movie(EmccdCamera(), 5.0, 1)
    raw = calibrate_frames(movie)
    for shifted in (movie.astype(np.int32) - 100, movie.astype(np.float32) - 100):
        found = calibrate_frames(shifted)
        assert found.zero_adu.value == pytest.approx(raw.zero_adu.value - 100, abs=0.2)
        for name in ("adu_per_photon", "signal_photons", "background_photons", "density_per_px"):
            assert getattr(found, name).value == pytest.approx(getattr(raw, name).value, rel=0.02)


def test_counts_that_were_cut_off_need_gain_and_zero_of_the_raw_movie() -> None:
    camera = ScmosCamera()
    zero, slope = camera.noise_line()
    movie = even_movie(camera, 20.0, 1)
    raw = calibrate_frames(movie, known=KnownValues(adu_per_photon=slope, zero_adu=zero))
    cut = np.maximum(movie, 140) - 140
    assert 0.3 < (cut == 0).mean() < 0.5
    found = calibrate_frames(cut)
    assert found.adu_per_photon.value > 1.2 * slope
    assert found.background_photons.value < 0.5 * raw.background_photons.value
    found = calibrate_frames(cut, known=KnownValues(adu_per_photon=slope, zero_adu=zero - 140))
    assert found.signal_photons.value == pytest.approx(raw.signal_photons.value, rel=0.1)
    assert found.background_photons.value == pytest.approx(raw.background_photons.value, rel=0.15)
