from __future__ import annotations

import numpy as np
import pytest

from deepstorm.localization.noise import CameraNoise
from deepstorm.localization.width import estimate_sigma_px


@pytest.mark.parametrize("first_guess_px", [0.8, 1.2, 1.9])
def test_the_width_is_found_from_any_guess(lone_emitters, first_guess_px):
    scene = lone_emitters("emccd", 3000.0, 150)

    estimate = estimate_sigma_px(scene.frames, scene.noise, first_guess_px)

    assert abs(estimate.value - 1.1) < max(4 * estimate.uncertainty, 0.01)
    assert estimate.uncertainty < 0.02


def test_without_spots_the_guess_is_said_to_be_one():
    frames = np.random.default_rng(1).poisson(20.0, (5, 32, 32))

    estimate = estimate_sigma_px(frames, CameraNoise(), 1.3)

    assert estimate.value == 1.3
    assert estimate.uncertainty == float("inf")
