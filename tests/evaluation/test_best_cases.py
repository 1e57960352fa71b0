"""What any method could reach at best: errors at the bound, images at the best blur."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepstorm.errors import InputError
from deepstorm.evaluation.images import blurred_nmse, nmse_percent
from deepstorm.evaluation.precision import at_the_bound, localization_bound_nm
from deepstorm.structures import Localizations


def test_errors_have_the_size_of_the_bound() -> None:
    count = 4000
    emitters = Localizations(
        np.zeros(count, int),
        np.full(count, 500.0),
        np.full(count, 700.0),
        photons=np.full(count, 1000.0),
        background_photons=np.full(count, 10.0),
    )
    moved = at_the_bound(emitters, 110.0, 100.0, np.random.default_rng(0))
    bound = float(localization_bound_nm(1000, 10, 110.0, 100.0))
    for found, true in ((moved.x_nm, 500.0), (moved.y_nm, 700.0)):
        assert np.std(found) == pytest.approx(bound, rel=0.05)
        assert np.mean(found) == pytest.approx(true, abs=5 * bound / np.sqrt(count))


def test_the_bound_needs_light() -> None:
    bare = Localizations(np.zeros(1, int), np.zeros(1), np.zeros(1))
    with pytest.raises(InputError, match="photons"):
        at_the_bound(bare, 110.0, 100.0, np.random.default_rng(0))


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
