from __future__ import annotations

import numpy as np
import pytest

from deepstorm.models.scaling import MinMaxScaling, PhotonScaling
from deepstorm.reconstruction.leveling import Leveling
from deepstorm.structures import Estimate, Instrument

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


def hill(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[:32, :40]
    centre, width = rng.uniform(8, 24, 2), rng.uniform(6, 10)
    squared = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
    return rng.uniform(8, 20) * np.exp(-squared / (2 * width**2))


def with_spots(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let five emitters of 700 photons be on in a frame, at other places in each."""
    y, x = np.mgrid[:32, :40]
    light = np.zeros(frames.shape)
    for frame in light:
        for place in rng.uniform((4, 4), (28, 36), (5, 2)):
            squared = (y - place[0]) ** 2 + (x - place[1]) ** 2
            frame += 700 / (2 * np.pi * 1.44) * np.exp(-squared / (2 * 1.44))
    return light


@pytest.mark.parametrize("seed", range(4))
def test_steady_light_is_taken_off_and_what_blinks_is_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = rng.uniform(20, 100)
    even, steady = np.full((80, 32, 40), level), level * (1 + hill(rng))
    spots = with_spots(even, rng)
    brightness = Estimate(700.0, 70.0)
    shares = []
    for background in (even, steady):
        frames = rng.poisson(background + spots).astype(np.float32)
        fitted = PhotonScaling().fit(frames, PHOTONS)
        levelled = Leveling.of(fitted, frames, NOWHERE, NOWHERE, brightness)
        scaled = levelled.apply(frames)[:, 0]
        dark = spots < 1
        mean = scaled.sum(axis=0, where=dark) / dark.sum(axis=0)
        assert mean.std() < 0.1  # 1 and more where the hill is left
        shares.append((levelled.times_brighter, scaled[spots > 40].mean() - scaled[dark].mean()))
    (unchanged, bright), (times, over_hill) = shares
    assert unchanged == 1
    assert times == pytest.approx(1 + (steady / level - 1).max(), rel=0.4)
    assert 0.2 * bright < over_hill < bright  # the same light, in more noise


@pytest.mark.parametrize("photons", [90.0, 900.0])
@pytest.mark.parametrize("density", [5, 40])
def test_structures_that_blink_are_no_background(density: int, photons: float) -> None:
    rng = np.random.default_rng(density)
    light = np.full((80, 32, 40), 10.0)
    y, x = np.mgrid[:32, :40]
    for frame in light:
        for column in rng.uniform(0, 40, density):
            squared = (y - 16) ** 2 + (x - column) ** 2
            frame += photons / (2 * np.pi * 1.44) * np.exp(-squared / (2 * 1.44))
    frames = rng.poisson(light).astype(np.float32)
    fitted = PhotonScaling().fit(frames, PHOTONS)
    for known in (Estimate(photons, photons / 9), Estimate(photons, np.inf)):
        assert Leveling.of(fitted, frames, NOWHERE, NOWHERE, known).ground is None


def test_other_scalings_are_left_alone() -> None:
    frames = np.random.default_rng(4).poisson(30, (20, 32, 40)).astype(np.float32)
    levelled = Leveling.of(MinMaxScaling(), frames, NOWHERE, NOWHERE)
    np.testing.assert_array_equal(levelled.apply(frames), MinMaxScaling().apply(frames))
