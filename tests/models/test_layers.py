from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from deepstorm.models.layers import box_mean, mirrored


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 20), st.sampled_from([2, 3]))
@settings(max_examples=60, deadline=None)
def test_images_are_mirrored_with_their_outermost_pixels(
    height: int, width: int, reach_px: int, axis: int
) -> None:
    image = torch.arange(2.0 * height * width).reshape(1, 2, height, width)
    missing = [(0, 0)] * 4
    missing[axis] = (reach_px, reach_px)
    expected = np.pad(image, missing, mode="symmetric")
    np.testing.assert_array_equal(mirrored(image, reach_px, axis), expected)


@pytest.mark.parametrize("reach_px", [1, 5, 20])
def test_box_mean_is_that_of_the_mirrored_image(reach_px: int) -> None:
    image = np.random.default_rng(0).random((16, 23))
    expected = ndimage.uniform_filter(image, 2 * reach_px + 1, mode="reflect")
    found = box_mean(torch.from_numpy(image)[None, None], reach_px)[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
