from __future__ import annotations

import numpy as np
import pytest
import torch

from deepstorm.arrays import Float32Array
from deepstorm.models.sums import sums_over_frames


def drawn(frames: int) -> tuple[Float32Array, Float32Array]:
    rng = np.random.default_rng(frames)
    expected, gathered = rng.random((2, frames, 5, 7), np.float32)
    return expected**8, gathered


@pytest.mark.parametrize("frames", [1, 2, 9, 40])
def test_sums_are_those_of_double_precision(frames: int) -> None:
    expected, gathered = drawn(frames)
    wide = expected.astype(np.float64)
    wanted = wide.sum(axis=0), gathered.sum(axis=0, dtype=np.float64), (wide**2).sum(axis=0)
    for found, exact in zip(sums_over_frames(expected, gathered), wanted, strict=True):
        assert found.dtype == np.float32
        assert found.shape == (5, 7)
        np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 9, 17])
def test_tensors_of_one_channel_give_the_same(frames: int) -> None:
    expected, gathered = drawn(frames)
    tensors = (torch.from_numpy(values)[:, None] for values in (expected, gathered))
    found = sums_over_frames(*tensors)
    for tensor, array in zip(found, sums_over_frames(expected, gathered), strict=True):
        assert tensor.shape == (1, 5, 7)
        np.testing.assert_allclose(tensor[0].numpy(), array, rtol=1e-6)
