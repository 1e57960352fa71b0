"""Frames on their own level of background, where that is far from the movie's.

A network is told one level of background and sees light above it. It copes with slopes, which are
in what it was trained on, but not with the edge of a field stop nor with frames that are ten times
as bright as the rest: there it finds an emitter in every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import AnyArray, BoolArray, Float32Array
from deepstorm.models.scaling import (
    NOISE_MULTIPLE,
    USUAL_LEVEL,
    FittedPhotonScaling,
    FittedScaling,
)

# A part of a frame keeps the movie's level if its own is within so many standard deviations of the
# noise; networks do not mind.
FAR = 3.0
# The share of pixels below the level, as in the scaling's own fit, and how densely they are looked
# at.
PERCENTILE, STRIDE = 10.0, 2


@dataclass(frozen=True, slots=True, eq=False)
class Leveling:
    """A scaling, and the parts of the field that may have levels of their own.

    Parameters
    ----------
    scaling : FittedScaling
    parts : tuple of ndarray of bool, shape (y, x)
    """

    scaling: FittedScaling
    parts: tuple[BoolArray, ...]

    @classmethod
    def of(cls, scaling: FittedScaling, darker: BoolArray, unlit: BoolArray) -> Leveling:
        """Return a scaling for a field with a darker part, and one without light."""
        parts = (~darker & ~unlit, darker)
        return cls(scaling, tuple(part for part in parts if part.any()))

    def apply(self, frames: AnyArray) -> Float32Array:
        """Scale frames of shape (frame, y, x) to what a network takes, (frame, channel, y, x)."""
        scaled = self.scaling.apply(frames)
        if isinstance(self.scaling, FittedPhotonScaling):
            for part in self.parts:
                self._level(scaled, part, self.scaling.level)
        return scaled

    def _level(self, scaled: Float32Array, part: BoolArray, level: float) -> None:
        """Put a part of each frame on its own level, in place, where that is far from the usual."""
        coarse = part[::STRIDE, ::STRIDE]
        looked_at = scaled[:, 0, ::STRIDE, ::STRIDE]
        looked_at = looked_at[:, coarse] if not coarse.all() else looked_at.reshape(len(scaled), -1)
        if not looked_at.shape[1]:
            return
        shifts = NOISE_MULTIPLE * np.percentile(looked_at, PERCENTILE, axis=1)
        for frame in np.flatnonzero(np.abs(shifts) > FAR):
            own = max(level + float(shifts[frame]), 0.0)
            scaled[frame, 0][part] -= np.float32((own - level) / NOISE_MULTIPLE)
            scaled[frame, 1][part] = np.log(max(own, 1.0) / USUAL_LEVEL)
