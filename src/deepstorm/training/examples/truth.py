"""Emitters as images of spikes."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.structures import Localizations


def spike_images(
    emitters: Localizations, shape: tuple[int, int, int], pixel_size_nm: float
) -> Float32Array:
    """Count emitters per frame and super-resolution pixel.

    Parameters
    ----------
    emitters : Localizations
        Those outside the field or the frames are left out.
    shape : tuple of int
        (frame, y, x) of the result, in super-resolution pixels.
    pixel_size_nm : float
        Size of a super-resolution pixel.

    Returns
    -------
    ndarray of float32, shape ``shape``
    """
    index = np.stack(
        [
            np.asarray(emitters.frame),
            np.floor(emitters.y_nm / pixel_size_nm).astype(np.int64),
            np.floor(emitters.x_nm / pixel_size_nm).astype(np.int64),
        ]
    )
    inside = np.all((index >= 0) & (index < np.array(shape)[:, None]), axis=0)
    flat = np.ravel_multi_index(tuple(index[:, inside]), shape)
    return np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float32)
