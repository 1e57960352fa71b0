"""Whether the light of emitters is as wide one way as the other, at any density.

Emitters blink on their own, so that the fluctuations of two pixels are alike as far as one spot
covers both, whatever structure the emitters lie on: their covariance is the autocorrelation of the
PSF. Along an axis on which spots are longer it reaches farther.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import Float32Array, Float64Array
from deepstorm.structures import Estimate

# Directions (down, right), by the length of a step along them.
AXES = {(0, 1): 1.0, (1, 0): 1.0, (1, 1): math.sqrt(2), (1, -1): math.sqrt(2)}
# Pixels so many standard deviations of the PSF apart tell how fast the covariance falls; those
# beyond seven pixels share what is no spot, such as the noise of a row that is read at once.
REACH_SIGMA, BEYOND_PX = 1.6, 7
# Parts of the frames that are left out in turn tell the uncertainty.
PARTS = 10
# Pixels widen a spot by the variance of their own extent.
PIXEL_VARIANCE = 1 / 12


@dataclass(frozen=True, slots=True)
class Roundness:
    """How far spots are from round.

    Parameters
    ----------
    elongation : Estimate
        Half the difference of the variances along the longer and the shorter axis, as a part of
        their mean: 0 for round spots, near 1 for lines.
    degrees : float
        Direction of the longer axis, from x towards y.
    """

    elongation: Estimate
    degrees: float

    @classmethod
    def of(cls, changes: Float32Array, sigma_px: float) -> Roundness | None:
        """Measure it, or return nothing where too little blinks.

        Parameters
        ----------
        changes : ndarray of float32, shape (frame, y, x)
            What fluctuates.
        sigma_px : float
            Width of the PSF.
        """
        if len(changes) < PARTS or min(changes.shape[1:]) < 2 * BEYOND_PX:
            return None
        steps = [max(2, round(REACH_SIGMA * sigma_px / length)) for length in AXES.values()]
        covariances = np.array(
            [
                _covariances(changes, axis, length, step)
                for (axis, length), step in zip(AXES.items(), steps, strict=True)
            ]
        )
        whole = _shape(covariances.mean(axis=2), steps)
        part = np.arange(len(changes)) % PARTS
        others = [_shape(covariances[:, :, part != n].mean(axis=2), steps) for n in range(PARTS)]
        if whole is None or any(each is None for each in others):
            return None
        straight, oblique = whole
        scatter = np.array(others).var(axis=0).sum() * (PARTS - 1)  # the jackknife's
        longer = math.hypot(straight, oblique)
        elongation = Estimate(longer, math.sqrt(scatter / 2))
        return cls(elongation, math.degrees(math.atan2(oblique, straight)) / 2)


def _covariances(
    changes: Float32Array, axis: tuple[int, int], length: float, step: int
) -> Float64Array:
    """Return those of neighbours and of pixels farther apart, (2, frame), beyond far ones'."""
    near, farther, beyond = (
        _products(changes, axis, steps) for steps in (1, step, round(BEYOND_PX / length))
    )
    return np.array([near - beyond, farther - beyond])


def _products(changes: Float32Array, axis: tuple[int, int], steps: int) -> Float64Array:
    """Return the mean product of pixels so many steps apart, of each frame."""
    down, right = (step * steps for step in axis)
    height, width = changes.shape[1:]
    first = changes[:, : height - down, max(-right, 0) : width - max(right, 0)]
    other = changes[:, down:, max(right, 0) : width + min(right, 0)]
    total = np.einsum("tyx,tyx->t", first, other)
    return np.asarray(total / first[0].size, np.float64)


def _shape(covariances: Float64Array, steps: list[int]) -> tuple[float, float] | None:
    """Return how much longer spots are along x than along y, and along one diagonal."""
    variances = []
    for (near, farther), step, length in zip(covariances, steps, AXES.values(), strict=True):
        if not 0 < farther < near:
            return None
        # A spot's autocorrelation has twice its variance.
        variance = length**2 * (step**2 - 1) / (4 * math.log(near / farther))
        variances.append(variance - PIXEL_VARIANCE)
    if min(variances) <= 0:
        return None
    x, y, along, across = variances
    return (x - y) / (x + y), (along - across) / (along + across)
