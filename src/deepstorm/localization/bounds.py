"""How precisely one emitter can be measured at best: Fisher information and Cramér-Rao bound.

The expected light in a pixel is ``photons`` times the Gaussian integrated over the pixel, plus the
background; the noise is Poisson noise of effective photons, to which an excess noise factor and
read noise are reduced.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepstorm.arrays import Float64Array, FloatArray
from deepstorm.errors import InputError
from deepstorm.evaluation.checks import check_length
from deepstorm.localization.spot_model import BACKGROUND, PHOTONS, SIGMA, X, Y, light_and_slopes
from deepstorm.structures import Localizations

# A window of so many standard deviations to each side holds the whole spot.
WHOLE_SPOT_SIGMA = 5.0
# The bound is even and periodic in the sub-pixel position, so half a pixel stands for all of it.
SUBPIXEL_POSITIONS_PX = (np.arange(3) + 0.5) / 6
# Emitters are handled in portions, so that the bound of a whole table fits into memory.
EMITTERS_PER_PORTION = 2048
# Light per pixel, as a fraction of the emitter's, below which a pixel counts as equally dark.
DARK = 1e-12


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


def fisher_information(slopes: Float64Array, expected: Float64Array) -> Float64Array:
    """Return the information of Poisson noise, whose variance is the expected light.

    Equation 10 of Smith et al., Nature Methods 7, 373 (2010), doi:10.1038/nmeth.1449.

    Parameters
    ----------
    slopes : ndarray, shape (n, parameter, pixel)
        Derivatives of the expected light; n may be 1 where all have the same.
    expected : ndarray, shape (n, pixel)
        Expected light in effective photons, above 0.

    Returns
    -------
    ndarray, shape (n, parameter, parameter)
    """
    result: Float64Array = (slopes / expected[:, None, :]) @ slopes.transpose(0, 2, 1)
    return result


def covariance(information: Float64Array) -> Float64Array:
    """Invert information matrices, whose entries may differ by many orders of magnitude.

    Parameters
    ----------
    information : ndarray, shape (n, parameter, parameter)
        Positive on the diagonal.
    """
    diagonal = np.diagonal(information, axis1=1, axis2=2)
    scale = 1 / np.sqrt(np.maximum(diagonal, np.finfo(np.float64).tiny))
    # A trace of damping keeps what cannot be told apart finite, and is far below any other error.
    alike = information * scale[:, :, None] * scale[:, None, :] + 1e-12 * np.eye(scale.shape[1])
    result: Float64Array = np.linalg.inv(alike) * scale[:, :, None] * scale[:, None, :]
    return result


def emitter_bounds(
    photons: float | FloatArray,
    background_photons: float | FloatArray,
    sigma_px: float,
    *,
    reach_px: int | None = None,
) -> EmitterBounds:
    """Return the Cramér-Rao bounds when x, y, photons and background are estimated together.

    The variances are averaged over positions within the pixel. By the symmetry of the spot, the
    bound of the position is the same to 1e-6 when the width is estimated, too, if the standard
    deviation is a pixel or more; at half a pixel it is up to 5 % larger then.

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
    reach = reach_px if reach_px is not None else int(np.ceil(WHOLE_SPOT_SIGMA * sigma_px))
    relative = _relative_variances((background / signal).ravel(), sigma_px, reach)
    position, brightness, level = (row.reshape(signal.shape) for row in relative)
    return EmitterBounds(
        np.sqrt(position / signal), np.sqrt(brightness * signal), np.sqrt(level * signal)
    )


