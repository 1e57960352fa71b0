"""Spots longer one way are seen at any density, on any structure; round ones are not."""

from __future__ import annotations

import numpy as np
import pytest

from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.inspection import inspect_frames
from deepstorm.calibration.roundness import Roundness


def frames_of(seed: int, per_frame: int, ratio: float, degrees: float) -> np.ndarray:
    """Let spots blink on a line across the field, or anywhere; they may be longer one way."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :44]
    turn = np.radians(degrees)
    light = np.full((60, 40, 44), 20.0)
    for frame in light:
        places = rng.uniform((3, 3), (37, 41), (per_frame, 2))
        if seed % 2:
            places[:, 0] = 8 + 0.5 * places[:, 1]
        for down, right in places:
            along = (x - right) * np.cos(turn) + (y - down) * np.sin(turn)
            across = (y - down) * np.cos(turn) - (x - right) * np.sin(turn)
            frame += 60 * np.exp(-((along / ratio) ** 2 + across**2) / (2 * 1.2**2))
    return (2 * rng.poisson(light) + 100).astype(np.uint16)


def roundness(frames: np.ndarray) -> Roundness:
    found = inspect_frames(frames, calibrate_frames(frames), 8).roundness
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("per_frame", [3, 40])
def test_round_spots_are_round(seed: int, per_frame: int) -> None:
    longer = roundness(frames_of(seed, per_frame, 1, 0)).elongation
    assert longer.value < 0.2 or longer.value < 0.1 + 3 * longer.uncertainty


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("per_frame", [3, 40])
def test_spots_longer_one_way_are_seen_with_their_direction(seed: int, per_frame: int) -> None:
    rng = np.random.default_rng(seed)
    ratio, degrees = rng.uniform(1.5, 2.2), rng.uniform(-80, 80)
    found = roundness(frames_of(seed, per_frame, ratio, degrees))
    expected = (ratio**2 - 1) / (ratio**2 + 1)
    assert found.elongation.value == pytest.approx(expected, abs=0.15)
    assert found.elongation.value - 3 * found.elongation.uncertainty > 0.1
    assert (found.degrees - degrees + 90) % 180 - 90 == pytest.approx(0, abs=12)


def test_too_little_says_nothing() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 32, 32)).astype(np.float32)
    assert Roundness.of(noise[:5], 1.2) is None
    assert Roundness.of(noise[:, :10], 1.2) is None
