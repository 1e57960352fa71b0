"""What frames show where a table says that emitters are."""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deepstorm.arrays import Float32Array, Float64Array, FloatArray, Int64Array
from deepstorm.models.scaling import AnyFrames
from deepstorm.structures import Localizations

# Beyond this many widths of a spot, its surroundings count as background.
SURROUNDINGS = 4.0

AnyPixel = TypeVar("AnyPixel", bound=np.generic)


def spot_response(frames: AnyFrames, sigma_px: float) -> Float32Array:
    """Filter frames so that spots stand out and smooth light does not, shape as ``frames``.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
    sigma_px : float
        Width of a spot; light is averaged over it, and that of the surroundings taken off.
    """
    counts = np.asarray(frames, np.float32)
    near, far = (0, sigma_px, sigma_px), (0, SURROUNDINGS * sigma_px, SURROUNDINGS * sigma_px)
    response: Float32Array = ndimage.gaussian_filter(counts, near)
    response -= ndimage.gaussian_filter(counts, far)
    return response


def values_at(
    frames: Float32Array,
    frame: npt.NDArray[np.integer],
    y_px: FloatArray,
    x_px: FloatArray,
    order: Literal[1, 3] = 1,
) -> Float32Array:
    """Read frames between pixel centres; 0 beyond the frames.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
    frame, y_px, x_px : ndarray
        Of shapes that go together; positions count from the outer corner of the first pixel.
    order : 1 or 3
        Of the splines that interpolate.
    """
    where = np.stack(np.broadcast_arrays(frame, y_px - 0.5, x_px - 0.5))
    return np.asarray(ndimage.map_coordinates(frames, where, order=order), np.float32)


def grid(reach_px: float, step_px: float) -> Float64Array:
    """Return distances along an axis, 0 in their middle."""
    steps = int(np.ceil(reach_px / step_px))
    return step_px * np.arange(-steps, steps + 1, dtype=np.float64)


def spot_images(
    frames: Float32Array,
    emitters: Localizations,
    pixel_size_nm: float,
    offsets_px: Float64Array,
) -> Float32Array:
    """Cut out what is around each emitter, each centred on its own position.

    Parameters
    ----------
    frames : ndarray of float32, shape (frame, y, x)
    emitters : Localizations
    pixel_size_nm : float
        Size of a camera pixel.
    offsets_px : ndarray, shape (k,)
        Distances from the emitter along either axis.

    Returns
    -------
    ndarray of float32, shape (emitter, k, k)
    """
    y = emitters.y_nm[:, None, None] / pixel_size_nm + offsets_px[:, None]
    x = emitters.x_nm[:, None, None] / pixel_size_nm + offsets_px
    # Linear interpolation has its maxima at pixel centres, wherever the spot is.
    return values_at(frames, emitters.frame[:, None, None], y, x, order=3)


def orientation(image: npt.NDArray[AnyPixel], turn: int) -> npt.NDArray[AnyPixel]:
    """Turn an image, of axes (y, x) at its end, into one of its eight orientations.

    Parameters
    ----------
    image : ndarray, shape (..., side, side)
    turn : int
        From 0 to 7: so many quarter turns, and from 4 on a mirror image of that.
    """
    turned = np.rot90(image, turn % 4, axes=(-2, -1))
    return turned[..., ::-1] if turn >= 4 else turned


def oriented_places(places: Int64Array, side: int, turn: int) -> Int64Array:
    """Return where pixels are after :func:`orientation`.

    Parameters
    ----------
    places : ndarray of int, shape (n, 2)
        Pixels (row, column).
    side : int
        Pixels along an axis of the image.
    turn : int
    """
    for _ in range(turn % 4):
        places = np.stack([side - 1 - places[:, 1], places[:, 0]], axis=1)
    return places * (1, -1) + (0, side - 1) if turn >= 4 else places


def asymmetry(images: Float32Array) -> float:
    """Return the part of a mean spot that differs from the mean over its eight orientations.

    What noise alone would give is taken off: two halves of the spots agree on what is lasting.

    Parameters
    ----------
    images : ndarray of float32, shape (emitter, k, k)
        See :func:`spot_images`.
    """
    halves = [images[start::2].mean(axis=0, dtype=np.float64) for start in (0, 1)]
    whole = sum(np.stack([orientation(half, turn) for turn in range(8)]).mean(0) for half in halves)
    uneven = [half - whole / 2 for half in halves]
    lasting = float((uneven[0] * uneven[1]).sum())
    return float(np.sqrt(max(lasting, 0.0) / max(float(np.square(whole / 2).sum()), 1e-30)))
