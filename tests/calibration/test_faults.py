from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.calibration.faults import HotPixels, find_hot_pixels
from deepstorm.io.movies.opening import open_movie
from deepstorm.simulation.blinking import Brightness, IndependentBlinking, SwitchingBlinking
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, IdealCamera, ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import FilamentScene, Scene, UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie

Counts = npt.NDArray[Any]

CAMERAS: list[AnyCamera] = [EmccdCamera(), ScmosCamera(), IdealCamera()]
SCENES: list[Scene] = [UniformScene(), FilamentScene()]
# Corners, borders and the middle, row by row.
PLACES = [(0, 0), (0, 17), (12, 0), (15, 20), (22, 33), (31, 39)]


def simulate(
    frames: int,
    seed: int,
    camera: AnyCamera,
    *,
    density: float = 5.0,
    background: float = 20.0,
    scene: Scene | None = None,
    static: bool = False,
) -> Counts:
    """A movie of 32 × 40 pixels whose spots are as small as real ones get."""
    blinking = SwitchingBlinking(mean_on_frames=1e4) if static else IndependentBlinking()
    settings = SimulationSettings(
        frames=frames,
        height_px=32,
        width_px=40,
        density_per_um2=density,
        scene=scene or UniformScene(),
        blinking=blinking,
        brightness=Brightness(mean_photons=1500, relative_spread=0.5),
        psf=GaussianPsf(sigma_nm=80),
        background=Background(mean_photons=background, unevenness=0.1),
        camera=camera,
    )
    return np.concatenate(list(simulate_movie(settings, np.random.default_rng(seed)).frames()))


def with_hot_pixels(movie: Counts, excess_adu: int) -> Counts:
    broken = movie.astype(np.int64)
    for y, x in PLACES:
        broken[:, y, x] += excess_adu
    return broken


def places(found: HotPixels) -> list[tuple[int, ...]]:
    return [tuple(place) for place in np.argwhere(found.mask).tolist()]


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
@pytest.mark.parametrize("frames", [1, 2, 5, 40])
def test_hot_pixels_are_found_in_noise(camera: AnyCamera, frames: int) -> None:
    movie = simulate(frames, 1, camera, density=0)
    assert places(find_hot_pixels(movie)) == []
    assert places(find_hot_pixels(with_hot_pixels(movie, 1500))) == PLACES


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
def test_hot_pixels_are_found_under_blinking_emitters(camera: AnyCamera) -> None:
    movie = simulate(100, 2, camera, density=2)
    assert places(find_hot_pixels(with_hot_pixels(movie, 1500))) == PLACES


def test_warm_pixels_are_found_where_frames_are_many() -> None:
    movie = simulate(200, 3, ScmosCamera(), density=0)
    movie[:, 15, 20] += 40
    assert places(find_hot_pixels(movie)) == [(15, 20)]


def test_a_pixel_that_is_hot_now_and_then_is_found() -> None:
    movie = simulate(200, 4, EmccdCamera(), density=0).astype(np.int64)
    movie[np.random.default_rng(0).random(200) < 0.5, 10, 10] += 2000
    assert places(find_hot_pixels(movie)) == [(10, 10)]


@pytest.mark.parametrize("static", [False, True], ids=["blinking", "static"])
@pytest.mark.parametrize("camera", CAMERAS, ids=lambda camera: camera.kind)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.kind)
@pytest.mark.parametrize(("density", "background"), [(0.3, 0.1), (0.3, 20.0), (6.0, 20.0)])
def test_light_is_not_mistaken(
    static: bool, camera: AnyCamera, scene: Scene, density: float, background: float
) -> None:
    movie = simulate(
        30, 5, camera, density=density, background=background, scene=scene, static=static
    )
    for frames in (1, 2, 3, 7, 30):
        assert places(find_hot_pixels(movie[:frames])) == []


def test_a_bright_border_is_not_mistaken() -> None:
    # Where everything around is bright, what stands out of it is less than what there is.
    frame = np.zeros((24, 24), np.uint16)
    frame[21:, 9:14] = [
        [164, 105, 181, 375, 460],
        [104, 93, 172, 205, 194],
        [50, 171, 336, 190, 49],
    ]
    for turned in (frame, frame[::-1], frame.T, frame.T[:, ::-1]):
        assert places(find_hot_pixels(np.repeat(turned[None], 20, axis=0))) == []


@pytest.mark.parametrize("background", [0.0, 0.02, 0.1, 0.5, 5.0])
@pytest.mark.parametrize("frames", [1, 2, 3, 5, 10, 50])
def test_single_photons_are_not_mistaken(background: float, frames: int) -> None:
    movie = simulate(frames, 6, IdealCamera(), density=0.02, background=background)
    assert places(find_hot_pixels(movie)) == []
    assert places(find_hot_pixels(movie.astype(np.uint8))) == []


