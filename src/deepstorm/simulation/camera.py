"""From photons to camera counts and back.

Every camera turns expected photons per pixel into counts (adu) with its own noise, which its
docstring states and the tests compare with theory.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field

from deepstorm.arrays import Float64Array, FloatArray
from deepstorm.config import Settings

MAX_ADU = 65535


class Camera(Protocol):
    """What a camera does to light."""

    def expose(self, expected_photons: FloatArray, rng: np.random.Generator) -> Float64Array:
        """Return counts before digitisation, shape as ``expected_photons``."""

    def to_photons(self, counts_adu: FloatArray) -> Float64Array:
        """Return the mean number of photons that gives these counts."""

    def mean_adu(self, photons: float) -> float:
        """Return the mean counts of a typical pixel that gets so many photons."""

    def noise_line(self) -> tuple[float, float]:
        """Return (zero in adu, adu per effective photon): variance = slope · (mean - zero)."""


def digitise(counts_adu: FloatArray) -> npt.NDArray[np.uint16]:
    """Round counts and clip them to 16 bits, as a camera's converter does."""
    return np.clip(np.rint(counts_adu), 0, MAX_ADU).astype(np.uint16)


class IdealCamera(Settings):
    """Counts photons: Poisson noise only, one count per photon, no offset."""

    kind: Literal["ideal"] = "ideal"

    def expose(self, expected_photons: FloatArray, rng: np.random.Generator) -> Float64Array:
        """Return Poisson counts with mean and variance ``expected_photons``."""
        return rng.poisson(expected_photons).astype(np.float64)

    def to_photons(self, counts_adu: FloatArray) -> Float64Array:
        """Return the counts themselves."""
        return np.asarray(counts_adu, np.float64)

    def mean_adu(self, photons: float) -> float:
        """Return the photons."""
        return photons

    def noise_line(self) -> tuple[float, float]:
        """Return the line of Poisson noise."""
        return 0.0, 1.0


class EmccdCamera(Settings):
    """Electron-multiplying CCD.

    Photoelectrons and spurious charge are Poisson; the multiplication register turns *n* electrons
    into a gamma variate of shape *n* and scale ``em_gain``, which doubles the variance (excess
    noise factor 2); then Gaussian read noise and the converter's gain and offset. With
    ``n = qe · photons + spurious`` the mean is ``offset + n · em_gain / electrons_per_adu`` and the
    variance ``2 n · (em_gain / electrons_per_adu)² + (read_noise_e / electrons_per_adu)²``.

    That excess noise is the limit of high gain, which real registers reach to a few per cent from a
    gain of some tens on (Robbins and Hadwen, IEEE Trans. Electron Devices 50, 1227, 2003); it does
    not fall with ``em_gain``. A camera whose multiplication is off is an :class:`ScmosCamera`
    without spreads.

    Parameters
    ----------
    quantum_efficiency : float
        Photoelectrons per photon. With 1, "photons" means detected photons.
    em_gain : float
        Mean electron multiplication.
    electrons_per_adu : float
        Electrons after multiplication per count.
    read_noise_e : float
        Standard deviation of the read noise in electrons after multiplication.
    spurious_charge_e : float
        Clock-induced charge, mean electrons per pixel before multiplication.
    offset_adu : float
        Counts of a dark frame.
    """

    kind: Literal["emccd"] = "emccd"
    quantum_efficiency: float = Field(default=1.0, gt=0, le=1)
    em_gain: float = Field(default=300.0, ge=1, le=10_000)
    electrons_per_adu: float = Field(default=145.0, gt=0)
    read_noise_e: float = Field(default=75.0, ge=0)
    spurious_charge_e: float = Field(default=0.002, ge=0)
    offset_adu: float = Field(default=100.0, ge=0, le=MAX_ADU)

    def expose(self, expected_photons: FloatArray, rng: np.random.Generator) -> Float64Array:
        """Return counts with multiplication and read noise."""
        mean = self.quantum_efficiency * expected_photons + self.spurious_charge_e
        electrons = rng.poisson(mean)
        multiplied = rng.standard_gamma(electrons) * self.em_gain
        read = rng.normal(0.0, self.read_noise_e, electrons.shape)
        return self.offset_adu + (multiplied + read) / self.electrons_per_adu

    def to_photons(self, counts_adu: FloatArray) -> Float64Array:
        """Invert the mean response."""
        counts = np.asarray(counts_adu, np.float64)
        electrons = (counts - self.offset_adu) * self.electrons_per_adu / self.em_gain
        return (electrons - self.spurious_charge_e) / self.quantum_efficiency

    def mean_adu(self, photons: float) -> float:
        """Return offset and multiplied electrons."""
        electrons = self.quantum_efficiency * photons + self.spurious_charge_e
        return self.offset_adu + electrons * self.em_gain / self.electrons_per_adu

    def noise_line(self) -> tuple[float, float]:
        """Return the line with twice the slope of Poisson noise, moved by the read noise."""
        slope = 2 * self.em_gain / self.electrons_per_adu
        return self.offset_adu - (self.read_noise_e / self.electrons_per_adu) ** 2 / slope, slope


