"""What a camera's noise is, in the terms of a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array, FloatArray
from deepstorm.errors import InputError
from deepstorm.structures import Calibration


@dataclass(frozen=True, slots=True)
class CameraNoise:
    """Camera counts as photons, and the variance of their noise.

    A pixel that expects n photons has the mean counts ``zero_adu + adu_per_photon · n``; in photons
    the variance is ``excess_factor · n + read_variance``. Each entry is a number, or a map of
    shape (y, x) where pixels differ, as those of an sCMOS camera do; the excess factor is a number.

    Parameters
    ----------
    zero_adu : float or ndarray, shape (y, x)
        Mean counts without light.
    adu_per_photon : float or ndarray, shape (y, x)
        Counts per photon, above 0.
    excess_factor : float
        1 for Poisson noise, 2 for an EMCCD; at least 1.
    read_variance : float or ndarray, shape (y, x)
        Variance of the read noise in photons squared, 0 or more.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    zero_adu: float | FloatArray = 0.0
    adu_per_photon: float | FloatArray = 1.0
    excess_factor: float = 1.0
    read_variance: float | FloatArray = 0.0

    def __post_init__(self) -> None:
        for name, least in (("adu_per_photon", 1e-12), ("read_variance", 0.0)):
            values = np.asarray(getattr(self, name))
            if not np.all((values >= least) & np.isfinite(values)):
                raise InputError(
                    f"the camera's {name} must be finite and {least:g} or more everywhere"
                )
        if not 1 <= self.excess_factor < np.inf:
            raise InputError(
                f"the camera's excess factor is {self.excess_factor}; at least 1 is expected, and "
                "2 for an EMCCD"
            )
        if not np.all(np.isfinite(np.asarray(self.zero_adu))):
            raise InputError("the camera's zero_adu must be finite everywhere")

    @classmethod
    def from_calibration(cls, calibration: Calibration) -> CameraNoise:
        """Describe a calibrated camera.

        Photons are detected ones where the calibration knows the excess noise factor, and
        effective ones otherwise. The read noise is told from the background where it is known.
        """
        slope, zero = calibration.adu_per_photon.value, calibration.zero_adu.value
        known = calibration.excess_noise_factor
        excess = 1.0 if known is None else max(known.value, 1.0)
        read = calibration.read_noise_photons
        read_variance = 0.0 if read is None else read.value**2
        return cls(zero + slope * read_variance, slope / excess, excess, read_variance * excess**2)

    def check_field(self, shape: tuple[int, ...]) -> None:
        """Refuse maps that are not of the size of a frame.

        Parameters
        ----------
        shape : tuple of int
            Size (y, x) of a frame.
        """
        for name in ("zero_adu", "adu_per_photon", "read_variance"):
            size = np.shape(getattr(self, name))
            if size not in ((), tuple(shape)):
                raise InputError(
                    f"the camera's map of {name} has shape {size} but frames have {tuple(shape)}; "
                    "cut the map to the field of the movie"
                )

    def to_photons(self, frames: AnyArray) -> Float64Array:
        """Return frames, shape (frame, y, x), in photons; negative ones are kept."""
        counts = np.asarray(frames, np.float64)
        photons: Float64Array = (counts - self.zero_adu) / self.adu_per_photon
        return photons

    def own_light(self, shape: tuple[int, ...]) -> Float64Array:
        """Return the light, in effective photons, whose noise is the read noise: shape (y, x).

        Added to light and data alike it makes the variance of effective photons their mean, read
        noise included (Huang et al., Nature Methods 10, 653 (2013), doi:10.1038/nmeth.2488).
        """
        per_pixel = np.asarray(self.read_variance, np.float64) / self.excess_factor**2
        return np.broadcast_to(per_pixel, shape).astype(np.float64)

    @property
    def fourth_cumulant(self) -> float:
        """Fourth cumulant of effective photons over their mean.

        1 for Poisson noise; 3 for an EMCCD, whose electrons become exponentially distributed
        counts. In between is a straight line.
        """
        return 2 * self.excess_factor - 1
