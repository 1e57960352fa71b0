"""Whether spots have the shape that the PSF says: wider, narrower, or longer one way.

Around emitters that are alone the residuals are compared with what small changes of the spot would
add: the derivatives of a Gaussian by its variances along the axes. The sums are those of one step
of Newton's method from the expected shape, for all emitters together.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import erf

from deepstorm.arrays import BoolArray, Float32Array, Float64Array, FloatArray
from deepstorm.reconstruction.goodness import PATCH_PX, FitSums

# No other emitter is nearer to one that is alone than so many standard deviations of the PSF.
ALONE_SIGMA = 5.0
# Spots are compared as far as this from their middle.
REACH_SIGMA = 3.0
# An emitter has at least so many times the noise under its spot, or its place is too uncertain.
LEAST_SIGNAL = 15.0
# Emitters of a frame that are looked at, at most: so many are enough.
MOST_SPOTS = 64


def add_spots(
    sums: FitSums,
    residual: Float32Array,
    weight: FloatArray,
    x_px: FloatArray,
    y_px: FloatArray,
    photons: FloatArray,
    sigma_px: float,
) -> None:
    """Add the spots of a frame to sums.

    Parameters
    ----------
    sums : FitSums
    residual : ndarray of float32, shape (y, x)
        The frame less what is expected of it, in photons.
    weight : ndarray, shape (y, x)
        One over the expected variance; 0 for pixels that are left out.
    x_px, y_px : ndarray, shape (n,)
        Places of all emitters of the frame, in camera pixels from the outer corner.
    photons : ndarray, shape (n,)
    sigma_px : float
    """
    reach = max(math.ceil(REACH_SIGMA * sigma_px), PATCH_PX // 2)
    alone = _alone(x_px, y_px, sigma_px) & _inside(x_px, y_px, reach, residual.shape)
    at_y, at_x = (np.floor(place[alone]).astype(np.int64) for place in (y_px, x_px))
    ground = weight[at_y, at_x]
    light = photons[alone]
    # The weight at the middle has the emitter's own light in the variance: the peak over its noise.
    is_bright = light * np.sqrt(ground) > LEAST_SIGNAL * 2 * math.sqrt(math.pi) * sigma_px
    chosen = np.flatnonzero(alone)[is_bright][:MOST_SPOTS]
    if not len(chosen):
        return
    at_y, at_x, light = at_y[is_bright][:MOST_SPOTS], at_x[is_bright][:MOST_SPOTS], photons[chosen]
    offset = np.arange(-reach, reach + 1)
    rows, columns = at_y[:, None] + offset, at_x[:, None] + offset
    around = residual[rows[:, :, None], columns[:, None, :]]
    weights = weight[rows[:, :, None], columns[:, None, :]]
    shapes = _shapes(
        y_px[chosen] - at_y + reach, x_px[chosen] - at_x + reach, light, sigma_px, 2 * reach + 1
    )
    flat = shapes.reshape(*shapes.shape[:2], -1)
    weighted = flat * weights.reshape(len(chosen), 1, -1)
    gradient = np.einsum("nsp,np->ns", weighted, around.reshape(len(chosen), -1))
    sums.gradient += gradient.sum(axis=0)
    sums.scatter += gradient.T @ gradient
    sums.information += np.einsum("nsp,ntp->st", weighted, flat)
    middle = slice(reach - PATCH_PX // 2, reach + PATCH_PX // 2 + 1)
    sums.patch += around[:, middle, middle].sum(axis=0, dtype=np.float64)
    sums.spots += (len(chosen), float(light.sum()))


def _alone(x_px: FloatArray, y_px: FloatArray, sigma_px: float) -> BoolArray:
    """Tell which emitters have no other one near them."""
    alone = np.ones(len(x_px), bool)
    if len(x_px) > 1:
        pairs = cKDTree(np.column_stack([x_px, y_px])).query_pairs(
            ALONE_SIGMA * sigma_px, output_type="ndarray"
        )
        alone[pairs.ravel()] = False
    return alone


def _inside(
    x_px: FloatArray, y_px: FloatArray, reach: int, shape: tuple[int, ...]
) -> BoolArray:
    """Tell which emitters have so many pixels of the field on all sides."""
    inside = np.ones(len(x_px), bool)
    for place, length in zip((y_px, x_px), shape, strict=True):
        inside &= (np.floor(place) >= reach) & (np.floor(place) < length - reach)
    return inside


def _shapes(
    y_px: FloatArray, x_px: FloatArray, photons: FloatArray, sigma_px: float, width: int
) -> Float64Array:
    """Return what changes of each spot add to it, (spot, shape, y, x), in photons."""
    (y0, y1, y2), (x0, x1, x2) = (_profiles(place, sigma_px, width) for place in (y_px, x_px))
    along_y, along_x = y2[:, :, None] * x0[:, None, :], y0[:, :, None] * x2[:, None, :]
    # A Gaussian's derivative by its variance is half of the second one by its place.
    of_light = [
        y0[:, :, None] * x0[:, None, :],
        (along_y + along_x) / 2,
        (along_x - along_y) / 2,
        y1[:, :, None] * x1[:, None, :],
    ]
    ground = np.ones_like(of_light[0])
    return np.stack([*(photons[:, None, None] * each for each in of_light), ground], axis=1)


def _profiles(
    place_px: FloatArray, sigma_px: float, width: int
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Integrate a Gaussian and its first and second derivative by its place over pixels."""
    edges = (np.arange(width + 1) - place_px[:, None]) / sigma_px
    density = np.exp(-(edges**2) / 2) / (math.sqrt(2 * math.pi) * sigma_px)
    cumulative = erf(edges / math.sqrt(2)) / 2
    first = -np.diff(density, axis=1)
    second = np.diff(-edges / sigma_px * density, axis=1)
    return np.diff(cumulative, axis=1), first, second