class ScmosCamera(Settings):
    """Scientific CMOS camera, whose offset, gain and read noise differ from pixel to pixel.

    Photoelectrons are Poisson, read noise is Gaussian with a variance of its own in each pixel
    (Huang et al., Nature Methods 2013, doi 10.1038/nmeth.2488). The mean of a pixel is
    ``offset + gain · qe · photons`` and its variance ``gain² · (qe · photons + read²)``. The maps
    are drawn from ``maps_seed``, so that one camera keeps its maps from frame to frame and movie to
    movie; sensors of different sizes have different maps.

    Parameters
    ----------
    quantum_efficiency : float
        Photoelectrons per photon. With 1, "photons" means detected photons.
    gain_adu_per_e : float
        Median counts per electron.
    gain_spread : float
        Relative standard deviation of the gain over pixels.
    read_noise_e : float
        Median read noise of a pixel in electrons.
    read_noise_spread : float
        Standard deviation of the logarithm of the read noise over pixels; the long tail towards
        noisy pixels is what such cameras have.
    offset_adu : float
        Median counts of a dark frame.
    offset_spread_adu : float
        Standard deviation of the offset over pixels.
    maps_seed : int
        Which camera of this kind it is.
    """

    kind: Literal["scmos"] = "scmos"
    quantum_efficiency: float = Field(default=1.0, gt=0, le=1)
    gain_adu_per_e: float = Field(default=2.0, gt=0)
    gain_spread: float = Field(default=0.02, ge=0, le=0.3)
    read_noise_e: float = Field(default=1.4, ge=0)
    read_noise_spread: float = Field(default=0.35, ge=0, le=2)
    offset_adu: float = Field(default=100.0, ge=0, le=MAX_ADU)
    offset_spread_adu: float = Field(default=2.0, ge=0)
    maps_seed: int = Field(default=0, ge=0)

    def maps(self, shape: tuple[int, int]) -> tuple[Float64Array, ...]:
        """Return the maps (offset in adu, gain in adu per electron, read noise in electrons).

        Parameters
        ----------
        shape : tuple of int
            Size (y, x) of the sensor.
        """
        rng = np.random.default_rng(self.maps_seed)
        offset = rng.normal(self.offset_adu, self.offset_spread_adu, shape)
        gain = self.gain_adu_per_e * np.clip(rng.normal(1.0, self.gain_spread, shape), 0.1, None)
        read = self.read_noise_e * np.exp(rng.normal(0.0, self.read_noise_spread, shape))
        return offset, gain, read

    def expose(self, expected_photons: FloatArray, rng: np.random.Generator) -> Float64Array:
        """Return counts with each pixel's own offset, gain and read noise."""
        offset, gain, read = self.maps(expected_photons.shape[-2:])
        electrons = rng.poisson(self.quantum_efficiency * expected_photons)
        noise = rng.normal(0.0, 1.0, electrons.shape) * read
        return offset + gain * (electrons + noise)

    def to_photons(self, counts_adu: FloatArray) -> Float64Array:
        """Invert the mean response, pixel by pixel."""
        offset, gain, _ = self.maps(counts_adu.shape[-2:])
        counts = np.asarray(counts_adu, np.float64)
        return (counts - offset) / gain / self.quantum_efficiency

    def mean_adu(self, photons: float) -> float:
        """Return the counts of a pixel with median offset and gain."""
        return self.offset_adu + self.gain_adu_per_e * self.quantum_efficiency * photons

    def noise_line(self) -> tuple[float, float]:
        """Return the line of a pixel with median offset, gain and read noise."""
        slope = self.gain_adu_per_e
        return self.offset_adu - slope * self.read_noise_e**2, slope


AnyCamera = Annotated[IdealCamera | EmccdCamera | ScmosCamera, Field(discriminator="kind")]
