from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from deepstorm.models.filters import CELL, filtered, from_cells, gaussian_profile, in_cells


@given(st.integers(1, 30), st.integers(1, 70), st.integers(0, 20), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_filters_correlate_along_both_axes(height: int, width: int, reach: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((2, 1, height, width))
    profile = rng.random(2 * reach + 1)  # lopsided: a mirrored filter would differ
    expected = image
    for axis in (2, 3):
        expected = ndimage.correlate1d(expected, profile, axis=axis, mode="constant")
    found = filtered(torch.from_numpy(image), torch.from_numpy(profile))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("width", [1, 15, 16, 17, 64])
def test_cells_are_rows_in_their_order(width: int) -> None:
    image = torch.arange(2.0 * 3 * width).reshape(2, 1, 3, width)
    cells = in_cells(image)
    assert cells.shape == (2, CELL, 3, -(-width // CELL))
    assert torch.equal(from_cells(cells, width), image)
    assert float(cells.sum()) == float(image.sum())  # filled up with nothing
    assert float(cells[1, 5 % width, 2, 0]) == float(image[1, 0, 2, 5 % width])


@pytest.mark.parametrize(("sigma", "reach"), [(1.0, 3), (1.5, 6), (0.3, 1)])
def test_gaussian_profiles_sum_to_one_and_fall_off(sigma: float, reach: int) -> None:
    profile = gaussian_profile(sigma, reach, torch.zeros(1, dtype=torch.float64))
    assert profile.dtype == torch.float64
    assert float(profile.sum()) == pytest.approx(1)
    assert float(profile[reach + 1] / profile[reach]) == pytest.approx(np.exp(-0.5 / sigma**2))
    np.testing.assert_allclose(profile, profile.flip(0))


def test_a_gaussian_without_width_leaves_images_as_they_are() -> None:
    image = torch.rand(1, 1, 5, 9)
    assert torch.equal(filtered(image, gaussian_profile(0.0, 0, image)), image)
