from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from deepstorm.api.simulate import simulate
from deepstorm.arrays import AnyArray
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.inspection import inspect_frames
from deepstorm.calibration.repeated_noise import noise_shared_with_next
from deepstorm.calibration.sampling import sample_frames
from deepstorm.io.movies.opening import open_movie
from deepstorm.simulation.camera import EmccdCamera, ScmosCamera
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Estimate


def shared(frames: AnyArray) -> Estimate:
    with open_movie(frames) as movie:
        sample = sample_frames(movie)
    return noise_shared_with_next(sample.pairs, sample.frames.mean(axis=0))


def movie(seed: int, camera: ScmosCamera | EmccdCamera, sigma_nm: float = 110.0) -> AnyArray:
    settings = SimulationSettings(
        frames=60,
        height_px=48,
        width_px=48,
        density_per_um2=3,
        camera=camera,
        psf={"kind": "gaussian", "sigma_nm": sigma_nm},
    )
    frames = simulate(settings, seed=seed).frames
    assert frames is not None
    return frames


@pytest.mark.parametrize("camera", [ScmosCamera(), EmccdCamera()])
@pytest.mark.parametrize("sigma_nm", [80.0, 110.0, 200.0])
def test_frames_of_a_camera_share_no_noise(
    camera: ScmosCamera | EmccdCamera, sigma_nm: float
) -> None:
    found = shared(movie(1, camera, sigma_nm))
    assert abs(found.value) < 4 * found.uncertainty
    assert found.uncertainty < 0.04


@pytest.mark.parametrize(
    ("name", "least"),
    [("mean", 0.6), ("median", 0.1), ("twice", 0.25), ("Gaussian", 0.3)],
)
@pytest.mark.parametrize("seed", range(2))
def test_frames_mixed_over_time_do(name: str, least: float, seed: int) -> None:
    frames = movie(seed, ScmosCamera()).astype(np.float32)
    mixed = {
        "mean": lambda: ndimage.uniform_filter1d(frames, 4, axis=0),
        "median": lambda: ndimage.median_filter(frames, (3, 1, 1)),
        "twice": lambda: np.repeat(frames, 2, axis=0),
        "Gaussian": lambda: ndimage.gaussian_filter1d(frames, 0.8, axis=0),
    }
    found = shared(mixed[name]())
    assert found.value - 3 * found.uncertainty > least


def test_a_single_frame_says_nothing() -> None:
    assert shared(movie(0, ScmosCamera())[:1]).uncertainty == np.inf
    assert shared(np.zeros((5, 16, 16))).uncertainty == np.inf


def test_cosmic_rays_are_not_shared() -> None:
    frames = movie(2, ScmosCamera())
    frames[[3, 20], [10, 30], [12, 40]] = 65535
    shared_with_next = inspect_frames(
        frames, calibrate_frames(frames), 8, pairs=sample_frames(open_movie(frames)).pairs
    ).shared_with_next
    assert shared_with_next is not None
    assert abs(shared_with_next.value) < 4 * shared_with_next.uncertainty
