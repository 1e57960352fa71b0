"""From columns of a table to a record of localizations, checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array, Int64Array
from deepstorm.errors import InputError
from deepstorm.structures import Localizations

_MAX_FRAME = 2**31
_MAX_POSITION_NM = 1e9
_REQUIRED = {"frame": "frame", "x_nm": "x", "y_nm": "y"}


def localizations_from_columns(
    columns: Mapping[str, AnyArray],
    *,
    first_frame: int,
    name: str,
    where: Callable[[int], str],
) -> Localizations:
    """Make a record of the columns that were found in a file.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,)
        By the field names of :class:`~deepstorm.structures.Localizations`; ``frame`` as it stands
        in the file. Optional columns without a single value are left out.
    first_frame : int
        The number that the format gives to the first frame, 0 or 1.
    name : str
        The file, for messages.
    where : callable
        Says where the entry of an index stands.

    Raises
    ------
    InputError
        If a position is missing or not finite, or a frame is not a whole number from
        ``first_frame`` on.
    """
    missing = [label for column, label in _REQUIRED.items() if column not in columns]
    if missing:
        raise InputError(
            f"'{name}' has no column for {' and '.join(missing)}; expected at least the frame, "
            "x and y of every localization"
        )
    known = {column: _as_float(values) for column, values in columns.items()}
    known = {column: v for column, v in known.items() if column in _REQUIRED or _has_values(v)}
    for column in {"x_nm", "y_nm", "z_nm"} & known.keys():
        _check_positions(known[column], column[0], where)
    frame = _frames(known.pop("frame"), first_frame, where)
    return Localizations(frame=frame, **known)


def _as_float(values: AnyArray) -> Float64Array:
    return np.ascontiguousarray(values, dtype=np.float64)


def _has_values(values: Float64Array) -> bool:
    return len(values) == 0 or not bool(np.isnan(values).all())


def _check_positions(values: Float64Array, axis: str, where: Callable[[int], str]) -> None:
    credible = np.abs(values) <= _MAX_POSITION_NM  # False for NaN
    if not credible.all():
        row = int(np.argmin(credible))
        raise InputError(f"{where(row)}: {axis} is {values[row]:g} nm, which is not a position")


def _frames(values: Float64Array, first_frame: int, where: Callable[[int], str]) -> Int64Array:
    with np.errstate(invalid="ignore"):
        whole = np.floor(values) == values
    valid = whole & (values >= first_frame) & (values < _MAX_FRAME)
    if not valid.all():
        row = int(np.argmin(valid))
        raise InputError(
            f"{where(row)}: the frame is {values[row]:g}; expected a whole number, "
            f"{first_frame} for the first frame"
        )
    return values.astype(np.int64) - first_frame


def lateral(first: AnyArray, second: AnyArray) -> Float64Array:
    """Join what a format gives for x and y separately into one lateral value."""
    with np.errstate(over="ignore"):
        joined: Float64Array = np.hypot(_as_float(first), _as_float(second)) / np.sqrt(2)
    return joined
