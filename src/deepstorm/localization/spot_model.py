"""The light of one emitter in a window of pixels, and how it changes with what is fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import Float64Array
from deepstorm.simulation.psf import integrated_gaussian

# Columns of the table of parameters.
X, Y, PHOTONS, BACKGROUND, SIGMA = range(5)
PARAMETERS = 5


@dataclass(frozen=True, slots=True)
class Profile:
    """An integrated Gaussian along one axis and its derivatives, each of shape (n, pixel).

    Parameters
    ----------
    light : ndarray
        Fraction of the light in each pixel.
    by_position, by_sigma, curvature : ndarray
        First derivatives by position and standard deviation, and the second by position, per
        camera pixel.
    """

    light: Float64Array
    by_position: Float64Array
    by_sigma: Float64Array
    curvature: Float64Array


def profile(position_px: Float64Array, sigma_px: Float64Array, width: int) -> Profile:
    """Integrate Gaussians over the pixels of a window, with derivatives.

    Parameters
    ----------
    position_px : ndarray, shape (n,)
        Centres from the outer corner of the window's first pixel.
    sigma_px : ndarray, shape (n,)
        Standard deviations.
    width : int
        Pixels of the window.
    """
    sigma = sigma_px[:, None]
    edges = (np.arange(width + 1) - position_px[:, None]) / sigma
    density = np.exp(-0.5 * edges**2) / np.sqrt(2 * np.pi)
    by_sigma = -np.diff(edges * density, axis=1) / sigma
    return Profile(
        light=light_profile(position_px, sigma_px, width),
        by_position=-np.diff(density, axis=1) / sigma,
        by_sigma=by_sigma,
        curvature=by_sigma / sigma,  # the Gaussian solves the heat equation
    )


def light_profile(position_px: Float64Array, sigma_px: Float64Array, width: int) -> Float64Array:
    """Return the light of :func:`profile` alone, shape (n, pixel)."""
    return integrated_gaussian(position_px, sigma_px, np.zeros(1, np.int64), width)


def expected_light(parameters: Float64Array, width: int) -> Float64Array:
    """Return the expected light of emitters and background.

    Parameters
    ----------
    parameters : ndarray, shape (n, 5)
        x and y in camera pixels from the outer corner of the window's first pixel, photons,
        background in photons per pixel, and the standard deviation in camera pixels.
    width : int
        Pixels of the square window along each axis.

    Returns
    -------
    ndarray, shape (n, width · width)
        In photons.
    """
    along_x = light_profile(parameters[:, X], parameters[:, SIGMA], width)
    along_y = light_profile(parameters[:, Y], parameters[:, SIGMA], width)
    light = (parameters[:, PHOTONS, None] * along_y)[:, :, None] * along_x[:, None, :]
    return light.reshape(len(parameters), width**2) + parameters[:, BACKGROUND, None]


def light_and_slopes(parameters: Float64Array, width: int) -> tuple[Float64Array, Float64Array]:
    """Return the light of :func:`expected_light` and its derivatives by the parameters.

    Returns
    -------
    light : ndarray, shape (n, width · width)
    slopes : ndarray, shape (n, 5, width · width)
    """
    along_x = profile(parameters[:, X], parameters[:, SIGMA], width)
    along_y = profile(parameters[:, Y], parameters[:, SIGMA], width)
    photons = parameters[:, PHOTONS, None]
    slopes = np.empty((len(parameters), PARAMETERS, width, width))
    slopes[:, X] = _outer(photons * along_y.light, along_x.by_position)
    slopes[:, Y] = _outer(photons * along_y.by_position, along_x.light)
    slopes[:, PHOTONS] = _outer(along_y.light, along_x.light)
    slopes[:, BACKGROUND] = 1.0
    slopes[:, SIGMA] = _outer(photons * along_y.light, along_x.by_sigma)
    slopes[:, SIGMA] += _outer(photons * along_y.by_sigma, along_x.light)
    flat = slopes.reshape(len(parameters), PARAMETERS, width**2)
    light = parameters[:, PHOTONS, None] * flat[:, PHOTONS] + parameters[:, BACKGROUND, None]
    return light, flat


def elongation_slopes(parameters: Float64Array, width: int) -> Float64Array:
    """Return how the light changes when the spot is no longer round, shape (n, 2, width · width).

    The first is by a variance that is added along x and taken away along y, the second by the
    covariance of x and y, both in camera pixels squared.
    """
    along_x = profile(parameters[:, X], parameters[:, SIGMA], width)
    along_y = profile(parameters[:, Y], parameters[:, SIGMA], width)
    half = 0.5 * parameters[:, PHOTONS, None]
    along = _outer(half * along_y.light, along_x.curvature)
    along -= _outer(half * along_y.curvature, along_x.light)
    across = _outer(2 * half * along_y.by_position, along_x.by_position)
    return np.stack([along, across], axis=1).reshape(len(parameters), 2, width**2)


def _outer(along_y: Float64Array, along_x: Float64Array) -> Float64Array:
    return along_y[:, :, None] * along_x[:, None, :]
