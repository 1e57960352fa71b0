from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.calibration.faults import find_dead_pixels
from deepstorm.simulation.blinking import Brightness, IndependentBlinking, SwitchingBlinking
from deepstorm.simulation.camera import (
    AnyCamera,
    EmccdCamera,
    IdealCamera,
    ScmosCamera,
    digitise,
)
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import FilamentScene, Scene, UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie

Counts = npt.NDArray[Any]

CAMERAS: list[AnyCamera] = [IdealCamera(), EmccdCamera(), ScmosCamera()]
SCENES: list[Scene] = [UniformScene(), FilamentScene()]
# Corners, borders and the middle.
PLACES = [(0, 0), (0, 17), (12, 0), (15, 20), (22, 33), (39, 47)]
ROWS, COLUMNS = np.array(PLACES).T


def even(
    camera: AnyCamera, background: float, frames: int, side: tuple[int, int] = (40, 48)
) -> Counts:
    """A movie without emitters, whose background rises by half from left to right."""
    rng = np.random.default_rng(int(10 * background) + frames)
    light = background * np.linspace(0.8, 1.2, side[1]) * np.ones((frames, *side))
    return digitise(camera.expose(light, rng))


def without_light(camera: AnyCamera, frames: int) -> Counts:
    """What dead pixels of the same camera show: its offset and its read noise."""
    return digitise(camera.expose(np.zeros((frames, 40, 48)), np.random.default_rng(1)))


def with_emitters(
    camera: AnyCamera,
    scene: Scene,
    frames: int,
    *,
    density: float = 3.0,
    background: float = 20.0,
    static: bool = False,
    seed: int = 0,
) -> Counts:
    """A movie whose spots are as small as real ones get."""
    chosen = SimulationSettings(
        frames=frames,
        height_px=40,
        width_px=48,
        density_per_um2=density,
        scene=scene,
        blinking=SwitchingBlinking(mean_on_frames=1e4) if static else IndependentBlinking(),
        brightness=Brightness(mean_photons=1500, relative_spread=0.5),
        psf=GaussianPsf(sigma_nm=80),
        background=Background(mean_photons=background, unevenness=0.2),
        camera=camera,
    )
    return np.concatenate(list(simulate_movie(chosen, np.random.default_rng(seed)).frames()))


def found(movie: Counts) -> list[tuple[int, ...]]:
    return [tuple(place) for place in np.argwhere(find_dead_pixels(movie)).tolist()]


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
@pytest.mark.parametrize("frames", [4, 8, 20])
def test_no_pixel_is_dead_by_chance(camera: AnyCamera, frames: int) -> None:
    """Of a hundred such movies, less than one has a pixel that is."""
    for background in (0.1, 0.3, 1.0, 3.0, 10.0, 1000.0):
        assert found(even(camera, background, frames, side=(96, 96))) == []


@pytest.mark.parametrize("static", [False, True], ids=["blinking", "static"])
@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.kind)
@pytest.mark.parametrize(("density", "background"), [(0.3, 0.1), (8.0, 0.1), (8.0, 50.0)])
def test_gaps_in_light_are_not_dead(
    static: bool, camera: AnyCamera, scene: Scene, density: float, background: float
) -> None:
    for seed, frames in enumerate((4, 8, 12, 40)):
        movie = with_emitters(
            camera,
            scene,
            frames,
            density=density,
            background=background,
            static=static,
            seed=seed,
        )
        assert found(movie) == []


# Pixels that show nothing but read noise are found where the light is enough for that.
@pytest.mark.parametrize(
    ("camera", "background", "frames"),
    [
        (IdealCamera(), 100.0, 4),
        (IdealCamera(), 10.0, 8),
        (IdealCamera(), 3.0, 20),
        (IdealCamera(), 0.5, 100),
        (EmccdCamera(), 300.0, 4),
        (EmccdCamera(), 50.0, 8),
        (EmccdCamera(), 3.0, 60),
        (ScmosCamera(), 300.0, 4),
        (ScmosCamera(), 200.0, 8),
        (ScmosCamera(), 200.0, 40),
    ],
)
def test_pixels_without_light_are_found(camera: AnyCamera, background: float, frames: int) -> None:
    movie = even(camera, background, frames)
    movie[:, ROWS, COLUMNS] = without_light(camera, frames)[:, ROWS, COLUMNS]
    assert found(movie) == PLACES


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.kind)
def test_pixels_without_light_are_found_among_emitters(camera: AnyCamera, scene: Scene) -> None:
    movie = with_emitters(camera, scene, 60, background=300.0)
    movie[:, ROWS, COLUMNS] = without_light(camera, 60)[:, ROWS, COLUMNS]
    assert found(movie) == PLACES


