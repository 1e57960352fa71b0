"""Spots on a background, seen by cameras whose noise is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.localization.noise import CameraNoise
from deepstorm.simulation.camera import EmccdCamera, IdealCamera, ScmosCamera
from deepstorm.simulation.psf import render_emitters

SIZE_PX = 21
SIGMA_PX = 1.1
BACKGROUND = 20.0


@dataclass(frozen=True)
class Scene:
    """One emitter in the middle of each frame."""

    frames: npt.NDArray[np.float64]
    x_px: npt.NDArray[np.float64]
    y_px: npt.NDArray[np.float64]
    noise: CameraNoise


def emccd_noise() -> CameraNoise:
    camera = EmccdCamera()
    return CameraNoise(
        camera.offset_adu,
        camera.em_gain / camera.electrons_per_adu,
        2.0,
        (camera.read_noise_e / camera.em_gain) ** 2,
    )


def scmos_noise(size_px: int) -> CameraNoise:
    offset, gain, read = ScmosCamera().maps((size_px, size_px))
    return CameraNoise(offset, gain, 1.0, read**2)


def seen_by(kind: str, light: npt.NDArray[np.float64], seed: int):
    """Return counts and noise."""
    camera, noise = {
        "ideal": (IdealCamera(), CameraNoise()),
        "emccd": (EmccdCamera(), emccd_noise()),
        "scmos": (ScmosCamera(), scmos_noise(light.shape[1])),
    }[kind]
    return np.rint(camera.expose(light, np.random.default_rng(seed))), noise


def one_each(kind: str, photons: float, n: int, seed: int = 3, background: float = BACKGROUND):
    """Simulate one emitter per frame, anywhere in the middle pixel."""
    rng = np.random.default_rng(seed)
    x_px, y_px = SIZE_PX // 2 + rng.random((2, n))
    light = background + render_emitters(
        np.arange(n),
        x_px,
        y_px,
        np.full(n, photons),
        np.full(n, SIGMA_PX),
        (n, SIZE_PX, SIZE_PX),
    )
    frames, noise = seen_by(kind, light, seed + 1)
    return Scene(frames, x_px, y_px, noise)


@pytest.fixture(scope="session")
def lone_emitters():
    """A function of camera, photons and number that returns a scene."""
    return one_each


@pytest.fixture(scope="session")
def exposed():
    """A function of camera, light and seed that returns counts and noise."""
    return seen_by
