from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.inspection import Conditions, inspect_frames
from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings, RefinementSettings
from deepstorm.models.card import NetworkCard
from deepstorm.models.scaling import PhotonScaling
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Estimate
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.examples.whole_movies import MovieExamples
from deepstorm.training.likeness import AdaptSettings, like

SIGMA_PX, PHOTONS, BACKGROUND = 1.2, 1500.0, 30.0


@pytest.fixture(scope="module", params=["emccd", "scmos"])
def conditions(request: pytest.FixtureRequest) -> Conditions:
    settings = SimulationSettings.model_validate(
        {
            "frames": 120,
            "height_px": 48,
            "width_px": 48,
            "pixel_size_nm": 100.0,
            "density_per_um2": 2.0,
            "psf": {"sigma_nm": 100 * SIGMA_PX},
            "brightness": {"mean_photons": PHOTONS, "relative_spread": 0.2},
            "background": {"mean_photons": BACKGROUND},
            "camera": {"kind": request.param},
        }
    )
    movie = simulate_movie(settings, np.random.default_rng(4))
    frames = np.concatenate(list(movie.frames()))
    return inspect_frames(frames, calibrate_frames(frames), 8)


def test_examples_are_as_the_movie_was(conditions: Conditions) -> None:
    wide = SimulatedExamples()
    narrow = like(wide, conditions)
    truth = {"sigma_px": SIGMA_PX, "local_density_per_um2": 2.0}
    for name, value in truth.items():
        low, high = getattr(narrow, name)
        assert low < value < high
        assert high / low < 10
    # Whichever camera took it, ranges of detected photons hold what there was.
    for name, value in {"mean_photons": PHOTONS, "background_photons": BACKGROUND}.items():
        low, high = narrow.validity()[name]
        assert low < value < high
        assert high / low < getattr(wide, name)[1] / getattr(wide, name)[0]


def test_both_cameras_give_the_light_that_was_measured(conditions: Conditions) -> None:
    """An example is as bright over its noise as the movie, on an EMCCD as on an sCMOS camera."""
    examples = like(SimulatedExamples(), conditions)
    rng = np.random.default_rng(1)
    measured = conditions.calibration.signal_photons.value
    seen: dict[str, list[float]] = {}
    for _ in range(60):
        settings = examples.draw_settings(rng)
        adu = settings.camera.mean_adu(settings.brightness.mean_photons) - (
            settings.camera.mean_adu(0)
        )
        effective = adu / settings.camera.noise_line()[1]
        seen.setdefault(settings.camera.kind, []).append(effective)
    assert seen.keys() == {"emccd", "scmos"}
    for effective in seen.values():
        assert np.median(effective) == pytest.approx(measured, rel=0.15)


def test_what_was_not_measured_stays_wide(conditions: Conditions) -> None:
    unknown = Estimate(1.0, math.inf)
    calibration = replace(
        conditions.calibration,
        sigma_px=unknown,
        signal_photons=unknown,
        background_photons=unknown,
        background_unevenness=unknown,
    )
    blind = replace(conditions, calibration=calibration, local_density_per_px=unknown)
    wide, found = SimulatedExamples(), like(SimulatedExamples(), blind)
    for name in ("sigma_px", "local_density_per_um2", "mean_photons", "unevenness"):
        assert getattr(found, name) == getattr(wide, name)


def test_movies_for_a_refiner_are_narrowed_alike(conditions: Conditions) -> None:
    examples = like(MovieExamples(frames_per_scene=20, broad=0.2), conditions)
    assert isinstance(examples, MovieExamples)
    assert (examples.frames_per_scene, examples.broad) == (20, 0.2)
    assert examples.sigma_px == like(SimulatedExamples(), conditions).sigma_px


def test_a_time_is_shared_out(conditions: Conditions) -> None:
    card = NetworkCard(name="n", network=NativeNetworkSettings(), scaling=PhotonScaling())
    both = AdaptSettings(tune="all", time_budget_s=100)
    examples = both.examples(conditions, None)
    spent = [
        both.network_training(conditions, card, "n.safetensors").time_budget_s,
        both.refiner_training(examples, card, "n", "n").time_budget_s,
    ]
    alone = AdaptSettings(time_budget_s=100).refiner_training(examples, card, "n", "n")
    assert sum(spent) == pytest.approx(alone.time_budget_s)
    assert 70 < sum(spent) < 95
    exact = AdaptSettings(steps=7, movies=3).refiner_training(examples, card, "n", "n")
    assert (exact.steps, exact.movies, exact.time_budget_s) == (7, 3, 0)


def test_a_refiner_goes_on_from_the_one_that_is_there(conditions: Conditions) -> None:
    card = NetworkCard(name="n", network=NativeNetworkSettings(), scaling=PhotonScaling())
    wide = RefinementSettings(width=32)
    refined = card.model_copy(update={"refinement": wide})
    examples = AdaptSettings().examples(conditions, "own.tif")
    assert examples.structures_path == "own.tif"
    going_on = AdaptSettings().refiner_training(examples, refined, "tuned", "before")
    assert (going_on.network, going_on.start_from) == ("tuned", "before")
    assert going_on.refinement == wide
    anew = AdaptSettings(from_scratch=True).refiner_training(examples, refined, "tuned", "before")
    assert anew.start_from is None
    assert AdaptSettings().refiner_training(examples, card, "n", "n").start_from is None


def test_a_movie_beyond_what_can_be_simulated_is_named(conditions: Conditions) -> None:
    sparse = replace(conditions, local_density_per_px=Estimate(1e-7, 1e-8))
    with pytest.raises(InputError, match="a simulation like the movie cannot be used"):
        like(SimulatedExamples(), sparse)
