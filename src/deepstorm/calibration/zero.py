"""Where the zero of a camera can be, which decides the slope where the brightness hardly varies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array
from deepstorm.calibration.sample import Sample

# Squared read noise in photons, by which the zero lies below the offset: 2 for an sCMOS, hardly
# anything for an EMCCD. A CCD whose noise is higher needs an offset of several times its noise.
READ_PHOTONS = 10.0
# Share of movies whose offset is 0: simulated ones, mostly. All other offsets are equally likely.
WITHOUT_OFFSET = 0.1


@dataclass(frozen=True, slots=True)
class ZeroPrior:
    """What is known of the zero before it is measured; units of the sample.

    Parameters
    ----------
    lowest : float
        The converter's 0, which no offset is below.
    darkest : float
        Counts that hardly a pixel falls below, above ``lowest``.
    """

    lowest: float
    darkest: float

    @classmethod
    def of(cls, frames: AnyArray, sample: Sample, darkest: float) -> ZeroPrior | None:
        """Return the prior for raw frames; None where a level may have been taken off.

        Raw frames hold whole numbers, none below 0. Where the least of them is 0, a level may have
        been taken off and the rest clipped.
        """
        lowest = -sample.level_adu / sample.scale_adu
        least_adu = (float(sample.patches.min()) - lowest) * sample.scale_adu
        if least_adu < 0.5 or darkest <= lowest or not _are_whole(frames):
            return None
        return cls(lowest, darkest)

    def log_weight(self, zeros: Float64Array, slopes: Float64Array) -> Float64Array:
        """Return the logarithm of the prior, but for a constant.

        It is flat above the converter's 0, falls below as a Gaussian of ``READ_PHOTONS``, and has a
        second such Gaussian around 0 for the movies without offset.

        Parameters
        ----------
        zeros, slopes : ndarray
            Of shapes that broadcast; slopes above 0.
        """
        width = READ_PHOTONS * slopes
        distance = (zeros - self.lowest) / width
        area = np.sqrt(2 * np.pi) * width / (self.darkest - self.lowest)
        odds = WITHOUT_OFFSET / (1 - WITHOUT_OFFSET) / area
        peak = np.log(odds) - 0.5 * distance**2
        return np.asarray(np.logaddexp(-0.5 * np.minimum(distance, 0.0) ** 2, peak))


def _are_whole(frames: AnyArray) -> bool:
    return frames.dtype.kind in "ui" or all(bool((f == np.rint(f)).all()) for f in frames)
