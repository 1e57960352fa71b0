"""How the light of one emitter spreads over camera pixels.

What any PSF has to do is :class:`Psf`; the one here is a Gaussian. Others are made by diffraction
(:mod:`deepstorm.simulation.pupil`) or measured (:mod:`deepstorm.simulation.measured`), and
:mod:`deepstorm.simulation.optics` chooses among them.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.special import erf

from deepstorm.arrays import Float64Array, FloatArray, IntArray
from deepstorm.config import Settings
from deepstorm.structures import Localizations

# Beyond this many standard deviations less than 1e-6 of the light is left along each axis.
REACH_SIGMA = 5.0
# A spot is the product of its profiles along y and x, so that all spots of a movie are one matrix
# product; the field is cut into strips of so many columns, as most of a wide row is dark.
STRIP_PX = 64
# Emitters are taken in portions, so that dense movies of large fields fit into memory.
EMITTERS_PER_PORTION = 16_384
# A wider PSF is a mistaken unit rather than a microscope, and would take all memory.
MAX_SIGMA_PX = 50.0


class Psf(Protocol):
    """The optics: from emitters to light on the camera's pixels.

    An emitter's light sums to its photons within the reach, each pixel has the integral over its
    own area, and moving an emitter moves its image. The centre of a spot, which lies at the
    emitter, is that of the Gaussian which fits it best in focus.
    """

    @property
    def sigma_nm(self) -> float:
        """Standard deviation of the Gaussian that is most like the core."""

    @property
    def reach_nm(self) -> float:
        """Distance along x or y beyond which an emitter gives no light that matters."""

    def check(self, pixel_size_nm: float) -> None:
        """Raise ValueError where the optics cannot belong to camera pixels of this size."""

    def sample(self, n: int, rng: np.random.Generator) -> dict[str, Float64Array]:
        """Draw what differs between ``n`` emitters, as columns of a table of localizations."""

    def image(
        self, emitters: Localizations, pixel_size_nm: float, shape: tuple[int, int, int]
    ) -> Float64Array:
        """Image emitters.

        Parameters
        ----------
        emitters : Localizations
            With ``photons`` and the columns that :meth:`sample` draws; frames from 0.
        pixel_size_nm : float
            Size of a camera pixel.
        shape : tuple of int
            (frame, y, x) of the result.

        Returns
        -------
        ndarray of float64, shape ``shape``
            Expected photons per pixel, without background; light outside the field is cut.
        """


def integrated_gaussian(
    position_px: FloatArray, sigma_px: FloatArray, first_px: IntArray, width: int
) -> Float64Array:
    """Integrate one-dimensional Gaussians of unit area over pixels.

    Parameters
    ----------
    position_px : ndarray, shape (n,)
        Centres in camera pixels from the outer corner, so that pixel *i* covers [*i*, *i* + 1).
    sigma_px : ndarray, shape (n,)
        Standard deviations in camera pixels.
    first_px : ndarray of int, shape (n,)
        First pixel of each window.
    width : int
        Pixels per window.

    Returns
    -------
    ndarray, shape (n, width)
        Fraction of the light in each pixel.
    """
    edges = first_px[:, None] + np.arange(width + 1) - position_px[:, None]
    cumulative = 0.5 * erf(edges / (np.sqrt(2) * sigma_px[:, None]))
    return np.diff(cumulative, axis=1)


def render_emitters(
    frame: IntArray,
    x_px: FloatArray,
    y_px: FloatArray,
    photons: FloatArray,
    sigma_px: FloatArray,
    shape: tuple[int, int, int],
) -> Float64Array:
    """Image emitters through a Gaussian PSF integrated over each pixel.

    Parameters
    ----------
    frame : ndarray of int, shape (n,)
        Frame of each emitter, from 0.
    x_px, y_px : ndarray, shape (n,)
        Positions in camera pixels from the outer corner of the top-left pixel; they may lie outside
        the field.
    photons : ndarray, shape (n,)
        Signal photons of each emitter.
    sigma_px : ndarray, shape (n,)
        Standard deviation of each emitter's PSF in camera pixels.
    shape : tuple of int
        (frame, y, x) of the result.

    Returns
    -------
    ndarray of float64, shape ``shape``
        Expected photons per pixel, without background.
    """
    frames, height, width = shape
    image = np.zeros((frames * height, width))
    reach = int(np.ceil(REACH_SIGMA * float(sigma_px.max(initial=0.0))))
    for left in range(0, width, STRIP_PX):
        strip = image[:, left : left + STRIP_PX]
        near = np.flatnonzero((x_px > left - reach) & (x_px < left + STRIP_PX + reach))
        for start in range(0, len(near), EMITTERS_PER_PORTION):
            chosen = near[start : start + EMITTERS_PER_PORTION]
            first = np.full(len(chosen), left)
            along_x = integrated_gaussian(x_px[chosen], sigma_px[chosen], first, strip.shape[1])
            along_y = _columns(frame[chosen], y_px[chosen], sigma_px[chosen], reach, shape)
            strip += along_y @ (photons[chosen, None] * along_x)
    return image.reshape(shape)


def _columns(
    frame: IntArray, y_px: FloatArray, sigma_px: FloatArray, reach: int, shape: tuple[int, int, int]
) -> sparse.csc_array:
    """Return each emitter's profile along y, shape (frame · y, emitter), on its own frame."""
    width = 2 * reach + 1
    first = np.floor(y_px).astype(np.int64) - reach
    light = integrated_gaussian(y_px, sigma_px, first, width)
    row = first[:, None] + np.arange(width)
    light[(row < 0) | (row >= shape[1])] = 0.0
    place = frame[:, None] * shape[1] + row.clip(0, shape[1] - 1)
    ends = width * np.arange(len(frame) + 1)
    size = (shape[0] * shape[1], len(frame))
    return sparse.csc_array((light.ravel(), place.ravel(), ends), shape=size)


