"""The three sums over frames that a refiner takes, of arrays or of tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from deepstorm.arrays import Float32Array

if TYPE_CHECKING:
    from torch import Tensor

Values = TypeVar("Values", Float32Array, "Tensor")


def sums_over_frames(expected: Values, gathered: Values) -> tuple[Values, Values, Values]:
    """Sum a block of frames: so few that single precision loses nothing that counts.

    Parameters
    ----------
    expected, gathered : ndarray of float32 or Tensor, shape (frame, ...)
        Expected emitters per super-resolution pixel, and what the frames add to the image.

    Returns
    -------
    posterior, gathered, squared : ndarray of float32 or Tensor, shape (...)
        The last are squares of the expected emitters: large where single frames are certain. Of a
        single frame the first two are views.
    """
    return _summed(expected), _summed(gathered), _squared(expected)


def _summed(values: Values) -> Values:
    summed: Values = values[0] if len(values) == 1 else values.sum(0)
    return summed


def _squared(values: Values) -> Values:
    if isinstance(values, np.ndarray):  # no image of squares is kept: a third of the time
        summed: Values = np.einsum("t...,t...->...", values, values)
        return summed
    return values.square().sum(0)
