from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from deepstorm.models.layers import box_mean, convolutions, joined, mirrored


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


@given(st.integers(1, 5), st.integers(1, 5), st.tuples(st.integers(1, 9), st.integers(1, 9)))
@settings(max_examples=30, deadline=None)
def test_joining_features_is_convolving_them_beside_repeated_ones(
    own: int, deeper: int, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(own + 10 * deeper)
    convolve = convolutions(own + deeper, 3, 2).double()
    shapes = (1, own, 2 * size[0], 2 * size[1]), (1, deeper, *size)
    beside, below = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    )
    repeated = below.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = convolve(torch.cat([beside, repeated], dim=1))
    found = joined(convolve, beside, below)
    torch.testing.assert_close(found, expected)
    # The same gradients, too: it is trained in this form.
    leaves = [beside, below, *convolve.parameters()]
    weights = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    for one, other in zip(
        *(torch.autograd.grad((each * weights).sum(), leaves) for each in (found, expected)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
