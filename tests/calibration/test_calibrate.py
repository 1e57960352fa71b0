from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames, examine_frames
from deepstorm.io.movies.opening import open_movie
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import FilamentScene, Scene, UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Calibration

Counts = npt.NDArray[Any]

EMCCD_SLOPE, SCMOS_SLOPE = 600 / 145, 2.0
SCMOS_READ_VARIANCE = 2.5
ESTIMATES = (
    "adu_per_photon",
    "zero_adu",
    "sigma_px",
    "background_photons",
    "background_unevenness",
    "signal_photons",
    "density_per_px",
    "drift_px",
)


def simulate(
    *,
    density: float = 3.0,
    photons: float = 1000.0,
    background: float = 50.0,
    sigma_px: float = 1.2,
    camera: AnyCamera | None = None,
    scene: Scene | None = None,
    frames: int = 100,
    drift_px: float = 0.0,
    seed: int = 0,
) -> Counts:
    """A movie of 64 × 64 pixels of 100 nm, whose sample moves along (3, 4) by ``drift_px``."""
    chosen = SimulationSettings(
        frames=frames,
        density_per_um2=density,
        scene=scene or UniformScene(),
        brightness=Brightness(mean_photons=photons),
        psf=GaussianPsf(sigma_nm=100 * sigma_px),
        background=Background(mean_photons=background, unevenness=0.1),
        camera=camera or EmccdCamera(),
    )
    movie = simulate_movie(chosen, np.random.default_rng(seed))
    emitters = movie.emitters
    moved_nm = 100 * drift_px * emitters.frame / max(frames - 1, 1)
    moved = replace(
        emitters, x_nm=emitters.x_nm + 0.6 * moved_nm, y_nm=emitters.y_nm + 0.8 * moved_nm
    )
    return np.concatenate(list(replace(movie, emitters=moved).frames()))


@pytest.fixture(scope="module")
def ordinary() -> Counts:
    return simulate(scene=FilamentScene())


def assert_usable(calibration: Calibration) -> None:
    for name in ESTIMATES:
        estimate = getattr(calibration, name)
        assert np.isfinite(estimate.value), name
        assert estimate.uncertainty >= 0, name
    assert calibration.adu_per_photon.value > 0
    assert 0.3 < calibration.sigma_px.value < 6


@pytest.mark.parametrize("camera", [EmccdCamera(), ScmosCamera()], ids=lambda c: c.kind)
@pytest.mark.parametrize("scene", [UniformScene(), FilamentScene()], ids=lambda s: s.kind)
@pytest.mark.parametrize(
    ("density", "photons", "background", "sigma_px"),
    [
        (3.0, 1000.0, 50.0, 1.2),
        (10.0, 1000.0, 100.0, 1.0),
        (0.1, 10_000.0, 10.0, 1.2),
        (1.0, 100.0, 1.0, 0.8),
        (10.0, 5000.0, 300.0, 2.2),
        (0.5, 2000.0, 1000.0, 1.5),
    ],
)
def test_the_truth_is_found(
    camera: AnyCamera,
    scene: Scene,
    density: float,
    photons: float,
    background: float,
    sigma_px: float,
) -> None:
    found = calibrate_frames(
        simulate(
            density=density,
            photons=photons,
            background=background,
            sigma_px=sigma_px,
            camera=camera,
            scene=scene,
        )
    )
    is_emccd = camera.kind == "emccd"
    share = 0.5 if is_emccd else 1.0
    truth = {
        "adu_per_photon": EMCCD_SLOPE if is_emccd else SCMOS_SLOPE,
        "sigma_px": sigma_px,
        "background_photons": share * background + (0 if is_emccd else SCMOS_READ_VARIANCE),
        "signal_photons": share * photons,
    }
    for name, value in truth.items():
        estimate = getattr(found, name)
        assert abs(estimate.value - value) < max(3.5 * estimate.uncertainty, 0.03 * value), name
    assert found.sigma_px.value == pytest.approx(sigma_px, rel=0.1)
    assert found.adu_per_photon.value == pytest.approx(truth["adu_per_photon"], rel=0.25)


