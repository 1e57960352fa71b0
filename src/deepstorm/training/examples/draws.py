"""What differs from one simulated movie to the next: scene, blinking and camera, drawn."""

from __future__ import annotations

import numpy as np

from deepstorm.simulation.blinking import AnyBlinking, IndependentBlinking, SwitchingBlinking
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, ScmosCamera
from deepstorm.simulation.mixture_scene import MixtureScene
from deepstorm.simulation.scenes import (
    ClusterScene,
    FilamentScene,
    Scene,
    UniformScene,
)
from deepstorm.simulation.simulator import SimulationSettings


def log_uniform(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw from a range, each factor alike."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def log_rising(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw from a range whose upper end (in the logarithm) is met most."""
    return max(log_uniform(limits, rng), log_uniform(limits, rng))


def log_triangular(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw from a range whose (geometric) middle is met most, its ends hardly ever."""
    return float(np.sqrt(log_uniform(limits, rng) * log_uniform(limits, rng)))


def coverage(settings: SimulationSettings, rng: np.random.Generator) -> float:
    """Return the part of the field that a typical structure of the scene covers."""
    field = settings.field_of_view()
    return settings.scene.realise(field, rng).footprint_um2 / field.area_um2


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene of any kind: filaments most often, since they are the hardest."""
    if rng.random() < 0.8:
        return draw_simple_scene(rng)
    parts = [draw_simple_scene(rng) for _ in range(int(rng.integers(2, 4)))]
    return MixtureScene(parts=tuple(parts), weights=tuple(rng.uniform(0.1, 1, len(parts))))


def draw_simple_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene of one kind."""
    kind = rng.choice(["uniform", "filaments", "bundle", "clusters"], p=[0.3, 0.35, 0.2, 0.15])
    if kind == "uniform":
        return UniformScene()
    if kind == "clusters":
        return ClusterScene(
            clusters=int(rng.integers(2, 40)),
            radius_nm=log_uniform((15.0, 250.0), rng),
            ring=bool(rng.random() < 0.4),
        )
    return FilamentScene(
        filaments=int(rng.integers(1, 9)),
        radius_nm=rng.uniform(0, 25),
        bend_per_um=log_uniform((0.02, 1.6), rng),
        waviness_nm=rng.choice([0.0, 1.0]) * rng.uniform(10, 120),
        wavelength_nm=rng.uniform(350, 1500),
        length_um=log_uniform((0.6, 6.0), rng) if rng.random() < 0.3 else 0.0,
        spacing_nm=log_uniform((15.0, 800.0), rng) if kind == "bundle" else 0.0,
    )


def draw_blinking(switching_share: float, rng: np.random.Generator) -> AnyBlinking:
    """Draw emitters that are on for one whole frame, or that switch at any time."""
    if rng.random() >= switching_share:
        return IndependentBlinking()
    return SwitchingBlinking(mean_on_frames=log_uniform((0.3, 5.0), rng), min_fraction=0.1)


def draw_camera(rng: np.random.Generator) -> AnyCamera:
    """Draw an EMCCD or an sCMOS camera."""
    if rng.random() < 0.5:
        em_gain = log_uniform((50.0, 300.0), rng)
        return EmccdCamera(
            em_gain=em_gain,
            electrons_per_adu=em_gain / log_uniform((1.0, 10.0), rng),
            read_noise_e=em_gain * rng.uniform(0.05, 0.8),
        )
    return ScmosCamera(
        read_noise_e=rng.uniform(0.8, 2.5),
        maps_seed=int(rng.integers(2**31)),
    )
