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
ALONE_SIGMA = 4.5
# Its middle is at least so far from the border of the field.
INSIDE_SIGMA = 2.0
# Spots are compared as far as this from their middle.
REACH_SIGMA = 3.0
# An emitter has at least so many times the noise under its spot, or its place is too uncertain.
LEAST_SIGNAL = 7.0
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
    eligible = _alone(x_px, y_px, sigma_px) & _inside(x_px, y_px, sigma_px, residual.shape)
    at_y, at_x = (np.floor(place).astype(np.int64) for place in (y_px, x_px))
    at_y, at_x = np.minimum(at_y, residual.shape[0] - 1), np.minimum(at_x, residual.shape[1] - 1)
    # The weight at the middle has the emitter's own light in the variance: the peak over its noise.
    signal = photons * np.sqrt(weight[at_y, at_x]) / (2 * math.sqrt(math.pi) * sigma_px)
    chosen = np.flatnonzero(eligible & (signal > LEAST_SIGNAL))[:MOST_SPOTS]
    if not len(chosen):
        return
    at_y, at_x, light = at_y[chosen], at_x[chosen], photons[chosen]
    # Pixels beyond the border have no weight.
    residual, weight = (np.pad(image, reach) for image in (residual, weight))
    offset = np.arange(-reach, reach + 1)
    rows, columns = at_y[:, None] + reach + offset, at_x[:, None] + reach + offset
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
    x_px: FloatArray, y_px: FloatArray, sigma_px: float, shape: tuple[int, ...]
) -> BoolArray:
    """Tell which emitters have their spots inside the field."""
    margin = INSIDE_SIGMA * sigma_px
    inside = np.ones(len(x_px), bool)
    for place, length in zip((y_px, x_px), shape, strict=True):
        inside &= (place >= margin) & (place <= length - margin)
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