@pytest.mark.parametrize("camera", [EmccdCamera(), ScmosCamera()], ids=lambda c: c.kind)
def test_an_ordinary_movie_is_known_well(camera: AnyCamera) -> None:
    found = calibrate_frames(
        simulate(scene=FilamentScene(), camera=camera), known=KnownValues(pixel_size_nm=100)
    )
    is_emccd = camera.kind == "emccd"
    slope = EMCCD_SLOPE if is_emccd else SCMOS_SLOPE
    assert found.adu_per_photon.value == pytest.approx(slope, rel=0.1)
    assert found.sigma_px.value == pytest.approx(1.2, rel=0.03)
    assert found.zero_adu.value == pytest.approx(100 if is_emccd else 95, abs=12)
    assert found.background_photons.value == pytest.approx(25 if is_emccd else 52.5, rel=0.2)
    assert found.density_per_um2 is not None
    assert found.density_per_um2.value == pytest.approx(3, rel=0.35)
    assert found.background_unevenness.value == pytest.approx(0.1, abs=0.08)
    assert found.instrument.sigma_px == found.sigma_px.value


def test_a_hopeless_movie_says_so() -> None:
    found = calibrate_frames(simulate(density=0.3, photons=100, background=1000, frames=60))
    assert found.sigma_px.uncertainty > 0.15 * found.sigma_px.value
    assert found.signal_photons.uncertainty > 0.5 * found.signal_photons.value
    assert any("too faint" in note for note in found.notes)


@pytest.mark.parametrize("drift_px", [0.0, 1.0, 2.5])
def test_drift_is_found(drift_px: float) -> None:
    movie = simulate(scene=FilamentScene(), frames=120, drift_px=drift_px)
    found = calibrate_frames(movie, known=KnownValues(pixel_size_nm=100))
    assert found.drift_px.value == pytest.approx(drift_px, abs=0.35)
    assert found.drift_px.uncertainty < 0.6
    assert found.sigma_px.value == pytest.approx(1.2, rel=0.03)
    assert found.drift_nm is not None
    assert found.drift_nm.value == pytest.approx(100 * found.drift_px.value)


def test_without_structure_drift_is_unknown() -> None:
    assert calibrate_frames(simulate(drift_px=2)).drift_px.uncertainty == float("inf")


def test_known_values_are_kept_and_tell_more(ordinary: Counts) -> None:
    known = KnownValues(
        adu_per_photon=EMCCD_SLOPE,
        zero_adu=100,
        sigma_px=1.25,
        offset_adu=100.5,
        adu_per_electron=EMCCD_SLOPE / 2,
    )
    found = calibrate_frames(ordinary, known=known)
    assert (found.adu_per_photon.value, found.adu_per_photon.uncertainty) == (EMCCD_SLOPE, 0)
    assert found.zero_adu.value == pytest.approx(100)
    assert found.sigma_px.value == 1.25
    assert found.excess_noise_factor is not None
    assert found.excess_noise_factor.value == pytest.approx(2)
    assert found.read_noise_photons is not None
    assert found.read_noise_photons.value == pytest.approx((0.5 / EMCCD_SLOPE) ** 0.5)
    unknown = calibrate_frames(ordinary)
    assert unknown.excess_noise_factor is None
    assert unknown.read_noise_photons is None


def test_a_known_zero_helps_where_brightness_hardly_varies() -> None:
    movie = np.random.default_rng(0).poisson(20, (60, 32, 32)).astype(np.uint16) * 3 + 100
    assert calibrate_frames(movie).adu_per_photon.uncertainty > 1
    found = calibrate_frames(movie, known=KnownValues(zero_adu=100))
    assert found.adu_per_photon.value == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1e6, 0.0), (1.0, -140.0)])
def test_units_do_not_matter(ordinary: Counts, scale: float, offset: float) -> None:
    plain = calibrate_frames(ordinary)
    other = calibrate_frames(scale * (ordinary + offset))
    assert other.sigma_px.value == pytest.approx(plain.sigma_px.value, rel=1e-3)
    assert other.adu_per_photon.value == pytest.approx(scale * plain.adu_per_photon.value, rel=1e-2)
    assert other.background_photons.value == pytest.approx(plain.background_photons.value, rel=0.05)


def test_a_hot_pixel_that_is_stuck_is_hot_alone(ordinary: Counts) -> None:
    broken = ordinary.copy()
    broken[:, 3, 7] = 65_535
    found = calibrate_frames(broken)
    assert np.argwhere(found.hot_pixels).tolist() == [[3, 7]]
    assert not found.dead_pixels.any()


