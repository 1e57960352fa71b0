"""How precisely one emitter can be measured at best: the Cramér-Rao bound.

The expected light in a pixel is ``photons`` times the Gaussian integrated over the pixel, plus the
background; the noise is Poisson noise of effective photons, to which an excess noise factor and
read noise have been reduced beforehand (:class:`~deepstorm.structures.Instrument`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepstorm.arrays import Float64Array, FloatArray
from deepstorm.errors import InputError
from deepstorm.simulation.psf import REACH_SIGMA, integrated_gaussian
from deepstorm.structures import Localizations

# The bound is even and periodic in the sub-pixel position, so half a pixel stands for all of it.
SUBPIXEL_POSITIONS_PX = (np.arange(3) + 0.5) / 6
# Emitters are handled in portions, so that the bound of a whole table fits into memory.
EMITTERS_PER_PORTION = 16_384
# Light per pixel, as a fraction of the emitter's, below which a pixel counts as equally dark.
DARK = 1e-12
# Names of the parameters' rows in the information matrix.
X, Y, PHOTONS, BACKGROUND = range(4)


@dataclass(frozen=True, slots=True)
class EmitterBounds:
    """Smallest standard deviations that an unbiased estimate of one emitter can have.

    Parameters
    ----------
    position_px : ndarray
        Of x, and alike of y, in camera pixels.
    photons : ndarray
        Of the signal in photons.
    background_photons : ndarray
        Of the background in photons per pixel; it falls with the size of the window.
    """

    position_px: Float64Array
    photons: Float64Array
    background_photons: Float64Array


def emitter_bounds(
    photons: float | FloatArray,
    background_photons: float | FloatArray,
    sigma_px: float,
    *,
    reach_px: int | None = None,
) -> EmitterBounds:
    """Return the Cramér-Rao bounds when x, y, photons and background are estimated together.

    The Fisher information is that of Smith et al., Nature Methods 7, 373 (2010),
    doi:10.1038/nmeth.1449. The variances are averaged over positions within the pixel.

    Parameters
    ----------
    photons : float or ndarray
        Effective signal photons of each emitter, above 0.
    background_photons : float or ndarray
        Effective background photons per pixel, 0 or more; broadcast against ``photons``.
    sigma_px : float
        Standard deviation of the Gaussian PSF in camera pixels.
    reach_px : int, optional
        Pixels of the window to each side of the emitter's; by default 5 standard deviations.

    Returns
    -------
    EmitterBounds
        Standard deviations, each of the shape of the arguments broadcast together.

    Raises
    ------
    InputError
        If a value is outside its range.
    """
    signal, background = np.broadcast_arrays(
        np.asarray(photons, np.float64), np.asarray(background_photons, np.float64)
    )
    _check(signal, background, sigma_px, reach_px)
    reach = reach_px if reach_px is not None else int(np.ceil(REACH_SIGMA * sigma_px))
    relative = _relative_variances((background / signal).ravel(), sigma_px, reach)
    position, brightness, level = (row.reshape(signal.shape) for row in relative)
    return EmitterBounds(
        np.sqrt(position / signal), np.sqrt(brightness * signal), np.sqrt(level * signal)
    )


def localization_bound_nm(
    photons: float | FloatArray,
    background_photons: float | FloatArray,
    sigma_nm: float,
    pixel_size_nm: float,
) -> Float64Array:
    """Return the Cramér-Rao bound of an isolated emitter's position along one axis.

    Parameters
    ----------
    photons : float or ndarray
        Effective signal photons of each emitter, above 0.
    background_photons : float or ndarray
        Effective background photons per pixel, 0 or more; broadcast against ``photons``.
    sigma_nm : float
        Standard deviation of the Gaussian PSF.
    pixel_size_nm : float
        Size of a camera pixel.

    Returns
    -------
    ndarray of float64
        Standard deviation in nm, of the shape of the arguments broadcast together; a number where
        both are numbers.

    Raises
    ------
    InputError
        If a value is outside its range.

    Examples
    --------
    >>> bound = localization_bound_nm(1450, 19, sigma_nm=110, pixel_size_nm=100)
    >>> round(float(bound), 1)
    4.0
    """
    if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise InputError(f"the pixel size is {pixel_size_nm} nm; give a number above 0")
    bounds = emitter_bounds(photons, background_photons, sigma_nm / pixel_size_nm)
    return bounds.position_px * pixel_size_nm


def _check(
    signal: FloatArray, background: FloatArray, sigma_px: float, reach_px: int | None
) -> None:
    if not np.all(np.isfinite(signal) & (signal > 0)):
        raise InputError("the photons of an emitter must be finite and above 0; leave others out")
    if not np.all(np.isfinite(background) & (background >= 0)):
        raise InputError("the background must be finite and 0 or more photons per pixel")
    if not (np.isfinite(sigma_px) and sigma_px > 0):
        raise InputError(f"the PSF's sigma is {sigma_px} camera pixels; give a number above 0")
    if reach_px is not None and reach_px < 1:
        raise InputError(f"the window reaches {reach_px} pixels; at least 1 is needed")


def _relative_variances(ratio: FloatArray, sigma_px: float, reach: int) -> Float64Array:
    """Return the variances for one photon, by the ratio of background to photons.

    With brightness in units of itself and background in units of the brightness, the information
    is the photon count times a matrix of the ratio alone: shape (3, n) for position, photons and
    background.
    """
    variances = np.empty((3, len(ratio)))
    for start in range(0, len(ratio), EMITTERS_PER_PORTION):
        part = slice(start, start + EMITTERS_PER_PORTION)
        places = [
            _variances_at(x, y, ratio[part], sigma_px, reach)
            for x in SUBPIXEL_POSITIONS_PX
            for y in SUBPIXEL_POSITIONS_PX
        ]
        mean = np.mean(places, axis=0)
        variances[:, part] = (mean[:, X] + mean[:, Y]) / 2, mean[:, PHOTONS], mean[:, BACKGROUND]
    return variances


def _variances_at(
    x_px: float, y_px: float, ratio: FloatArray, sigma_px: float, reach: int
) -> Float64Array:
    """Return the diagonal of the inverse information, shape (n, 4), at one sub-pixel position."""
    spot, slopes = _spot_and_slopes(x_px, y_px, sigma_px, reach)
    products = (slopes[:, :, None] * slopes[:, None, :]).reshape(len(spot), -1)
    weights = 1 / np.maximum(spot + ratio[:, None], DARK)
    information = (weights @ products).reshape(-1, 4, 4)
    # Without background the entries differ by many orders; scaled to a unit diagonal they do not.
    scale = 1 / np.sqrt(np.diagonal(information, axis1=1, axis2=2))
    inverse = np.linalg.inv(information * scale[:, :, None] * scale[:, None, :])
    result: Float64Array = np.diagonal(inverse, axis1=1, axis2=2) * scale**2
    return result


def _spot_and_slopes(
    x_px: float, y_px: float, sigma_px: float, reach: int
) -> tuple[Float64Array, Float64Array]:
    """Return the light of one photon by pixel, and its derivatives by the four parameters."""
    x_profile, x_slope = _profile_and_slope(x_px, sigma_px, reach)
    y_profile, y_slope = _profile_and_slope(y_px, sigma_px, reach)
    spot = np.outer(y_profile, x_profile).ravel()
    along_x = np.outer(y_profile, x_slope).ravel()
    along_y = np.outer(y_slope, x_profile).ravel()
    return spot, np.stack([along_x, along_y, spot, np.ones_like(spot)], axis=1)


def _profile_and_slope(
    position_px: float, sigma_px: float, reach: int
) -> tuple[Float64Array, Float64Array]:
    """Return the integrated Gaussian in pixels -reach to reach, and its derivative by position."""
    width = 2 * reach + 1
    profile = integrated_gaussian(
        np.array([position_px]), np.array([sigma_px]), np.array([-reach]), width
    )[0]
    edges = (np.arange(width + 1) - reach - position_px) / sigma_px
    density = np.exp(-0.5 * edges**2) / (np.sqrt(2 * np.pi) * sigma_px)
    return profile, -np.diff(density)


def at_the_bound(
    emitters: Localizations, sigma_nm: float, pixel_size_nm: float, rng: np.random.Generator
) -> Localizations:
    """Return true emitters, moved as much as the best estimate of emitters that are alone is off.

    Parameters
    ----------
    emitters : Localizations
        With ``photons`` and ``background_photons``.
    sigma_nm : float
        Standard deviation of the PSF.
    pixel_size_nm : float
        Size of a camera pixel.
    rng : numpy.random.Generator

    Raises
    ------
    InputError
        If the photons or the background are not known, or a value is outside its range.
    """
    if emitters.photons is None or emitters.background_photons is None:
        raise InputError("the bound needs the photons and the background of each emitter")
    bound_nm = localization_bound_nm(
        emitters.photons, emitters.background_photons, sigma_nm, pixel_size_nm
    )
    return replace(
        emitters,
        x_nm=emitters.x_nm + rng.normal(0, bound_nm),
        y_nm=emitters.y_nm + rng.normal(0, bound_nm),
    )