@pytest.mark.parametrize("value", ["zero", "dark", "usual", "bright"])
@pytest.mark.parametrize("background", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
def test_pixels_that_are_stuck_are_found(camera: AnyCamera, background: float, value: str) -> None:
    movie = even(camera, background, 60)
    quantiles = {"zero": 0.0, "dark": 0.01, "usual": 0.5, "bright": 0.99}
    level = 0 if value == "zero" else np.quantile(movie, quantiles[value], method="nearest")
    movie[:, ROWS, COLUMNS] = level
    assert found(movie) == PLACES


@pytest.mark.parametrize("frames", [4, 8])
def test_a_few_frames_do_for_a_pixel_far_below_a_cameras_offset(frames: int) -> None:
    movie = even(ScmosCamera(), 0.1, frames)
    movie[:, ROWS, COLUMNS] = 0
    assert found(movie) == PLACES


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_fewer_frames_tell_nothing(frames: int) -> None:
    movie = even(EmccdCamera(), 100.0, frames)
    movie[:, ROWS, COLUMNS] = 0
    assert found(movie) == []


def test_a_pixel_of_low_offset_or_little_noise_is_alive() -> None:
    camera = ScmosCamera(offset_spread_adu=0.0, read_noise_spread=0.0)
    movie = even(camera, 5.0, 60).astype(np.int64)
    movie[:, 15, 20] -= 12
    calm = movie[:, 22, 33]
    movie[:, 22, 33] = np.rint(calm.mean() + 0.5 * (calm - calm.mean()))
    assert found(movie) == []


def test_so_little_light_is_no_evidence() -> None:
    """Of 20 frames, each pixel has some without light; one that has none at all is no wonder."""
    movie = np.zeros((20, 16, 16), np.uint8)
    movie[::4] = 1
    movie[:, 8, 8] = 0
    assert found(movie) == []
    movie[:, :] = 1
    movie[::4] = 2
    movie[:, 8, 8] = 0
    assert found(movie) == [(8, 8)]


@settings(max_examples=40, deadline=None)
@given(
    photons=st.floats(0.05, 12.0),
    frames=st.integers(4, 40),
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    seed=st.integers(0, 1000),
)
def test_what_catches_no_photon_of_twelve_may_be_alive(
    photons: float, frames: int, shape: tuple[int, int], seed: int
) -> None:
    """A good pixel catches none once in exp(12) = 160,000."""
    rng = np.random.default_rng(seed)
    movie = rng.poisson(photons / frames, (frames, *shape)).astype(np.uint16)
    movie[:, shape[0] // 2, shape[1] // 2] = 0
    assert found(movie) == []


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_units_and_kinds_of_numbers_do_not_matter(scale: float) -> None:
    movie = even(EmccdCamera(), 50.0, 20)
    movie[:, ROWS, COLUMNS] = without_light(EmccdCamera(), 20)[:, ROWS, COLUMNS]
    assert found(scale * (movie.astype(np.float64) - 300)) == found(movie) == PLACES


def test_many_suspects_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    movie = even(ScmosCamera(), 200.0, 20)
    movie[:, 3::6, 3::6] = 100
    whole = found(movie)
    monkeypatch.setattr("deepstorm.calibration.faults.AT_ONCE", 5)
    assert found(movie) == whole
    assert len(whole) == 7 * 8


@pytest.mark.parametrize("shape", [(8, 1, 1), (8, 1, 5), (8, 2, 2), (200, 4, 4), (4, 16, 16)])
def test_small_and_even_movies_have_none(shape: tuple[int, int, int]) -> None:
    assert found(np.full(shape, 7, np.uint16)) == []
    assert found(np.random.default_rng(0).poisson(9, shape)) == []
