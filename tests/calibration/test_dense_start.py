from __future__ import annotations

import numpy as np
import pytest

from deepstorm.api.simulate import simulate
from deepstorm.arrays import AnyArray
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.dense_start import DenseStart
from deepstorm.calibration.inspection import inspect_frames
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import SimulationSettings


def emitters(density_per_um2: float, frames: int, seed: int) -> AnyArray:
    settings = SimulationSettings(
        frames=frames,
        height_px=48,
        width_px=48,
        density_per_um2=density_per_um2,
        scene=UniformScene(),
        camera=ScmosCamera(),
    )
    simulated = simulate(settings, seed=seed).frames
    assert simulated is not None
    return simulated


def dense_start(frames: AnyArray, numbers: AnyArray | None = None) -> DenseStart | None:
    return inspect_frames(frames, calibrate_frames(frames), 8, numbers).dense_start


@pytest.mark.parametrize("seed", range(4))
def test_a_dense_start_is_found_with_its_end(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = int(rng.integers(8, 25))
    start = emitters(float(rng.uniform(40, 80)), dense, seed)
    frames = np.concatenate([start, emitters(float(rng.uniform(0.5, 3)), 100, seed + 10)])
    found = dense_start(frames)
    assert found is not None
    assert abs(found.frames - dense) <= 1
    assert found.per_spot.value > 3
    told = dense_start(frames, 5 * np.arange(len(frames)))
    assert told is not None
    assert told.frames == 5 * found.frames


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", [0.2, 2.0, 8.0])
def test_an_even_movie_has_no_start(seed: int, density: float) -> None:
    assert dense_start(emitters(density, 80, seed)) is None
