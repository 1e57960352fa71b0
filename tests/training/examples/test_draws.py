from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from deepstorm.simulation.mixture_scene import MixtureScene
from deepstorm.simulation.scenes import Scene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.training.examples.draws import (
    coverage,
    draw_camera,
    draw_scene,
    draw_simple_scene,
)


@pytest.mark.parametrize("seed", range(5))
def test_coverage_is_a_part_of_the_field(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene: Scene = draw_scene(rng)
    assert 0 < coverage(SimulationSettings(frames=1, scene=scene), rng) <= 1 + 1e-9


def test_all_kinds_of_scenes_and_cameras_are_drawn() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(rng) for _ in range(60)]
    assert {scene.kind for scene in scenes} == {"uniform", "clusters", "filaments", "mixture"}
    bundles = [scene for scene in scenes if getattr(scene, "spacing_nm", 0) > 0]
    assert 0 < len(bundles) < 60
    assert {draw_camera(rng).kind for _ in range(20)} == {"emccd", "scmos"}


def test_one_scene_in_five_is_a_mixture_of_two_or_three() -> None:
    rng = np.random.default_rng(1)
    scenes = [draw_scene(rng) for _ in range(1000)]
    mixtures = [scene for scene in scenes if isinstance(scene, MixtureScene)]
    assert len(mixtures) == pytest.approx(200, abs=5 * np.sqrt(1000 * 0.2 * 0.8))
    assert {len(scene.parts) for scene in mixtures} == {2, 3}
    # No part is so rare that it goes unseen.
    shares = [min(scene.weights) / sum(scene.weights) for scene in mixtures]
    assert min(shares) >= 0.1 / 2.1
    kinds = {part.kind for scene in mixtures for part in scene.parts}
    assert kinds == {"uniform", "clusters", "filaments"}


def test_simple_scenes_are_drawn_with_their_shares() -> None:
    rng = np.random.default_rng(2)
    scenes = [draw_simple_scene(rng) for _ in range(2000)]
    bundles = [scene for scene in scenes if getattr(scene, "spacing_nm", 0) > 0]
    counts = Counter(scene.kind for scene in scenes)
    found = [counts[kind] / 2000 for kind in ("uniform", "filaments", "clusters")]
    assert found == pytest.approx([0.3, 0.55, 0.15], abs=5 * 0.0112)
    assert len(bundles) / 2000 == pytest.approx(0.2, abs=5 * 0.0112)
