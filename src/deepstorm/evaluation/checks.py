"""What every score asks of the numbers it is given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Float64Array
from deepstorm.errors import InputError


def checked_image(image: npt.ArrayLike, name: str) -> Float64Array:
    """Return an image as float64 after checking that it is two-dimensional and finite.

    Parameters
    ----------
    image : array_like, shape (y, x)
    name : str
        What the message calls it.

    Raises
    ------
    InputError
        If it is not.
    """
    array = np.asarray(image, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            f"the {name} has shape {array.shape}; expected two axes (y, x), neither of them empty"
        )
    if not np.isfinite(array).all():
        raise InputError(
            f"the {name} has values that are not finite (NaN or infinite); replace them first"
        )
    return array


def check_length(length_nm: float, name: str, *, zero_allowed: bool = False) -> None:
    """Check that a length is finite and above 0, or 0 where that is allowed.

    Raises
    ------
    InputError
        If it is not.
    """
    large_enough = length_nm >= 0 if zero_allowed else length_nm > 0
    if not (np.isfinite(length_nm) and large_enough):
        expected = "0 or more" if zero_allowed else "a number above 0"
        raise InputError(f"the {name} is {length_nm} nm; give {expected}")
