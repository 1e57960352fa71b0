"""What any method could reach at best: images at the best blur."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepstorm.evaluation.images import blurred_nmse, nmse_percent


def test_the_best_blur_undoes_a_difference_in_sharpness() -> None:
    spikes = np.zeros((64, 64))
    spikes[tuple(np.random.default_rng(0).integers(5, 59, (2, 30)))] = 1
    truth = gaussian_filter(spikes, 1.5, mode="constant")
    best = blurred_nmse(spikes, truth)
    assert best.sigma_px == pytest.approx(1.5, abs=0.05)
    assert best.nmse_percent < 0.1 < nmse_percent(spikes, truth)


def test_a_perfect_image_is_not_blurred() -> None:
    truth = np.random.default_rng(0).random((32, 32))
    best = blurred_nmse(3 * truth, truth)
    assert (best.sigma_px, best.nmse_percent) == (0.0, pytest.approx(0, abs=1e-9))
