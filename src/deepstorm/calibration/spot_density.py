"""Spots of one shape at any position: a smooth density of light, integrated over camera pixels.

The density is a sum of quadratic B-splines on cells finer than a camera pixel, within a circle.
Their integral over a camera pixel is known exactly, so that fitting them to the pixels of many
spots, each at its own place between pixels, yields the light before pixels integrate it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import LinearOperator, cg

from deepstorm.arrays import BoolArray, Float64Array, FloatArray, IntArray

CELLS_PER_PX = 4
# Camera pixels around the circle in which there is background alone.
MARGIN_PX = 2
# Second difference of neighbouring coefficients that is expected of a PSF, as a part of the peak
# of one of 1.1 camera pixels' width; it tells how much roughness is noise.
ROUGHNESS = 0.06 / (2 * np.pi * 1.1**2 * CELLS_PER_PX**2)
DIFFERENCE = 0.05


@dataclass(frozen=True, slots=True)
class SpotImages:
    """Windows cut from frames, and where in them the emitter is.

    Parameters
    ----------
    windows : ndarray of float64, shape (n, side, side)
        Camera counts.
    x_px, y_px : ndarray of float64, shape (n,)
        Position from the outer corner of the window's middle pixel.
    """

    windows: Float64Array
    x_px: Float64Array
    y_px: Float64Array

    def __len__(self) -> int:
        return len(self.windows)

    def select(self, keep: BoolArray) -> SpotImages:
        """Return those that a mask keeps."""
        return SpotImages(self.windows[keep], self.x_px[keep], self.y_px[keep])

    def moved(self, dx_px: FloatArray | float, dy_px: FloatArray | float) -> SpotImages:
        """Return a copy whose positions are moved."""
        return SpotImages(self.windows, self.x_px + dx_px, self.y_px + dy_px)


@dataclass(frozen=True, slots=True)
class SpotModel:
    """The cells on which a density of light is given.

    Parameters
    ----------
    radius_px : int
        Radius of the circle in camera pixels.
    """

    radius_px: int

    @property
    def reach_px(self) -> int:
        """Pixels of a window on either side of its middle one."""
        return self.radius_px + MARGIN_PX

    @property
    def cells(self) -> int:
        """Cells along a side of the density."""
        return 2 * self.radius_px * CELLS_PER_PX

    @property
    def offset(self) -> Float64Array:
        """Middles of the cells from the emitter, in camera pixels."""
        return (np.arange(self.cells) + 0.5) / CELLS_PER_PX - self.radius_px

    @property
    def distance(self) -> Float64Array:
        """Distance of each cell from the emitter in camera pixels, shape (y, x)."""
        found: Float64Array = np.hypot(self.offset[:, None], self.offset)
        return found

    def light(self, density: Float64Array, spots: SpotImages) -> Float64Array:
        """Return the light of an emitter of unit light in each window, shape (n, side, side)."""
        padded = np.append(density.ravel(), 0.0)
        row, weight = self._taps(spots)
        side = 2 * self.reach_px + 1
        found: Float64Array = np.sum(padded[row] * weight, axis=-1).reshape(-1, side, side)
        return found

    def slopes(self, density: Float64Array, spots: SpotImages) -> tuple[Float64Array, Float64Array]:
        """Return how the light changes as an emitter moves along x and along y, per pixel."""
        d = DIFFERENCE
        ahead, behind = (self.light(density, spots.moved(s, 0)) for s in (d, -d))
        below, above = (self.light(density, spots.moved(0, s)) for s in (d, -d))
        return (ahead - behind) / (2 * d), (below - above) / (2 * d)

    def fit(
        self,
        spots: SpotImages,
        photons: Float64Array,
        background: Float64Array,
        start: Float64Array,
    ) -> Float64Array:
        """Fit the density to spots of known light and background.

        Parameters
        ----------
        spots : SpotImages
        photons, background : ndarray, shape (n,)
        start : ndarray, shape (y, x)
            A first guess.

        Returns
        -------
        ndarray, shape (y, x)
            Coefficients, zero outside the circle.
        """
        row, weight = self._taps(spots)
        pixels = row.shape[1]
        weight = weight * photons[:, None, None]
        ends = np.arange(len(spots) * pixels + 1) * row.shape[2]
        size = (len(spots) * pixels, self.cells**2 + 1)
        matrix = sparse.csr_array((weight.ravel(), row.ravel(), ends), shape=size)[:, :-1]
        seen = (spots.windows - background[:, None, None]).ravel()
        left = seen - matrix @ start.ravel()
        noise = float(np.median(np.abs(left))) * 1.4826
        stiffness = (noise / ROUGHNESS) ** 2
        inside = (self.distance < self.radius_px).astype(np.float64)

        def normal(vector: Float64Array) -> Float64Array:
            density = vector.reshape(inside.shape) * inside
            whole = (matrix.T @ (matrix @ density.ravel())).reshape(inside.shape)
            found: Float64Array = ((whole + stiffness * _bending(density)) * inside).ravel()
            return found

        length = self.cells**2
        operator = LinearOperator((length, length), matvec=normal, dtype=np.float64)
        right = ((matrix.T @ seen).reshape(inside.shape) * inside).ravel()
        solved, _ = cg(operator, right, x0=(start * inside).ravel(), rtol=1e-4, maxiter=60)
        return np.asarray(solved).reshape(inside.shape) * inside

    def _taps(self, spots: SpotImages) -> tuple[IntArray, Float64Array]:
        """Return the cells of each pixel and their weights, shape (n, pixel, cells).

        A cell beyond the density has the number after the last.
        """
        y, y_weight = self._taps_along(spots.y_px)
        x, x_weight = self._taps_along(spots.x_px)
        outside = (y[:, :, None, :, None] < 0) | (x[:, None, :, None, :] < 0)
        place = y[:, :, None, :, None] * self.cells + x[:, None, :, None, :]
        weight = y_weight[:, None, None, :, None] * x_weight[:, None, None, None, :]
        row = np.where(outside, self.cells**2, place)
        pixels, taps = row.shape[1] ** 2, row.shape[3] ** 2
        shape = (len(spots), pixels, taps)
        return row.reshape(shape), np.broadcast_to(weight, row.shape).reshape(shape)

    def _taps_along(self, position_px: Float64Array) -> tuple[IntArray, Float64Array]:
        """Return cells, shape (n, pixel, tap), −1 outside, and weights, shape (n, tap)."""
        pixel = np.arange(-self.reach_px, self.reach_px + 1)
        start = (self.radius_px - position_px) * CELLS_PER_PX
        first = np.floor(start).astype(np.int64)
        tap = np.arange(-1, CELLS_PER_PX + 2)
        cell = first[:, None, None] + CELLS_PER_PX * pixel[:, None] + tap
        middle = tap + 0.5 - (start - first)[:, None]
        weight = _summed(CELLS_PER_PX - middle) - _summed(-middle)
        return np.where((cell >= 0) & (cell < self.cells), cell, -1), weight


def _summed(t: Float64Array) -> Float64Array:
    """Return the integral of the quadratic B-spline around 0 up to ``t``, in cells."""
    near = 0.5 + 0.75 * t - t**3 / 3
    far = (1.5 - np.abs(t)).clip(min=0) ** 3 / 6
    found: Float64Array = np.where(np.abs(t) <= 0.5, near, np.where(t < 0, far, 1 - far))
    return found


def _bending(density: Float64Array) -> Float64Array:
    """Return the gradient of half the sum of squared second differences."""
    found = np.zeros_like(density)
    for axis in (0, 1):
        second = ndimage.correlate1d(density, [1.0, -2.0, 1.0], axis, mode="constant")
        found += ndimage.correlate1d(second, [1.0, -2.0, 1.0], axis, mode="constant")
    return found


def in_cells(density: Float64Array) -> Float64Array:
    """Return the light in each cell of a density given by its coefficients."""
    found = density
    for axis in (0, 1):
        found = ndimage.correlate1d(found, [1 / 6, 4 / 6, 1 / 6], axis, mode="constant")
    return found