def cramer_rao_nm(
    photons: float | FloatArray,
    background_photons: float | FloatArray,
    sigma_nm: float,
    pixel_size_nm: float,
    *,
    excess_factor: float = 1.0,
    read_variance: float = 0.0,
    reach_px: int | None = None,
) -> Float64Array:
    """Return the Cramér-Rao bound of an isolated emitter's position along one axis.

    Parameters
    ----------
    photons : float or ndarray
        Signal photons of each emitter, above 0.
    background_photons : float or ndarray
        Background photons per pixel, 0 or more; broadcast against ``photons``.
    sigma_nm : float
        Standard deviation of the Gaussian PSF.
    pixel_size_nm : float
        Size of a camera pixel.
    excess_factor : float
        Variance of the noise over the mean light: 1 for Poisson noise, 2 for an EMCCD.
    read_variance : float
        Variance of the read noise in photons squared.
    reach_px : int, optional
        Pixels of the window to each side of the emitter's; by default 5 standard deviations.

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
    >>> round(float(cramer_rao_nm(1450, 19, sigma_nm=110, pixel_size_nm=100)), 1)
    4.0
    """
    check_length(pixel_size_nm, "pixel size")
    if not (excess_factor >= 1 and read_variance >= 0):
        raise InputError(
            f"the excess factor is {excess_factor} and the read variance {read_variance}; at least "
            "1 and 0 are expected"
        )
    signal = np.asarray(photons, np.float64) / excess_factor
    background = np.asarray(background_photons, np.float64) / excess_factor
    background = background + read_variance / excess_factor**2
    bounds = emitter_bounds(signal, background, sigma_nm / pixel_size_nm, reach_px=reach_px)
    return bounds.position_px * pixel_size_nm


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
    bound_nm = cramer_rao_nm(emitters.photons, emitters.background_photons, sigma_nm, pixel_size_nm)
    return replace(
        emitters,
        x_nm=emitters.x_nm + rng.normal(0, bound_nm),
        y_nm=emitters.y_nm + rng.normal(0, bound_nm),
    )


def _check(
    signal: Float64Array, background: Float64Array, sigma_px: float, reach_px: int | None
) -> None:
    if not np.all(np.isfinite(signal) & (signal > 0)):
        raise InputError("the photons of an emitter must be finite and above 0; leave others out")
    if not np.all(np.isfinite(background) & (background >= 0)):
        raise InputError("the background must be finite and 0 or more photons per pixel")
    check_width(sigma_px)
    if reach_px is not None and reach_px < 1:
        raise InputError(f"the window reaches {reach_px} pixels; at least 1 is needed")


def check_width(sigma_px: float) -> None:
    """Refuse a standard deviation, in camera pixels, that no PSF has."""
    if not (np.isfinite(sigma_px) and sigma_px > 0):
        raise InputError(f"the PSF's sigma is {sigma_px} camera pixels; give a number above 0")


def _relative_variances(ratio: Float64Array, sigma_px: float, reach: int) -> Float64Array:
    """Return the variances for one photon, by the ratio of background to photons.

    With brightness in units of itself and background in units of the brightness, the information
    is the photon count times a matrix of the ratio alone: shape (3, n) for position, photons and
    background.
    """
    variances = np.empty((3, len(ratio)))
    for start in range(0, len(ratio), EMITTERS_PER_PORTION):
        part = slice(start, start + EMITTERS_PER_PORTION)
        places = [
            _variances_at(reach + x, reach + y, ratio[part], sigma_px, 2 * reach + 1)
            for x in SUBPIXEL_POSITIONS_PX
            for y in SUBPIXEL_POSITIONS_PX
        ]
        mean = np.mean(places, axis=0)
        variances[:, part] = (mean[:, X] + mean[:, Y]) / 2, mean[:, PHOTONS], mean[:, BACKGROUND]
    return variances


def _variances_at(
    x_px: float, y_px: float, ratio: Float64Array, sigma_px: float, width: int
) -> Float64Array:
    """Return the variances of x, y, photons and background at one position, shape (n, 4)."""
    light, slopes = light_and_slopes(np.array([[x_px, y_px, 1.0, 0.0, sigma_px]]), width)
    expected = np.maximum(light + ratio[:, None], DARK)
    best = covariance(fisher_information(slopes[:, :SIGMA], expected))
    result: Float64Array = np.diagonal(best, axis1=1, axis2=2)
    return result