class GaussianPsf(Settings):
    """A Gaussian integrated over each pixel, its width varying a little between emitters.

    Real microscopes send part of the light farther: diffraction rings, spherical aberration and
    scattering surround the core with a halo, here a second, wider Gaussian around the same centre.

    Parameters
    ----------
    sigma_nm : float
        Mean standard deviation of the core.
    relative_spread : float
        Relative standard deviation of the width between emitters, from defocus for instance.
    halo_share : float
        Part of an emitter's photons that is in its halo; 0 for none. Single Alexa 647 molecules
        imaged in TIRF had 0.3 to 0.5.
    halo_width : float
        Standard deviation of the halo in units of the core's.
    """

    kind: Literal["gaussian"] = "gaussian"
    sigma_nm: float = Field(default=110.0, gt=0, le=1e5)
    relative_spread: float = Field(default=0.03, ge=0, le=0.5)
    halo_share: float = Field(default=0.0, ge=0, le=0.9)
    halo_width: float = Field(default=3.0, ge=1, le=10)

    @property
    def reach_nm(self) -> float:
        """Distance beyond which an emitter gives no light that matters."""
        core_nm = REACH_SIGMA * self.sigma_nm * (1 + 2 * self.relative_spread)
        # The halo is faint: beyond two of its widths it is part of the background.
        return max(core_nm, 2 * self.halo_width * self.sigma_nm) if self.halo_share else core_nm

    def sample_sigma_nm(self, n: int, rng: np.random.Generator) -> Float64Array:
        """Draw the widths of the cores of ``n`` emitters in nm."""
        relative = np.clip(rng.normal(1.0, self.relative_spread, n), 0.5, 2.0)
        return self.sigma_nm * relative

    def check(self, pixel_size_nm: float) -> None:
        """Refuse a width that no microscope has."""
        sigma_px = self.sigma_nm / pixel_size_nm
        if sigma_px > MAX_SIGMA_PX:
            raise ValueError(
                f"a PSF of sigma_nm {self.sigma_nm:g} is {sigma_px:.0f} camera pixels wide; "
                f"at most {MAX_SIGMA_PX:.0f} are expected, check sigma_nm and pixel_size_nm"
            )

    def sample(self, n: int, rng: np.random.Generator) -> dict[str, Float64Array]:
        """Draw the column ``sigma_nm``, see :meth:`sample_sigma_nm`."""
        return {"sigma_nm": self.sample_sigma_nm(n, rng)}

    def image(
        self, emitters: Localizations, pixel_size_nm: float, shape: tuple[int, int, int]
    ) -> Float64Array:
        """Image emitters that have photons and widths; see :meth:`Psf.image`."""
        columns = emitters.columns()
        return self.render(
            emitters.frame,
            emitters.x_nm / pixel_size_nm,
            emitters.y_nm / pixel_size_nm,
            columns["photons"],
            columns["sigma_nm"] / pixel_size_nm,
            shape,
        )

    def render(
        self,
        frame: IntArray,
        x_px: FloatArray,
        y_px: FloatArray,
        photons: FloatArray,
        sigma_px: FloatArray,
        shape: tuple[int, int, int],
    ) -> Float64Array:
        """Image emitters, with their halo; see :func:`render_emitters`."""
        light = np.zeros(shape)
        for share, width in ((1 - self.halo_share, 1.0), (self.halo_share, self.halo_width)):
            if share > 0:
                light += render_emitters(
                    frame, x_px, y_px, photons * share, sigma_px * width, shape
                )
        return light
