"""Emitters as pixels, and as images of spikes."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from deepstorm.arrays import Float32Array, Int64Array, IntArray
from deepstorm.structures import Localizations


def emitter_pixels(emitters: Localizations, pixel_size_nm: float) -> Int64Array:
    """Return (frame, row, column) of the pixel of each emitter, shape (n, 3)."""
    frame, y, x = emitters.frame, emitters.y_nm / pixel_size_nm, emitters.x_nm / pixel_size_nm
    return np.column_stack([frame, np.floor(y), np.floor(x)]).astype(np.int64)


def counted(pixels: IntArray, shape: tuple[int, ...]) -> Float32Array:
    """Count how often each pixel of an image is named.

    Parameters
    ----------
    pixels : ndarray of int, shape (n, axes)
        Those outside are left out.
    shape : tuple of int
        Of the image.

    Returns
    -------
    ndarray of float32, shape ``shape``
    """
    inside = np.all((pixels >= 0) & (pixels < np.array(shape)), axis=1)
    flat = np.ravel_multi_index(tuple(pixels[inside].T), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float32)


def spike_images(
    emitters: Localizations, shape: tuple[int, int, int], pixel_size_nm: float
) -> Float32Array:
    """Count emitters per super-resolution pixel of images of a shape (frame, y, x)."""
    return counted(emitter_pixels(emitters, pixel_size_nm), shape)


class RegionTruth:
    """The emitters of square regions of a movie, as super-resolution pixels of the region.

    Parameters
    ----------
    emitters : Localizations
    pixel_size_nm : float
        Size of a camera pixel.
    upsampling : int
        Super-resolution pixels per camera pixel.
    side_px : int
        Of a region, in camera pixels.
    """

    def __init__(
        self, emitters: Localizations, pixel_size_nm: float, upsampling: int, side_px: int
    ) -> None:
        self.side = side_px * upsampling
        self._emitters = emitters
        self._pixel_size_nm = pixel_size_nm / upsampling
        self._upsampling = upsampling

    @cached_property
    def _by_frame(self) -> dict[int, Int64Array]:
        """Pixels (row, column) in the field of the emitters of each frame, shape (n, 2)."""
        pixels = emitter_pixels(self._emitters, self._pixel_size_nm)
        pixels = pixels[np.argsort(pixels[:, 0], kind="stable")]
        frames, first = np.unique(pixels[:, 0], return_index=True)
        return dict(zip(frames.tolist(), np.split(pixels[:, 1:], first)[1:], strict=True))

    def pixels(self, corner: IntArray) -> Int64Array:
        """Return (row, column) of the emitters of one region, shape (n, 2).

        Parameters
        ----------
        corner : ndarray of int, shape (3,)
            Frame, top and left of the region, in camera pixels.
        """
        here = self._by_frame.get(int(corner[0]), np.empty((0, 2), np.int64))
        here = here - corner[1:] * self._upsampling
        return here[np.all((here >= 0) & (here < self.side), axis=1)]

    def spikes(self, pixels: Int64Array) -> Float32Array:
        """Count pixels of a region, shape (y, x)."""
        return counted(pixels, (self.side, self.side))