def test_faults_do_no_harm(ordinary: Counts) -> None:
    broken = ordinary.copy()
    broken[:, [3, 40], [7, 30]] = 60_000
    broken[:, [10, 20], [33, 44]] = 100
    found = calibrate_frames(broken)
    assert np.argwhere(found.hot_pixels).tolist() == [[3, 7], [40, 30]]
    assert np.argwhere(found.dead_pixels).tolist() == [[10, 33], [20, 44]]
    whole = calibrate_frames(ordinary)
    assert found.sigma_px.value == pytest.approx(whole.sigma_px.value, rel=0.01)
    assert found.adu_per_photon.value == pytest.approx(whole.adu_per_photon.value, rel=0.05)


def test_a_bead_widens_the_uncertainty_at_most(ordinary: Counts) -> None:
    y, x = np.mgrid[:64, :64]
    bead = 30_000 * np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / (2 * 1.2**2))
    noisy = np.random.default_rng(0).poisson(bead, ordinary.shape) + ordinary.astype(np.int64)
    found = calibrate_frames(noisy)
    assert found.sigma_px.value == pytest.approx(1.2, rel=0.05)
    error = abs(found.adu_per_photon.value - EMCCD_SLOPE)
    assert error < max(4 * found.adu_per_photon.uncertainty, 0.1 * EMCCD_SLOPE)


@pytest.mark.parametrize("kind", ["uint16", "float64"])
@pytest.mark.parametrize("count", [2, 5, 40, 200])
def test_one_frame_over_and_over_says_what_it_says_once(
    ordinary: Counts, count: int, kind: str
) -> None:
    once = ordinary[:1].astype(kind)
    examination = examine_frames(np.repeat(once, count, axis=0))
    alone, found = calibrate_frames(once), examination.calibration
    for name in ESTIMATES:
        assert getattr(found, name) == getattr(alone, name)
    assert found.adu_per_photon.value == pytest.approx(EMCCD_SLOPE, rel=0.5)
    assert found.frames == count
    assert found.notes[0].startswith("All frames are the same")
    assert examination.course_photons.shape == examination.frame_numbers.shape


SMOOTH = np.hypot(*np.mgrid[:32, :32])
NOISELESS = {
    "still": np.repeat(SMOOTH[None], 20, axis=0),
    "bleaching": SMOOTH * np.exp(-np.linspace(0, 2, 20))[:, None, None],
    "a lamp that flickers": SMOOTH + np.random.default_rng(0).random((20, 1, 1)),
    "rounded": SMOOTH * (1 + 1e-9 * np.arange(20))[:, None, None],
    "a course": 100 + SMOOTH + 50 * np.exp(-((np.arange(20) - 9) ** 2) / 9)[:, None, None],
}


@pytest.mark.parametrize("movie", NOISELESS.values(), ids=NOISELESS.keys())
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_without_noise_nothing_tells_photons(movie: Counts, scale: float) -> None:
    found = calibrate_frames(scale * movie)
    assert_usable(found)
    assert found.adu_per_photon.uncertainty == float("inf")
    assert any("no noise" in note for note in found.notes)
    given = calibrate_frames(scale * movie, known=KnownValues(adu_per_photon=2 * scale))
    assert (given.adu_per_photon.value, given.adu_per_photon.uncertainty) == (2 * scale, 0)


def test_the_least_noise_of_a_camera_is_noise() -> None:
    """Of 16 bits in full use, rounding to whole counts alone."""
    movie = np.linspace(0, 65_000, 32)[:, None] * np.ones((20, 32, 32))
    noisy = np.rint(movie + np.random.default_rng(0).normal(0, 0.5, movie.shape))
    assert np.isfinite(calibrate_frames(noisy).adu_per_photon.uncertainty)


@pytest.mark.parametrize("density", [0.5, 1.3, 2.5])
@pytest.mark.parametrize("camera", [EmccdCamera(), ScmosCamera()], ids=lambda c: c.kind)
def test_a_faint_background_under_bright_emitters_is_known(
    camera: AnyCamera, density: float
) -> None:
    movie = simulate(density=density, photons=6000, background=6, sigma_px=1.12, camera=camera)
    found = calibrate_frames(movie)
    is_emccd = camera.kind == "emccd"
    background = found.background_photons
    truth = 3.0 if is_emccd else 6 + SCMOS_READ_VARIANCE
    assert background.value == pytest.approx(truth, rel=0.2)
    assert abs(background.value - truth) < 2 * background.uncertainty


