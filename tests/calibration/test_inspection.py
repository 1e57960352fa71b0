from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.inspection import inspect_frames, local_density, saturated_share
from deepstorm.simulation.camera import (
    AnyCamera,
    EmccdCamera,
    IdealCamera,
    ScmosCamera,
    digitise,
)
from deepstorm.simulation.scenes import Scene, TableScene, UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Calibration, Estimate

Light = npt.NDArray[np.float64]

GOOD = np.zeros((32, 32), bool)


def simulated(scene: Scene, frames: int = 80) -> npt.NDArray[np.uint16]:
    settings = SimulationSettings(
        frames=frames, height_px=32, width_px=32, scene=scene, density_per_um2=3.0
    )
    return np.concatenate(list(simulate_movie(settings, np.random.default_rng(2)).frames()))


def is_blank(frames: npt.NDArray[Any]) -> bool:
    return inspect_frames(frames, calibrate_frames(frames), 8).has_no_emitters


def noise(count: int = 40) -> npt.NDArray[np.uint16]:
    """Return frames of a camera that sees 20 photons everywhere."""
    photons = np.random.default_rng(0).poisson(20, (count, 32, 32))
    return (100 + 2 * photons).astype(np.uint16)


@pytest.fixture(scope="module")
def line() -> tuple[npt.NDArray[np.uint16], Calibration]:
    places = tuple((50.0 * step, 1650.0) for step in range(64))
    frames = simulated(TableScene(positions_nm=places, scatter_nm=30.0))
    return frames, calibrate_frames(frames)


def test_emitters_anywhere_are_as_dense_everywhere() -> None:
    frames = simulated(UniformScene())
    calibration = calibrate_frames(frames)
    local = local_density(frames, calibration)
    assert local.value == pytest.approx(calibration.density_per_px.value, rel=0.25)
    assert local.uncertainty >= calibration.density_per_px.uncertainty


def test_emitters_on_a_line_are_denser_than_the_field(
    line: tuple[npt.NDArray[np.uint16], Calibration],
) -> None:
    """A strip of 5 pixels is about a sixth of a field of 32."""
    frames, calibration = line
    ratio = local_density(frames, calibration).value / calibration.density_per_px.value
    assert 3 < ratio < 9


def test_a_background_that_does_not_blink_is_no_structure(
    line: tuple[npt.NDArray[np.uint16], Calibration],
) -> None:
    frames, calibration = line
    slope = calibration.adu_per_photon.value
    bead = np.zeros(frames.shape)
    bead[:, 4:9, 4:9] = slope * np.random.default_rng(1).poisson(500, (len(frames), 5, 5))
    with_bead = local_density(frames + bead, calibration)
    assert with_bead.value == pytest.approx(local_density(frames, calibration).value, rel=0.15)


def test_too_few_frames_have_the_density_of_the_field(
    line: tuple[npt.NDArray[np.uint16], Calibration],
) -> None:
    frames, calibration = line
    assert local_density(frames[:15], calibration) == calibration.density_per_px
    unknown = replace(calibration, density_per_px=Estimate(0.0, float("inf")))
    assert local_density(frames, unknown) == unknown.density_per_px


@pytest.mark.parametrize("limit", [255, 1000, 4095, 65_535])
def test_a_limit_is_found_wherever_it_is(limit: int) -> None:
    light = np.random.default_rng(5).normal(0.7 * limit, 0.2 * limit, (10, 32, 32))
    frames = np.clip(light, 0, limit).astype(np.uint16)
    frames[:, 10:14, 10:14] = limit
    share = saturated_share(frames, GOOD)
    assert share == pytest.approx((frames == limit).mean())
    faulty = GOOD.copy()
    faulty[10:14, 10:14] = True
    assert saturated_share(np.where(faulty, frames, 0), faulty) == 0


