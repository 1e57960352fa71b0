from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstorm.baselines.imaging import Imaging, ImagingConditions
from deepstorm.baselines.richardson_lucy import RichardsonLucySettings, deconvolve_mean

SHAPE = (16, 18)


@pytest.fixture(scope="module")
def emitters() -> torch.Tensor:
    """Two lines, 2.5 camera pixels apart, on a grid of a quarter of a pixel."""
    image = torch.zeros(1, 64, 72)
    image[0, 10:54, 31] = image[0, 10:54, 41] = 40.0
    return image


@pytest.fixture(scope="module")
def frames(emitters: torch.Tensor) -> np.typing.NDArray[np.float32]:
    """Two frames whose mean is free of noise: they differ from it in opposite ways."""
    light = Imaging.gaussian(SHAPE, 1.1, 4, torch.device("cpu")).forward(emitters).numpy() + 10
    change = np.random.default_rng(1).uniform(-5, 5, light.shape)
    return np.concatenate([light + change, light - change]).astype(np.float32)


def run(
    frames: np.typing.NDArray[np.float32], conditions: ImagingConditions, iterations: int
) -> np.typing.NDArray[np.float32]:
    settings = RichardsonLucySettings(upsampling=4, iterations=iterations)
    return deconvolve_mean(frames, conditions, settings)


def test_light_is_kept(
    frames: np.typing.NDArray[np.float32], emitters: torch.Tensor, conditions: ImagingConditions
) -> None:
    image = run(frames, conditions, 300)
    assert image.min() >= 0
    assert image.sum() == pytest.approx(float(emitters.sum()), rel=0.01)


def test_more_iterations_resolve_more(
    frames: np.typing.NDArray[np.float32], conditions: ImagingConditions
) -> None:
    """The dip between the lines, over the height of the lines."""
    profiles = [run(frames, conditions, n)[20:44].mean(axis=0) for n in (5, 30, 300)]
    dips = [profile[36] / profile[[31, 41]].mean() for profile in profiles]
    assert dips[0] > dips[1] > dips[2]
    assert dips[2] < 0.2


def test_the_likelihood_grows(
    frames: np.typing.NDArray[np.float32], conditions: ImagingConditions
) -> None:
    imaging = Imaging.gaussian(SHAPE, 1.1, 4, torch.device("cpu"))
    mean = frames.mean(axis=0)
    values = []
    for iterations in (1, 3, 10, 30, 100):
        image = torch.from_numpy(run(frames, conditions, iterations))
        expected = imaging.forward(image[None])[0].numpy().astype(np.float64) + 10
        values.append((mean * np.log(expected) - expected).sum())
    assert values == sorted(values)


def test_background_alone_leaves_next_to_nothing(conditions: ImagingConditions) -> None:
    image = run(np.full((2, *SHAPE), 10.0, np.float32), conditions, 300)
    assert image.sum() < 0.02 * 10 * SHAPE[0] * SHAPE[1]
