"""A PSF by diffraction: light through a round pupil, with aberrations."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator
from scipy import fft

from deepstorm.arrays import Float64Array
from deepstorm.config import Settings
from deepstorm.simulation.sampled_psf import CENTRING_ROUNDS, ImagedPsf, SampledPsf, core_offset

# Fine pixels per λ/NA; the intensity has no detail finer than 2 of them.
FINE_PX_PER_UNIT = 10
# λ/NA from the middle within which an image without aberrations holds 97.5 % of its light.
REACH_UNITS = 4.0
# The computed field is so much wider than what is kept, lest its borders shine in.
FIELD_PER_REACH = 2.0
LEAST_FIELD_PX = 240
# Planes of focus per depth of field, λ n / NA².
PLANES_PER_DEPTH = 6
SPREADS_OF_Z = 3.0


def _at_most(limit: float) -> AfterValidator:
    """Return a check of a magnitude."""

    def check(value: float) -> float:
        if abs(value) > limit:
            raise ValueError(f"{value:g} is not between -{limit:g} and {limit:g}")
        return value

    return AfterValidator(check)


class PupilPsf(ImagedPsf, Settings):
    """Scalar diffraction through the pupil of an objective with aberrations.

    The amplitude is even over the pupil, whose phase is a sum of Zernike polynomials in Noll's
    normalisation (R. J. Noll, J. Opt. Soc. Am. 66, 207, 1976): a coefficient is the RMS error of
    the wavefront, in wavelengths. Below 0.07 in all an objective passes for diffraction-limited.

    The spot's centre, which lies at the emitter, is that of the Gaussian which fits it best in the
    plane of nominal focus, as programs for localization have it. (Coma moves the centroid by as
    much more as faint rings are counted in.) Light beyond the reach counts as background.

    Parameters
    ----------
    numerical_aperture : float
        Below ``refractive_index``.
    wavelength_nm : float
        Of the emitted light, in vacuum.
    refractive_index : float
        Of the immersion, which decides what defocus does.
    astigmatism_waves, oblique_astigmatism_waves : float
        Noll's Z6 and Z5, along the axes and between them.
    coma_x_waves, coma_y_waves : float
        Noll's Z8 and Z7: a tail along x or y.
    spherical_waves : float
        Noll's Z11: light moved from the core to rings.
    defocus_nm : float
        Distance of the emitters from the plane of focus.
    z_spread_nm : float
        Standard deviation of a random distance that each emitter has besides.
    blur_nm : float
        Standard deviation of a Gaussian that blurs the image further, as motion does.
    halo_share, halo_nm : float
        Part of the light that is scattered, and the standard deviation of its Gaussian.
    """

    kind: Literal["pupil"] = "pupil"
    numerical_aperture: float = Field(default=1.45, ge=0.1, lt=2)
    wavelength_nm: float = Field(default=670.0, ge=200, le=2000)
    refractive_index: float = Field(default=1.518, ge=1, le=2)
    astigmatism_waves: Annotated[float, _at_most(0.5)] = 0.0
    oblique_astigmatism_waves: Annotated[float, _at_most(0.5)] = 0.0
    coma_x_waves: Annotated[float, _at_most(0.5)] = 0.0
    coma_y_waves: Annotated[float, _at_most(0.5)] = 0.0
    spherical_waves: Annotated[float, _at_most(0.5)] = 0.0
    defocus_nm: Annotated[float, _at_most(2000)] = 0.0
    z_spread_nm: float = Field(default=0.0, ge=0, le=1000)
    blur_nm: float = Field(default=0.0, ge=0, le=1000)
    halo_share: float = Field(default=0.0, ge=0, le=0.9)
    halo_nm: float = Field(default=300.0, gt=0, le=2000)

    @model_validator(mode="after")
    def _check_aperture(self) -> Self:
        if self.numerical_aperture >= self.refractive_index:
            raise ValueError(
                f"a numerical_aperture of {self.numerical_aperture:g} needs an immersion of more "
                f"than that; the refractive_index is {self.refractive_index:g}"
            )
        return self

    @property
    def unit_nm(self) -> float:
        """The length λ/NA."""
        return self.wavelength_nm / self.numerical_aperture

    @property
    def reach_nm(self) -> float:
        """Distance along x or y beyond which an emitter gives no light that matters."""
        out_of_focus_nm = abs(self.defocus_nm) + SPREADS_OF_Z * self.z_spread_nm
        sine = self.numerical_aperture / self.refractive_index
        cone_nm = out_of_focus_nm * sine / np.sqrt(1 - sine**2)
        halo_nm = 2 * self.halo_nm if self.halo_share else 0.0
        unblurred_nm = max(REACH_UNITS * self.unit_nm + cone_nm, halo_nm)
        return float(unblurred_nm + 2 * self.blur_nm)

    def check(self, pixel_size_nm: float) -> None:
        """Raise ValueError if the image covers too many camera pixels."""
        self.sampled().check(pixel_size_nm)

    def sampled(self) -> SampledPsf:
        """Return the image of one emitter in fine pixels, computed once for the same settings."""
        return _sampled(self)


@lru_cache(maxsize=16)
def _sampled(psf: PupilPsf) -> SampledPsf:
    fine_nm = psf.unit_nm / FINE_PX_PER_UNIT
    half = int(np.ceil(psf.reach_nm / fine_nm))
    field = fft.next_fast_len(max(LEAST_FIELD_PX, int(2 * FIELD_PER_REACH * half)))
    frequency = fft.fftfreq(field)  # per fine pixel
    transfer = _blur(psf, frequency * FINE_PX_PER_UNIT)
    z_nm, step_nm = _planes(psf)
    spectra = [transfer * fft.fft2(_intensity(psf, frequency * FINE_PX_PER_UNIT, z)) for z in z_nm]
    shift = np.zeros(2)
    nominal = len(z_nm) // 2
    for _ in range(CENTRING_ROUNDS):
        image = _cropped(spectra[nominal], frequency, shift, half)
        width = SampledPsf(image[np.newaxis], fine_nm).sigma_nm / fine_nm
        shift += core_offset(image, width)
    planes = np.stack([_cropped(one, frequency, shift, half) for one in spectra])
    return SampledPsf(planes, fine_nm, step_nm, nominal)


def _planes(psf: PupilPsf) -> tuple[Float64Array, float | None]:
    """Return where emitters are tabulated along z, and the distance between planes."""
    if psf.z_spread_nm == 0:
        return np.array([psf.defocus_nm]), None
    depth_nm = psf.wavelength_nm * psf.refractive_index / psf.numerical_aperture**2
    step_nm = depth_nm / PLANES_PER_DEPTH
    count = int(np.ceil(SPREADS_OF_Z * psf.z_spread_nm / step_nm))
    planes: Float64Array = psf.defocus_nm + step_nm * np.arange(-count, count + 1, dtype=np.float64)
    return planes, step_nm


def _intensity(psf: PupilPsf, frequency: Float64Array, z_nm: float) -> Float64Array:
    """Return the image of a point, its middle at pixel (0, 0); ``frequency`` in NA/λ."""
    v, u = frequency[:, None], frequency[None, :]
    rho, theta = np.hypot(u, v), np.arctan2(v, u)
    # Pixels on the rim are in the pupil by a part.
    amplitude = ((1 - rho) / (frequency[1] - frequency[0]) + 0.5).clip(0, 1)
    rho = rho.clip(0, 1)
    axial = np.sqrt(psf.refractive_index**2 - (psf.numerical_aperture * rho) ** 2)
    waves = _wavefront(psf, rho, theta) + z_nm / psf.wavelength_nm * axial
    field = fft.fft2(amplitude * np.exp(2j * np.pi * waves))
    intensity: Float64Array = np.abs(field) ** 2
    intensity /= intensity.sum()
    return intensity


def _wavefront(psf: PupilPsf, rho: Float64Array, theta: Float64Array) -> Float64Array:
    """Return the error of the wavefront in wavelengths."""
    coma = np.sqrt(8) * (3 * rho**3 - 2 * rho)
    astigmatism = np.sqrt(6) * rho**2
    found: Float64Array = (
        psf.astigmatism_waves * astigmatism * np.cos(2 * theta)
        + psf.oblique_astigmatism_waves * astigmatism * np.sin(2 * theta)
        + psf.coma_x_waves * coma * np.cos(theta)
        + psf.coma_y_waves * coma * np.sin(theta)
        + psf.spherical_waves * np.sqrt(5) * (6 * rho**4 - 6 * rho**2 + 1)
    )
    return found


def _blur(psf: PupilPsf, frequency: Float64Array) -> Float64Array:
    """Return what a fine pixel, the blur and the halo leave of each frequency, in NA/λ."""
    pixel = np.sinc(frequency / FINE_PX_PER_UNIT)
    square = frequency[:, None] ** 2 + frequency**2

    def gaussian(sigma_nm: float) -> Float64Array:
        found: Float64Array = np.exp(-2 * (np.pi * sigma_nm / psf.unit_nm) ** 2 * square)
        return found

    halo = 1 - psf.halo_share + psf.halo_share * gaussian(psf.halo_nm)
    blurred: Float64Array = pixel[:, None] * pixel * gaussian(psf.blur_nm) * halo
    return blurred


def _cropped(
    spectrum: npt.NDArray[np.complex128], frequency: Float64Array, shift: Float64Array, half: int
) -> Float64Array:
    """Return the middle of an image moved by ``-shift`` (x, y), fading to the reach.

    The middle is the corner between four pixels.
    """
    x, y = (np.exp(2j * np.pi * frequency * (moved + 0.5)) for moved in shift)
    image = fft.ifft2(spectrum * y[:, None] * x).real
    rows = np.arange(-half, half)
    offset = (rows + 0.5) / half
    radius = np.hypot(offset[:, None], offset)
    fade = np.cos(np.pi / 2 * ((radius - 0.8) / 0.2).clip(0, 1)) ** 2
    kept: Float64Array = image[np.ix_(rows, rows)].clip(min=0) * fade
    kept /= kept.sum()
    return kept
