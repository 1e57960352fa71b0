"""Frames on their own level of background, where that is far from the movie's.

A network is told one level of background and sees light above it. It copes with slopes, which are
in what it was trained on, but not with the edge of a field stop nor with frames that are ten times
as bright as the rest: there it finds an emitter in every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

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
# A pixel is darker than the level if it is so by this many standard deviations in nine of ten
# frames; so many frames say so, and no more have to.
DEEP, FEWEST_FRAMES, MOST_FRAMES = 1.5, 16, 64


@dataclass(frozen=True, slots=True, eq=False)
class Leveling:
    """A scaling, and the parts of the field that may have levels of their own.

    Parameters
    ----------
    scaling : FittedScaling
    parts : tuple of ndarray of bool, shape (y, x)
    dips : ndarray of float32, shape (y, x), optional
        How far the level lies below the usual one, in standard deviations of the noise; 0 or less.
    """

    scaling: FittedScaling
    parts: tuple[BoolArray, ...]
    dips: Float32Array | None = None

    @classmethod
    def of(
        cls, scaling: FittedScaling, sample: Float32Array, darker: BoolArray, unlit: BoolArray
    ) -> Leveling:
        """Return a scaling for a field with a darker part, and one without light.

        Parameters
        ----------
        scaling : FittedScaling
        sample : ndarray of float32, shape (frame, y, x)
            Frames that say something.
        darker, unlit : ndarray of bool, shape (y, x)
        """
        main = ~darker & ~unlit
        parts = tuple(part for part in (main, darker) if part.any())
        is_told = isinstance(scaling, FittedPhotonScaling) and len(sample) >= FEWEST_FRAMES
        return cls(scaling, parts, _dips(scaling, sample, main) if is_told else None)

    def apply(self, frames: AnyArray) -> Float32Array:
        """Scale frames of shape (frame, y, x) to what a network takes, (frame, channel, y, x)."""
        scaled = self.scaling.apply(frames)
        if isinstance(self.scaling, FittedPhotonScaling):
            if self.dips is not None:
                own = np.maximum(self.scaling.level + self.dips, 0)
                scaled[:, 0] -= (own - np.float32(self.scaling.level)) / NOISE_MULTIPLE
                scaled[:, 1] = np.log(np.maximum(own, 1) / USUAL_LEVEL)
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


def _dips(scaling: FittedScaling, sample: Float32Array, main: BoolArray) -> Float32Array | None:
    """Return how far pixels are below the level at all times, or nothing if none is far below.

    Emitters make pixels brighter than background, never darker: what is darker than the level all
    the time is a shadow, a gap, or the dim rim of the field.
    """
    few = sample[:: max(len(sample) // MOST_FRAMES, 1)]
    quiet = np.percentile(scaling.apply(few)[:, 0], PERCENTILE, axis=0) * NOISE_MULTIPLE
    dips = ndimage.median_filter(quiet, 3, mode="nearest")
    deep = (dips < -DEEP) & main
    return np.where(deep, dips, 0).astype(np.float32) if deep.any() else None
