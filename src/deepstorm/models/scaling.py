"""The only intensity scaling: training and reconstruction both use it.

A scaling looks at sample frames of a movie and at its calibration once, and then treats every frame
alike, so that a blank or bleached frame stays blank and camera units do not matter.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from deepstorm.arrays import Float32Array, FloatArray, IntArray
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.structures import Instrument

AnyFrames = FloatArray | IntArray

# What becomes 1 in a network's input: so many standard deviations of the noise; and usual values
# of background level and PSF width, which become 0.
NOISE_MULTIPLE = np.float32(8)
USUAL_LEVEL = 10.0
USUAL_SIGMA_PX = 1.2


class FittedScaling(Protocol):
    """A scaling that knows its movie."""

    def apply(self, frames: AnyFrames) -> Float32Array:
        """Scale frames of shape (frame, y, x) to what a network takes, (frame, channel, y, x)."""


class FittedPhotonScaling(Settings):
    """A movie's instrument and background level.

    Parameters
    ----------
    zero_adu, adu_per_photon, sigma_px : float
        See :class:`~deepstorm.structures.Instrument`.
    level : float
        Stabilised background, in standard deviations of the noise.
    """

    zero_adu: float
    adu_per_photon: float = Field(gt=0)
    sigma_px: float = Field(gt=0)
    level: float = Field(ge=0)

    def apply(self, frames: AnyFrames) -> Float32Array:
        """Return light above the background, and what the network is told of the movie.

        Returns
        -------
        ndarray of float32, shape (frame, 3, y, x)
            Stabilised light above the background, and two constants: background level and PSF
            width, all of the order of 1.
        """
        scaled = np.empty((len(frames), 3, *frames.shape[1:]), np.float32)
        light = stabilised(frames, self.zero_adu, self.adu_per_photon)
        scaled[:, 0] = (light - np.float32(self.level)) / NOISE_MULTIPLE
        scaled[:, 1] = np.log(max(self.level, 1.0) / USUAL_LEVEL)
        scaled[:, 2] = 2 * np.log(self.sigma_px / USUAL_SIGMA_PX)
        return scaled


class PhotonScaling(Settings):
    """Units of the noise: its standard deviation is the same in every pixel of every movie.

    Counts become effective photons (:class:`~deepstorm.structures.Instrument`), the square root
    makes their noise the same everywhere (Anscombe 1948, doi 10.1093/biomet/35.3-4.246), and the
    background is taken off. What the square root hides goes to the network as two more channels:
    the level of the background and the width of the PSF. A network that is told both need not guess
    from the frame what is noise and what is a spot.

    Parameters
    ----------
    percentile : float
        Of the movie's pixels, which counts as the background's level.
    """

    kind: Literal["photons"] = "photons"
    percentile: float = Field(default=10.0, ge=0, lt=50)

    @property
    def channels(self) -> int:
        """Channels of a scaled frame."""
        return 3

    def trained_on(self, regions: AnyFrames) -> PhotonScaling:
        """Return the scaling itself: it takes nothing from the training set."""
        return self

    def fit(self, frames: AnyFrames, instrument: Instrument) -> FittedPhotonScaling:
        """Fit the scaling to sample frames of a movie, shape (frame, y, x).

        Raises
        ------
        InputError
            If there are no pixels, or some of them are not finite numbers.
        """
        _check(frames)
        light = stabilised(frames, instrument.zero_adu, instrument.adu_per_photon)
        return FittedPhotonScaling(
            zero_adu=instrument.zero_adu,
            adu_per_photon=instrument.adu_per_photon,
            sigma_px=instrument.sigma_px,
            level=float(np.percentile(light, self.percentile)),
        )


def stabilised(frames: AnyFrames, zero_adu: float, adu_per_photon: float) -> Float32Array:
    """Return 2 · sqrt(effective photons + 3/8), whose noise has a standard deviation of about 1."""
    photons = (np.asarray(frames, np.float32) - np.float32(zero_adu)) / np.float32(adu_per_photon)
    light: Float32Array = 2 * np.sqrt(np.maximum(photons + np.float32(3 / 8), 0))
    return light


class MinMaxScaling(Settings):
    """The paper's normalization (§2.1.2), of each frame by itself.

    A frame is stretched to [0, 1], then the training set's mean is taken off and the result divided
    by its averaged standard deviation. It stretches the noise of blank frames, and is here for the
    paper's own network alone. A constant frame becomes the lower end rather than undefined.

    Parameters
    ----------
    mean, standard_deviation : float
        Of the training regions after the stretch to [0, 1].
    """

    kind: Literal["minmax"] = "minmax"
    mean: float = 0.0
    standard_deviation: float = Field(default=1.0, gt=0)

    @property
    def channels(self) -> int:
        """Channels of a scaled frame."""
        return 1

    def trained_on(self, regions: AnyFrames) -> MinMaxScaling:
        """Take mean and averaged standard deviation from training regions, shape (region, y, x)."""
        stretched = MinMaxScaling().apply(regions)
        return MinMaxScaling(
            mean=float(stretched.mean()),
            standard_deviation=float(stretched.std(axis=(-2, -1)).mean()),
        )

    def fit(self, frames: AnyFrames, instrument: Instrument) -> MinMaxScaling:
        """Return the scaling itself: it looks at each frame alone."""
        return self

    def apply(self, frames: AnyFrames) -> Float32Array:
        """Stretch each frame and standardise; return shape (frame, 1, y, x)."""
        counts = np.asarray(frames, np.float32)
        low = counts.min(axis=(-2, -1), keepdims=True)
        span = counts.max(axis=(-2, -1), keepdims=True) - low
        stretched = (counts - low) / np.where(span > 0, span, np.float32(1))
        return np.asarray((stretched - self.mean) / self.standard_deviation, np.float32)[:, None]


def _check(frames: AnyFrames) -> None:
    """Refuse frames that say nothing."""
    if np.size(frames) == 0 or not np.isfinite(frames).all():
        raise InputError(
            f"frames of shape {np.shape(frames)} cannot be scaled: at least one pixel and only "
            "finite numbers were expected; replace NaN and infinite pixels first"
        )


Scaling = Annotated[PhotonScaling | MinMaxScaling, Field(discriminator="kind")]