@pytest.mark.parametrize(
    "folder", ["fig4-microtubules", "real-dense-microtubules", "real-sparse-tirf"]
)
def test_published_movies_have_no_hot_pixels(reference_data: Path, folder: str) -> None:
    with open_movie(reference_data / folder / "movie.tif") as movie:
        frames = movie.read(0, movie.shape[0])
    for part in (frames, frames[:1], frames[:2], frames[:3], frames[:: max(len(frames) // 20, 1)]):
        assert places(find_hot_pixels(part)) == []
    for index in range(0, len(frames), 10):
        assert places(find_hot_pixels(frames[index : index + 1])) == []


def test_cosmic_rays_are_found_in_a_single_frame_alone() -> None:
    movie = simulate(50, 7, EmccdCamera(), density=0).astype(np.int64)
    movie[20, 8, 8] += 4000
    assert places(find_hot_pixels(movie[20:21])) == [(8, 8)]
    assert places(find_hot_pixels(movie)) == []


def test_a_lamp_that_flickers_is_not_noise() -> None:
    movie = simulate(50, 8, ScmosCamera(), density=0)
    lamp = np.random.default_rng(0).integers(0, 5000, (50, 1, 1))
    assert places(find_hot_pixels(with_hot_pixels(movie + lamp, 400))) == PLACES


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("offset", [0.0, -50.0])
def test_units_do_not_matter(scale: float, offset: float) -> None:
    movie = with_hot_pixels(simulate(20, 9, EmccdCamera()), 3000)
    assert places(find_hot_pixels(scale * (movie + offset))) == places(find_hot_pixels(movie))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 2, 3), (4, 1, 9), (2, 16, 16)])
@pytest.mark.parametrize("level", [0, 100])
def test_even_movies_have_none(shape: tuple[int, int, int], level: int) -> None:
    found = find_hot_pixels(np.full(shape, level, np.uint16))
    assert found.mask.shape == shape[1:]
    assert not found.mask.any()


def test_repair_follows_what_is_around() -> None:
    y, x = np.mgrid[:7, :7]
    frames = np.stack([10 * y + x, 100 - 3 * x]).astype(np.uint16)
    mask = np.zeros((7, 7), bool)
    mask[3, 3] = True
    repaired = HotPixels(mask).repair(np.where(mask, 9999, frames))
    assert repaired.dtype == np.float32
    np.testing.assert_allclose(repaired, frames, rtol=1e-6)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("sigma_px", [0.9, 1.3, 2.0])
def test_a_spot_on_a_faulty_line_keeps_its_light(axis: int, sigma_px: float) -> None:
    y, x = np.mgrid[:21, :21]
    spot = 1000 * np.exp(-0.5 * ((y - 10.3) ** 2 + (x - 9.8) ** 2) / sigma_px**2)
    mask = np.zeros((21, 21), bool)
    mask[10 if axis == 1 else slice(None), 10 if axis == 2 else slice(None)] = True
    repaired = HotPixels(mask).repair(np.where(mask, 0, spot)[None])[0]
    assert repaired.sum() == pytest.approx(spot.sum(), rel=0.25)


@pytest.mark.parametrize("place", [(0, 0), (0, 6), (6, 0), (6, 6), (0, 3), (4, 6)])
def test_repair_works_at_borders_and_corners(place: tuple[int, int]) -> None:
    frames = np.full((3, 7, 7), 100.0)
    frames[1] = 300
    frames[:, place[0], place[1]] = 9999
    mask = np.zeros((7, 7), bool)
    mask[place] = True
    repaired = HotPixels(mask).repair(frames)
    assert repaired[:, place[0], place[1]].tolist() == [100, 300, 100]


def test_repair_does_not_take_from_other_hot_pixels() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:6, 2:6] = True
    frames = np.where(mask, 9999, 100)[None]
    assert (HotPixels(mask).repair(frames) == 100).all()


def test_repair_leaves_what_has_no_good_neighbour() -> None:
    frames = np.full((1, 2, 2), 7)
    assert (HotPixels(np.ones((2, 2), bool)).repair(frames) == 7).all()


def test_repair_leaves_the_frames_as_they_were() -> None:
    movie = with_hot_pixels(simulate(3, 10, EmccdCamera(), density=0), 900).astype(np.float32)
    before = movie.copy()
    HotPixels(movie.mean(axis=0) > 500).repair(movie)
    np.testing.assert_array_equal(movie, before)
