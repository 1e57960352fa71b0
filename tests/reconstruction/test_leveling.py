from __future__ import annotations

import numpy as np
import pytest

from deepstorm.models.scaling import MinMaxScaling, PhotonScaling
from deepstorm.reconstruction.leveling import Leveling
from deepstorm.structures import Instrument

PHOTONS = Instrument(0.0, 1.0, 1.2)
NOWHERE = np.zeros((32, 40), bool)


def leveling(frames: np.ndarray, darker: np.ndarray = NOWHERE) -> Leveling:
    within = frames[:, ~darker][:, None]
    return Leveling.of(PhotonScaling().fit(within, PHOTONS), frames, darker, NOWHERE)


@pytest.mark.parametrize("level", [2.0, 30.0, 400.0])
def test_even_frames_are_scaled_as_ever(level: float) -> None:
    frames = np.random.default_rng(0).poisson(level, (40, 32, 40)).astype(np.float32)
    scaling = PhotonScaling().fit(frames, PHOTONS)
    np.testing.assert_array_equal(leveling(frames).apply(frames), scaling.apply(frames))


@pytest.mark.parametrize("times", [4.0, 30.0, 0.1])
def test_frames_of_another_light_get_a_level_of_their_own(times: float) -> None:
    rng = np.random.default_rng(1)
    frames = rng.poisson(100, (40, 32, 40)).astype(np.float32)
    bright = rng.poisson(100 * times, (2, 32, 40)).astype(np.float32)
    levelled = leveling(frames)
    usual, other = (levelled.apply(each) for each in (frames, bright))
    assert other[:, 0].mean() == pytest.approx(usual[:, 0].mean(), abs=0.05)
    assert other[0, 1, 0, 0] - usual[0, 1, 0, 0] == pytest.approx(np.log(times) / 2, abs=0.2)
    apart = leveling(frames).scaling.apply(bright)[:, 0].mean() - usual[:, 0].mean()
    assert abs(apart) > 0.5


def test_a_darker_part_and_a_shadow_look_like_background() -> None:
    rng = np.random.default_rng(2)
    light = np.full((32, 40), 150.0)
    light[:, :16] = 20
    light[10:13, 20:] = 60
    frames = rng.poisson(light, (60, 32, 40)).astype(np.float32)
    darker = NOWHERE.copy()
    darker[:, :16] = True
    scaled = leveling(frames, darker).apply(frames)
    parts = darker, ~darker & (light == 150), light == 60
    means = [scaled[:, 0][:, part].mean() for part in parts]
    assert np.ptp(means) < 0.2  # a step of 1.6 and one of 0.6 otherwise
    told = [scaled[0, 1][part].mean() for part in parts]
    assert told[0] < told[2] < told[1]


def test_emitters_make_no_dips() -> None:
    rng = np.random.default_rng(3)
    light = np.full((50, 32, 40), 30.0)
    for frame in light:
        y, x = rng.integers(0, 32, 30), rng.integers(0, 20, 30)
        frame[y, x] += 300
    assert leveling(rng.poisson(light).astype(np.float32)).ground is None


def test_other_scalings_are_left_alone() -> None:
    frames = np.random.default_rng(4).poisson(30, (20, 32, 40)).astype(np.float32)
    levelled = Leveling.of(MinMaxScaling(), frames, NOWHERE, NOWHERE)
    np.testing.assert_array_equal(levelled.apply(frames), MinMaxScaling().apply(frames))
