from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.reconstruction.inspection import inspect_frames, local_density, saturated_share
from deepstorm.simulation.scenes import Scene, TableScene, UniformScene
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Calibration, Estimate

GOOD = np.zeros((32, 32), bool)


def simulated(scene: Scene, frames: int = 80) -> npt.NDArray[np.uint16]:
    settings = SimulationSettings(
        frames=frames, height_px=32, width_px=32, scene=scene, density_per_um2=3.0
    )
    return np.concatenate(list(simulate_movie(settings, np.random.default_rng(2)).frames()))


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
    assert inspect_frames(frames, calibrate_frames(frames), 8).has_no_emitters == blank


def test_emitters_are_seen(line: tuple[npt.NDArray[np.uint16], Calibration]) -> None:
    found = inspect_frames(*line, 8)
    assert not found.has_no_emitters
    assert found.saturated_share == 0
    assert found.highest_adu == line[0].max()