@given(
    mean=st.floats(0.01, 1000),
    gain=st.sampled_from([0.01, 1.0, 7.3]),
    kind=st.sampled_from([np.uint8, np.uint16, np.float32]),
)
def test_noise_is_not_cut_off(mean: float, gain: float, kind: Any) -> None:
    photons = np.random.default_rng(3).poisson(mean, (8, 16, 16)) * gain
    if photons.max() < 250 or kind is not np.uint8:
        assert saturated_share(photons.astype(kind), np.zeros((16, 16), bool)) == 0


def test_a_field_of_faulty_pixels_alone() -> None:
    assert saturated_share(noise(), ~GOOD) == 0


@pytest.mark.parametrize(
    ("frames", "blank"),
    [
        (noise(), True),
        (np.full((40, 32, 32), 7, np.uint16), True),
        (np.full((1, 4, 4), 7, np.uint16), True),
        (noise()[:, :6, :6], False),  # too small to be looked at
        (noise(2), False),
    ],
    ids=["noise", "constant", "one frame", "small", "short"],
)
def test_movies_without_emitters(frames: npt.NDArray[np.uint16], blank: bool) -> None:
    assert is_blank(frames) == blank


@pytest.mark.parametrize("photons", [0.3, 5.0, 1000.0])
@pytest.mark.parametrize("camera", [IdealCamera(), EmccdCamera(), ScmosCamera()])
def test_the_noise_of_no_camera_is_emitters(camera: AnyCamera, photons: float) -> None:
    for seed, shape in enumerate([(60, 32, 32), (20, 64, 24)]):
        rng = np.random.default_rng(seed)
        background = Background(mean_photons=photons, unevenness=0.4).realise(shape[1:], rng)
        frames = camera.expose(np.broadcast_to(background, shape), rng)
        assert is_blank(digitise(frames))
        assert is_blank(frames.astype(np.float32) / 3 - 500)


def test_one_frame_over_and_over_blinks_nowhere() -> None:
    assert is_blank(np.repeat(noise(1), 40, axis=0))


def test_emitters_of_a_calibration_may_be_chance() -> None:
    frames = noise()
    by_chance = replace(
        calibrate_frames(frames),
        density_per_px=Estimate(0.1, 0.02),
        signal_photons=Estimate(30.0, 5.0),
    )
    assert inspect_frames(frames, by_chance, 8).has_no_emitters


def flicker(light: Light, rng: np.random.Generator) -> Light:
    return light * rng.uniform(0.8, 1.2, (len(light), 1, 1))


def bleaching(light: Light, rng: np.random.Generator) -> Light:
    course: Light = 1 + np.exp(-np.arange(len(light)) / 20)
    return light * course[:, None, None]


def beads(light: Light, rng: np.random.Generator) -> Light:
    places = np.zeros(light.shape[1:])
    places[5, 7] = places[12, 30] = 5000
    return light + np.asarray(ndimage.gaussian_filter(places, 1.2))


def hot_pixels(light: Light, rng: np.random.Generator) -> Light:
    return np.where(rng.random(light.shape[1:]) < 0.005, 20 * light, light)


@pytest.mark.parametrize("disturbed", [flicker, bleaching, beads, hot_pixels])
def test_what_does_not_blink_is_no_emitter(disturbed: Callable[..., Light]) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        background = Background(mean_photons=50, unevenness=0.2).realise((40, 40), rng)
        light = disturbed(np.broadcast_to(background, (60, 40, 40)), rng)
        assert is_blank(digitise(EmccdCamera().expose(light, rng)))


def rows_with_noise(counts: Light, rng: np.random.Generator) -> Light:
    return counts + rng.normal(0, 0.1 * counts.std(), (*counts.shape[:2], 1))


def smeared_rows(counts: Light, rng: np.random.Generator) -> Light:
    return 0.95 * counts + 0.05 * np.roll(counts, 1, axis=2)


def cosmic_rays(counts: Light, rng: np.random.Generator) -> Light:
    return np.where(rng.random(counts.shape) < 1e-4, counts + 3000, counts)


