"""How precisely an emitter can be measured at best: Fisher information and Cramér-Rao bound."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import Float64Array, FloatArray
from deepstorm.errors import InputError
from deepstorm.localization.spot_model import PARAMETERS, SIGMA, X, Y, light_and_slopes

# A window of so many standard deviations to each side holds the whole spot.
WHOLE_SPOT_SIGMA = 5.0
# The bound is even and periodic in the sub-pixel position, so half a pixel stands for all of it.
SUBPIXEL_POSITIONS_PX = (np.arange(3) + 0.5) / 6
EMITTERS_PER_PORTION = 2048
# Expected light per pixel, in photons, below which a pixel tells no more.
DARK = 1e-9


def fisher_information(slopes: Float64Array, expected: Float64Array) -> Float64Array:
    """Return the information of Poisson noise, whose variance is the expected light.

    Equation 10 of Smith et al., Nature Methods 7, 373 (2010), doi:10.1038/nmeth.1449.

    Parameters
    ----------
    slopes : ndarray, shape (n, parameter, pixel)
        Derivatives of the expected light.
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

    Position, photons, background and width are estimated together; by the symmetry of the spot
    the bound of the position is the same when the width is known. The variance is averaged over
    positions within the pixel.

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
        Standard deviation in nm, of the shape of the arguments broadcast together.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> round(float(cramer_rao_nm(1450, 19, sigma_nm=110, pixel_size_nm=100)), 1)
    4.0
    """
    signal, background = np.broadcast_arrays(
        np.asarray(photons, np.float64), np.asarray(background_photons, np.float64)
    )
    _check(signal, background, sigma_nm, pixel_size_nm, excess_factor, read_variance)
    sigma_px = sigma_nm / pixel_size_nm
    reach = reach_px if reach_px is not None else int(np.ceil(WHOLE_SPOT_SIGMA * sigma_px))
    effective = np.stack(
        [
            signal.ravel() / excess_factor,
            background.ravel() / excess_factor + read_variance / excess_factor**2 + DARK,
        ],
        axis=1,
    )
    starts = range(0, len(effective), EMITTERS_PER_PORTION)
    parts = [
        _mean_variance(effective[start : start + EMITTERS_PER_PORTION], sigma_px, reach)
        for start in starts
    ]
    variance = np.concatenate([np.empty(0), *parts])
    bound: Float64Array = np.sqrt(variance).reshape(signal.shape) * pixel_size_nm
    return bound


def _mean_variance(light: Float64Array, sigma_px: float, reach: int) -> Float64Array:
    """Return the variance of the position in pixels squared; light is (photons, background)."""
    total = np.zeros(len(light))
    parameters = np.empty((len(light), PARAMETERS))
    parameters[:, 2:4], parameters[:, SIGMA] = light, sigma_px
    for x_px in SUBPIXEL_POSITIONS_PX:
        for y_px in SUBPIXEL_POSITIONS_PX:
            parameters[:, X], parameters[:, Y] = reach + x_px, reach + y_px
            expected, slopes = light_and_slopes(parameters, 2 * reach + 1)
            best = covariance(fisher_information(slopes, expected))
            total += (best[:, X, X] + best[:, Y, Y]) / 2
    return total / len(SUBPIXEL_POSITIONS_PX) ** 2


def _check(
    photons: Float64Array,
    background: Float64Array,
    sigma_nm: float,
    pixel_size_nm: float,
    excess_factor: float,
    read_variance: float,
) -> None:
    if not np.all(np.isfinite(photons) & (photons > 0)):
        raise InputError("the photons of an emitter must be finite and above 0; leave others out")
    if not np.all(np.isfinite(background) & (background >= 0)):
        raise InputError("the background must be finite and 0 or more photons per pixel")
    if not (np.isfinite(sigma_nm) and sigma_nm > 0):
        raise InputError(f"the PSF's sigma is {sigma_nm} nm; give a number above 0")
    if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise InputError(f"the pixel size is {pixel_size_nm} nm; give a number above 0")
    if not (excess_factor >= 1 and read_variance >= 0):
        raise InputError(
            f"the excess factor is {excess_factor} and the read variance {read_variance}; at least "
            "1 and 0 are expected"
        )
