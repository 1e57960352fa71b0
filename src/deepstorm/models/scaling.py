"""The only intensity scaling: training and reconstruction both use it.

A scaling looks at sample frames of a movie once and then treats every frame alike, so that a blank
or bleached frame stays blank and camera units do not matter.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.structures import FloatArray, IntArray

AnyFrames = FloatArray | IntArray
Scaled = npt.NDArray[np.float32]


class FittedScaling(Protocol):
    """A scaling that knows its movie."""

    def apply(self, frames: AnyFrames) -> Scaled:
        """Scale frames of shape (frame, y, x) to what a network takes."""


class FittedAsinhScaling(Settings):
    """A movie's background level and brightness.

    Parameters
    ----------
    level_adu : float
        Counts that become 0.
    range_adu : float
        Counts above the level that become arcsinh(``softness``).
    softness : float
        Where the response turns from linear to logarithmic.
    """

    level_adu: float
    range_adu: float = Field(gt=0)
    softness: float = Field(gt=0)

    def apply(self, frames: AnyFrames) -> Scaled:
        """Return arcsinh(softness · (counts − level) / range)."""
        scale = np.float32(self.softness / self.range_adu)
        counts = np.asarray(frames, np.float32)
        scaled: Scaled = np.arcsinh((counts - np.float32(self.level_adu)) * scale)
        return scaled


class AsinhScaling(Settings):
    """Linear near the background, logarithmic for bright pixels, fitted to percentiles.

    Percentiles over the whole movie do not see hot pixels, and the logarithm keeps a bright bead
    from drowning its neighbours.

    Parameters
    ----------
    low_percentile, high_percentile : float
        Percentiles of the movie's pixels that set the level and the range. Where the two are the
        same count, as in a sparse movie without background, the brightest pixel sets the range.
    softness : float
        See :class:`FittedAsinhScaling`.
    """

    kind: Literal["asinh"] = "asinh"
    low_percentile: float = Field(default=10.0, ge=0, lt=50)
    high_percentile: float = Field(default=99.5, gt=50, le=100)
    softness: float = Field(default=4.0, gt=0)

    def trained_on(self, regions: AnyFrames) -> AsinhScaling:
        """Return the scaling itself: it takes nothing from the training set."""
        return self

    def fit(self, frames: AnyFrames) -> FittedAsinhScaling:
        """Fit the scaling to sample frames of a movie, shape (frame, y, x).

        Raises
        ------
        InputError
            If there are no pixels, or some of them are not finite numbers.
        """
        if np.size(frames) == 0 or not np.isfinite(frames).all():
            raise InputError(
                f"frames of shape {np.shape(frames)} cannot be scaled: at least one pixel and only "
                "finite numbers were expected; put a number where there is NaN or infinity"
            )
        low, high = np.percentile(frames, [self.low_percentile, self.high_percentile])
        high = high if high > low else np.max(frames)
        spread = max(float(high - low), 1e-6 * abs(float(high)), 1e-12)
        return FittedAsinhScaling(level_adu=float(low), range_adu=spread, softness=self.softness)


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

    def trained_on(self, regions: AnyFrames) -> MinMaxScaling:
        """Take mean and averaged standard deviation from training regions, shape (region, y, x)."""
        stretched = MinMaxScaling().apply(regions)
        return MinMaxScaling(
            mean=float(stretched.mean()),
            standard_deviation=float(stretched.std(axis=(-2, -1)).mean()),
        )

    def fit(self, frames: AnyFrames) -> MinMaxScaling:
        """Return the scaling itself: it looks at each frame alone."""
        return self

    def apply(self, frames: AnyFrames) -> Scaled:
        """Stretch each frame and standardise, shape (frame, y, x)."""
        counts = np.asarray(frames, np.float32)
        low = counts.min(axis=(-2, -1), keepdims=True)
        span = counts.max(axis=(-2, -1), keepdims=True) - low
        stretched = (counts - low) / np.where(span > 0, span, np.float32(1))
        return np.asarray((stretched - self.mean) / self.standard_deviation, np.float32)


Scaling = Annotated[AsinhScaling | MinMaxScaling, Field(discriminator="kind")]
