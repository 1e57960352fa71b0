from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames, examine_frames
from deepstorm.calibration.steady import covered, find_steady_spots
from deepstorm.errors import InputError
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import FilamentScene, Scene, UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Localizations

FRAMES, SIDE, SIGMA_PX = 100, 64, 1.2


def movie(
    bead_photons: float, density: float = 1.0, scene: Scene | None = None, seed: int = 0
) -> npt.NDArray[np.uint16]:
    """Simulate emitters of 1000 photons on a background of 20, with a bead at (25.6, 38.4)."""
    settings = SimulationSettings(
        frames=FRAMES,
        density_per_um2=density,
        scene=scene or UniformScene(),
        brightness=Brightness(mean_photons=1000.0),
        psf=GaussianPsf(sigma_nm=100 * SIGMA_PX),
        background=Background(mean_photons=20.0),
        camera=ScmosCamera(gain_spread=0.0, read_noise_e=0.5),
    )
    made = simulate_movie(settings, np.random.default_rng(seed))
    if bead_photons:
        bead = Localizations(
            frame=np.arange(FRAMES),
            x_nm=np.full(FRAMES, 2560.0),
            y_nm=np.full(FRAMES, 3840.0),
            photons=np.full(FRAMES, bead_photons),
            sigma_nm=np.full(FRAMES, 100 * SIGMA_PX),
        )
        columns = {name: made.emitters.columns()[name] for name in bead.columns()}
        both = {
            name: np.concatenate([columns[name], values]) for name, values in bead.columns().items()
        }
        order = np.argsort(both["frame"], kind="stable")
        made = replace(made, emitters=Localizations(**both).select(order))
    return np.concatenate(list(made.frames()))


@pytest.mark.parametrize("photons", [5e3, 2e4, 1e5])
def test_a_bead_changes_nothing(photons: float) -> None:
    without, with_bead = calibrate_frames(movie(0)), calibrate_frames(movie(photons))
    for name in ("background_photons", "signal_photons", "density_per_px"):
        known, found = getattr(without, name), getattr(with_bead, name)
        assert found.value == pytest.approx(known.value, rel=0.1), name
    assert with_bead.background_unevenness.value < 0.1


def test_a_bead_is_seen_in_the_mean_and_not_in_the_background() -> None:
    examined = examine_frames(movie(2e4))
    assert examined.mean_photons.max() > 1000
    assert examined.background.max() < 60


def photons_of(frames: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    found = calibrate_frames(frames)
    light = (frames - found.zero_adu.value) / found.adu_per_photon.value
    return light.astype(np.float32)


def test_the_bead_and_its_flanks_are_found() -> None:
    spots = find_steady_spots(photons_of(movie(2e4)), SIGMA_PX)
    y, x = np.nonzero(spots)
    distance = np.hypot(y + 0.5 - 38.4, x + 0.5 - 25.6)
    assert distance.max() < 9 * SIGMA_PX
    everywhere = np.hypot(*(np.indices(spots.shape) + 0.5 - np.array([38.4, 25.6])[:, None, None]))
    assert spots[everywhere < 4 * SIGMA_PX].all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", [0.3, 6.0])
@pytest.mark.parametrize("scene", [UniformScene(), FilamentScene()], ids=["uniform", "lines"])
def test_emitters_that_blink_are_not_steady(scene: Scene, density: float, seed: int) -> None:
    light = photons_of(movie(0, density, scene, seed))
    assert not find_steady_spots(light, SIGMA_PX).any()


def test_few_frames_tell_nothing() -> None:
    light = photons_of(movie(2e4))
    assert not find_steady_spots(light[:7], SIGMA_PX).any()


def test_spots_are_covered_by_other_parts_of_the_same_frames() -> None:
    frames = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    spots = np.zeros((20, 30), bool)
    spots[4:9, 5:11] = True
    made = covered(frames, spots)
    np.testing.assert_array_equal(made[:, ~spots], frames[:, ~spots])
    np.testing.assert_array_equal(made[:, 4:9, 5:11], np.roll(frames, 10, axis=1)[:, 4:9, 5:11])
    assert covered(frames, np.zeros_like(spots)) is frames
    everything = np.ones_like(spots)
    np.testing.assert_array_equal(covered(frames, everything), frames)


def test_a_zero_above_the_counts_is_refused() -> None:
    frames = movie(0)
    with pytest.raises(InputError, match=r"`zero_adu=5000` says .*, but the frames have only"):
        calibrate_frames(frames, known=KnownValues(zero_adu=5000.0))
