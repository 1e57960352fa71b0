"""Whether a result adds structure that is not there: pixel grids in tables, clumps in images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Float64Array, Int64Array
from deepstorm.errors import InputError
from deepstorm.evaluation.checks import check_length, checked_image
from deepstorm.structures import Localizations


@dataclass(frozen=True, slots=True)
class PixelHistogram:
    """Where within the camera pixel localizations lie.

    Parameters
    ----------
    x_share, y_share : ndarray of float64, shape (bins,)
        Number in each bin over the mean of all bins: 1 where positions are uniform.
    counting_error : float
        Standard deviation of an entry that is uniform but for the finite number.
    """

    x_share: Float64Array
    y_share: Float64Array
    counting_error: float

    @property
    def largest_deviation(self) -> float:
        """Largest distance of any entry, of x or y, from 1."""
        return float(np.abs(np.concatenate([self.x_share, self.y_share]) - 1).max())


def pixel_histogram(
    localizations: Localizations, pixel_size_nm: float, bins: int = 8
) -> PixelHistogram:
    """Count localizations by their place within the camera pixel.

    Emitters that are anywhere with the same probability must be found at every place within a pixel
    equally often; a network that prefers some places draws a grid. Of 16 uniform entries the
    largest is on average 2.2 counting errors from 1.

    Parameters
    ----------
    localizations : Localizations
        Of a field without structure.
    pixel_size_nm : float
        Size of a camera pixel, above 0.
    bins : int
        Equal parts of a pixel along either axis, at least 2.

    Raises
    ------
    InputError
        If the table is empty, or a size is out of range.
    """
    check_length(pixel_size_nm, "pixel size")
    if bins < 2:
        raise InputError(f"a pixel cannot be divided into {bins} parts; give 2 or more")
    if len(localizations) == 0:
        raise InputError("there are no localizations; nothing can be said about where they lie")
    n = len(localizations)
    x_share, y_share = (
        np.bincount(_part_of_pixel(column, pixel_size_nm, bins), minlength=bins) * bins / n
        for column in (localizations.x_nm, localizations.y_nm)
    )
    return PixelHistogram(x_share, y_share, float(np.sqrt((bins - 1) / n)))


def _part_of_pixel(
    position_nm: npt.NDArray[np.floating], pixel_size_nm: float, bins: int
) -> Int64Array:
    parts = np.floor(np.asarray(position_nm, np.float64) / pixel_size_nm * bins).astype(np.int64)
    within: Int64Array = parts % bins
    return within


def clumping(
    image: npt.ArrayLike, truth: npt.ArrayLike, pixel_size_nm: float, box_nm: float
) -> float:
    """Return how uneven an image's counts in boxes are, relative to those of the truth.

    The figure is the coefficient of variation over square boxes, of the image over that of the
    truth. On a uniform field the truth's is the counting error of its emitters; a result that draws
    them together has more.

    Parameters
    ----------
    image, truth : array_like, shape (y, x)
        Emitters per pixel, on the same grid.
    pixel_size_nm : float
        Size of a pixel, above 0.
    box_nm : float
        Side of a box, a multiple of the pixel size; a rest at the far borders is left out.

    Returns
    -------
    float
        At most 1 where the image has no more structure than the truth.

    Raises
    ------
    InputError
        If the images differ in shape, are blank or smaller than two boxes, the truth has the same
        number everywhere, or the box is no multiple of the pixel size.
    """
    a, b = checked_image(image, "image"), checked_image(truth, "true image")
    check_length(pixel_size_nm, "pixel size")
    check_length(box_nm, "box")
    side = round(box_nm / pixel_size_nm)
    if a.shape != b.shape or side < 1 or not np.isclose(side * pixel_size_nm, box_nm):
        raise InputError(
            f"images of shapes {a.shape} and {b.shape} with pixels of {pixel_size_nm:g} nm cannot "
            f"be compared in boxes of {box_nm:g} nm; give images of one shape and a multiple of "
            "the pixel size"
        )
    expected = _unevenness(_box_sums(b, side), "true image")
    if expected == 0:
        raise InputError("the true image has the same number in every box; give a random field")
    return _unevenness(_box_sums(a, side), "image") / expected


def _box_sums(image: Float64Array, side: int) -> Float64Array:
    height, width = image.shape[0] // side, image.shape[1] // side
    if height * width < 2:
        raise InputError(f"an image of {image.shape} pixels holds no two boxes of {side} pixels")
    cropped = image[: height * side, : width * side]
    sums: Float64Array = cropped.reshape(height, side, width, side).sum(axis=(1, 3))
    return sums


def _unevenness(sums: Float64Array, name: str) -> float:
    mean = float(sums.mean())
    if not mean > 0:
        raise InputError(f"the {name} is blank; there is nothing to compare")
    return float(sums.std()) / mean