@pytest.mark.parametrize("read_out", [rows_with_noise, smeared_rows, cosmic_rays])
def test_what_a_camera_adds_is_no_emitter(read_out: Callable[..., Light]) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        counts = ScmosCamera().expose(np.full((60, 48, 48), 30.0), rng)
        assert is_blank(digitise(read_out(counts, rng)))


BLINKING: dict[str, dict[str, Any]] = {
    "few and faint": {"density_per_um2": 0.05, "brightness": {"mean_photons": 400}},
    "faint and dense": {"density_per_um2": 6.0, "brightness": {"mean_photons": 120}},
    "bright": {"density_per_um2": 0.05, "brightness": {"mean_photons": 50_000}},
    "crowded": {"density_per_um2": 30.0},
    "narrow": {"density_per_um2": 0.3, "psf": {"sigma_nm": 50}},
    "wide": {"density_per_um2": 0.3, "psf": {"sigma_nm": 300}},
    "on for long": {"density_per_um2": 0.5, "blinking": {"kind": "switching", "mean_on_frames": 9}},
    "in the dark": {"density_per_um2": 0.1, "background": {"mean_photons": 0}},
    "a few frames": {"density_per_um2": 1.0, "frames": 8},
    "a small field": {"density_per_um2": 3.0, "height_px": 8, "width_px": 9},
}


@pytest.mark.parametrize("camera", ["emccd", "scmos"])
@pytest.mark.parametrize("kind", BLINKING)
def test_emitters_of_every_kind_are_seen(kind: str, camera: str) -> None:
    usual: dict[str, Any] = {
        "frames": 40,
        "height_px": 32,
        "width_px": 40,
        "scene": {"kind": "uniform"},
    }
    settings = SimulationSettings.model_validate(
        usual | {"camera": {"kind": camera}} | BLINKING[kind]
    )
    for seed in range(2):
        movie = simulate_movie(settings, np.random.default_rng(seed))
        assert not is_blank(np.concatenate(list(movie.frames())))


def test_one_blink_is_seen() -> None:
    """It is 5 standard deviations of the noise high, in one of 100 frames, and alone."""
    rng = np.random.default_rng(3)
    light = np.full((100, 64, 64), 100.0)
    assert is_blank(digitise(IdealCamera().expose(light, rng)))
    spot = np.zeros((64, 64))
    spot[20, 31] = 50 * 2 * np.pi * 1.2**2
    light[47] += ndimage.gaussian_filter(spot, 1.2)
    assert not is_blank(digitise(IdealCamera().expose(light, rng)))


def test_emitters_are_seen(line: tuple[npt.NDArray[np.uint16], Calibration]) -> None:
    found = inspect_frames(*line, 8)
    assert not found.has_no_emitters
    assert found.saturated_share == 0
    assert found.highest_adu == line[0].max()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("density", [0.0, 2.0])
def test_a_median_that_was_taken_off_is_seen(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.poisson(80, (60, 32, 32)) * 2.0 + 100
    for frame in frames:
        for y, x in rng.integers(1, 31, (int(4 * density), 2)):
            frame[y - 1 : y + 2, x - 1 : x + 2] += rng.poisson(60, (3, 3))
    raw = frames.astype(np.uint16)
    taken = (frames - np.median(frames, axis=0) + 100).round().astype(np.uint16)
    found = [inspect_frames(f, calibrate_frames(f), 8).is_taken_off for f in (raw, taken)]
    assert found == [False, True]


def test_bright_emitters_in_every_pixel_do_not_pass_for_a_median_that_was_taken_off() -> None:
    rng = np.random.default_rng(5)
    frames = rng.poisson(17, (86, 32, 32)) * 3.0 + 100
    y, x = np.mgrid[:32, :32]
    for frame in frames:
        for place in rng.uniform(0, 32, (9, 2)):
            spot = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 2)
            frame += rng.poisson(600 * spot) * 3.0
    raw = frames.astype(np.uint16)
    assert not inspect_frames(raw, calibrate_frames(raw), 8).is_taken_off
