"""Frames on their own level of background, where that is far from the movie's.

A network is told one level of background and sees light above it. It copes with slopes, which are
in what it was trained on, but not with the edge of a field stop, with steady light far above the
level, nor with frames that are ten times as bright as the rest: there it finds an emitter in every
pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, Float32Array, Float64Array
from deepstorm.calibration.background import SteadyLight
from deepstorm.calibration.brightness import UNKNOWN
from deepstorm.calibration.field_parts import continued
from deepstorm.calibration.frame_faults import steadied
from deepstorm.models.scaling import (
    NOISE_MULTIPLE,
    USUAL_LEVEL,
    FittedPhotonScaling,
    FittedScaling,
)
from deepstorm.structures import Estimate

# A part of a frame keeps the movie's level if its own is within so many standard deviations of the
# noise; networks do not mind.
FAR = 3.0
# The share of pixels below the level, as in the scaling's own fit, and how densely they are looked
# at.
PERCENTILE, STRIDE = 10.0, 2
# A pixel is darker than the level if it is so by this many standard deviations in nine of ten
# frames; so many frames say so, and no more have to.
DEEP, FEWEST_FRAMES, MOST_FRAMES = 1.5, 16, 64
# Where steady light is this far above the level somewhere, pixels are on their own; networks do not
# mind less. It is as smooth as a spot.
HIGH, SMOOTH_SIGMA = 6.0, 1.2
# It is there for certain if it is for so many standard deviations.
CERTAIN = 3.0
# The level is what a tenth of the values lies below: so many standard deviations below their mean.
BELOW_MEAN = 1.28


@dataclass(frozen=True, slots=True, eq=False)
class Leveling:
    """A scaling, and the parts of the field that may have levels of their own.

    Parameters
    ----------
    scaling : FittedScaling
    parts : tuple of ndarray of bool, shape (y, x)
    ground : ndarray of float32, shape (y, x), optional
        How far the level of each pixel is from the usual one, in standard deviations of the noise.
    """

    scaling: FittedScaling
    parts: tuple[BoolArray, ...]
    ground: Float32Array | None = None

    @classmethod
    def of(
        cls,
        scaling: FittedScaling,
        sample: Float32Array,
        darker: BoolArray,
        unlit: BoolArray,
        brightness: Estimate = UNKNOWN,
    ) -> Leveling:
        """Return a scaling for a field with a darker part, and one without light.

        Parameters
        ----------
        scaling : FittedScaling
        sample : ndarray of float32, shape (frame, y, x)
            Frames that say something.
        darker, unlit : ndarray of bool, shape (y, x)
        brightness : Estimate
            Photons of an emitter in a frame, as far as they are known.
        """
        main = ~darker & ~unlit
        parts = tuple(part for part in (main, darker) if part.any())
        if not isinstance(scaling, FittedPhotonScaling) or len(sample) < FEWEST_FRAMES:
            return cls(scaling, parts)
        dips = _dips(scaling, sample, main)
        rises = _rises(scaling, sample, main, brightness)
        if dips is None or rises is None:
            return cls(scaling, parts, rises if dips is None else dips)
        # A gap that is sharper than steady light looks when smooth is a dip all the same.
        return cls(scaling, parts, np.where(dips < np.minimum(rises - DEEP, 0), dips, rises))

    @property
    def times_brighter(self) -> float:
        """How many times as bright as usual the background is somewhere, 1 at least."""
        if self.ground is None or not isinstance(self.scaling, FittedPhotonScaling):
            return 1.0
        level = max(self.scaling.level, 1.0)
        return float((1 + max(float(self.ground.max()), 0.0) / level) ** 2)

    def apply(self, frames: AnyArray) -> Float32Array:
        """Scale frames of shape (frame, y, x) to what a network takes, (frame, channel, y, x)."""
        scaled = self.scaling.apply(frames)
        if isinstance(self.scaling, FittedPhotonScaling):
            if self.ground is not None:
                own = np.maximum(self.scaling.level + self.ground, 0)
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


def _rises(
    scaling: FittedPhotonScaling, sample: Float32Array, main: BoolArray, brightness: Estimate
) -> Float32Array | None:
    """Return how far steady light is from the level, or nothing if it is nowhere far above it.

    Steady light has the variance of its mean alone; what blinks has more.
    """
    photons = (steadied(sample) - np.float32(scaling.zero_adu)) / np.float32(scaling.adu_per_photon)
    steady = SteadyLight.of(photons, scaling.sigma_px, brightness)
    certain = _smooth(steady.photons - CERTAIN * steady.error, main.astype(float), scaling)
    if _above(certain, scaling)[main].max(initial=0) <= HIGH:
        return None
    # Where there are emitters, the background is rather what it is around them.
    weight = np.where(main, steady.trust, 0)
    smooth = _smooth(steady.photons, weight, scaling)
    smooth += _smooth(steady.photons - smooth, weight, scaling)  # hills keep their tops
    return _above(continued(smooth, main), scaling)


def _smooth(
    light: Float64Array, weight: Float64Array, scaling: FittedPhotonScaling
) -> Float64Array:
    """Return the mean around each pixel, as far as a spot reaches."""
    width_px = SMOOTH_SIGMA * scaling.sigma_px
    total = ndimage.gaussian_filter(weight * light, width_px)
    mean = total / np.maximum(ndimage.gaussian_filter(weight, width_px), 1e-12)
    return np.asarray(mean, np.float64)


def _above(light: Float64Array, scaling: FittedPhotonScaling) -> Float32Array:
    """Return how far photons are above the level, in standard deviations of the noise."""
    level = 2 * np.sqrt(np.maximum(light, 0) + 3 / 8) - BELOW_MEAN
    return (level - scaling.level).astype(np.float32)