def test_no_background_is_known_better_than_to_a_part_of_it() -> None:
    """Light of emitters passes for background, and the other way round."""
    known = KnownValues(adu_per_photon=EMCCD_SLOPE, zero_adu=100)
    for seed in range(6):
        movie = simulate(background=200, density=1.0, seed=seed)
        background = calibrate_frames(movie, known=known).background_photons
        assert background.uncertainty > 0.02 * background.value
        assert abs(background.value - 100) < 2 * background.uncertainty


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 9, 12])
def test_a_few_frames_do(ordinary: Counts, frames: int) -> None:
    found = calibrate_frames(ordinary[:frames])
    assert_usable(found)
    for name, truth in (("adu_per_photon", EMCCD_SLOPE), ("sigma_px", 1.2)):
        estimate = getattr(found, name)
        assert abs(estimate.value - truth) < 4 * estimate.uncertainty, name
        assert truth / 3 < estimate.value < 3 * truth, name


ODD = {
    "constant": np.full((20, 32, 32), 100, np.uint16),
    "blank floats": np.zeros((5, 16, 16), np.float32),
    "one pixel": np.arange(9.0).reshape(9, 1, 1),
    "flicker": np.broadcast_to(np.arange(20.0)[:, None, None], (20, 16, 16)),
    "gradient": np.broadcast_to(np.arange(16.0), (20, 16, 16)),
    "bits": (np.random.default_rng(0).random((40, 32, 32)) < 0.01).astype(np.uint8),
    "noise": np.random.default_rng(0).normal(0, 1, (30, 16, 16)),
    "one hot value": np.pad(np.full((9, 1, 1), 255, np.uint8), ((0, 0), (8, 7), (8, 7))),
}


@pytest.mark.parametrize("movie", ODD.values(), ids=ODD.keys())
def test_odd_movies_give_usable_values(movie: Counts) -> None:
    assert_usable(calibrate_frames(movie))


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 25), st.integers(1, 24), st.integers(1, 24)),
    kind=st.sampled_from(["uint8", "uint16", "int16", "float32", "float64"]),
    level=st.floats(0, 200),
    bleaching=st.floats(0, 5),
    offset=st.sampled_from([0.0, -50.0, 100.0]),
    seed=st.integers(0, 100),
)
def test_any_movie_gives_usable_values(
    shape: tuple[int, int, int],
    kind: str,
    level: float,
    bleaching: float,
    offset: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    course = np.exp(-bleaching * np.linspace(0, 1, shape[0]))[:, None, None]
    light = rng.poisson(level * course * rng.gamma(0.3, 3, shape)) + offset
    limits = np.iinfo(kind) if np.dtype(kind).kind in "ui" else None
    movie = light if limits is None else np.clip(light, limits.min, limits.max)
    assert_usable(calibrate_frames(movie.astype(kind)))


def test_importing_it_is_quick() -> None:
    """Each of these takes longer than all the rest together."""
    slow = {"scipy.stats", "scipy.optimize", "matplotlib", "torch", "pandas"}
    code = f"import {calibrate_frames.__module__}, sys; print({slow!r} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_published_movies(reference_data: Path) -> None:
    found = {}
    for name in ("fig4-microtubules", "real-dense-microtubules", "real-sparse-tirf"):
        with open_movie(reference_data / name / "movie.tif") as movie:
            found[name] = calibrate_frames(movie.read(0, min(movie.shape[0], 200)))
        assert_usable(found[name])
    simulated, sparse = found["fig4-microtubules"], found["real-sparse-tirf"]
    assert simulated.adu_per_photon.value == pytest.approx(4.1, rel=0.1)
    assert simulated.zero_adu.value == pytest.approx(100, abs=5)
    assert simulated.sigma_px.value == pytest.approx(1.09, rel=0.03)
    assert simulated.background_photons.value == pytest.approx(9.7, rel=0.15)
    assert simulated.density_per_px.value == pytest.approx(0.055, rel=0.25)
    assert sparse.sigma_px.value == pytest.approx(0.93, rel=0.07)
    assert found["real-dense-microtubules"].sigma_px.value == pytest.approx(1.3, rel=0.1)
