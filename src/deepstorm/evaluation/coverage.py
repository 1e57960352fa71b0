"""Whether two tables are of the same frames and the same field, before they are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.evaluation.matching import match_emitters
from deepstorm.structures import Localizations

# More emitters do not make the comparison of shifts more certain.
_MOST_COMPARED = 50_000
# A shift counts as better only if this many standard errors, and this share, speak for it.
_SURE_SIGMA, _SURE_SHARE = 4.0, 0.05
# So much of a table may lie beyond the ends of the other one.
_MOST_BEYOND = 0.1


def better_frame_shift(
    predicted: Localizations, truth: Localizations, radius_nm: float, shifts: Iterable[int]
) -> tuple[int, int, int] | None:
    """Find a number of frames by which a table is off, if it clearly is.

    Emitters that stay on for several frames match in neighbouring frames as well, but never better
    there than in their own.

    Parameters
    ----------
    predicted, truth : Localizations
    radius_nm : float
        Largest distance of a matched pair.
    shifts : iterable of int
        What might have to be added to the frames of ``predicted``.

    Returns
    -------
    tuple of int, optional
        The best of the shifts, how many pairs it gives, and how many there are without a shift;
        nothing where none is clearly better.

    Raises
    ------
    InputError
        As :func:`~deepstorm.evaluation.matching.match_emitters`.
    """
    predicted, truth = _first_frames(predicted, truth)
    here = len(match_emitters(predicted, truth, radius_nm))
    pairs = {
        shift: len(
            match_emitters(replace(predicted, frame=predicted.frame + shift), truth, radius_nm)
        )
        for shift in shifts
    }
    best = max(pairs, key=pairs.__getitem__)
    gain = pairs[best] - here
    sure = gain > max(_SURE_SIGMA * np.sqrt(pairs[best] + here), _SURE_SHARE * here)
    return (best, pairs[best], here) if sure else None


def _first_frames(
    predicted: Localizations, truth: Localizations
) -> tuple[Localizations, Localizations]:
    """Leave out late frames of long tables."""
    if len(truth) <= _MOST_COMPARED:
        return predicted, truth
    last = np.partition(truth.frame, _MOST_COMPARED)[_MOST_COMPARED]
    return predicted.select(predicted.frame <= last), truth.select(truth.frame <= last)


def shares_beyond(table: Localizations, other: Localizations) -> dict[str, float]:
    """Return how much of a table lies beyond another one, where it is more than chance explains.

    Parameters
    ----------
    table, other : Localizations

    Returns
    -------
    dict
        By ``"frames"`` and ``"field"``, the share of entries before the first or after the last
        frame of the other table, and outside of the rectangle that it covers.
    """
    if not len(table) or not len(other):
        return {}
    # So much may lie beyond the outermost of n random entries.
    tolerated = max(_MOST_BEYOND, 10 / len(other))
    outside = {
        "frames": _outside(table.frame, other.frame),
        "field": _outside(table.x_nm, other.x_nm) | _outside(table.y_nm, other.y_nm),
    }
    shares = {what: float(is_outside.mean()) for what, is_outside in outside.items()}
    return {what: share for what, share in shares.items() if share > tolerated}


def _outside(values: AnyArray, others: AnyArray) -> AnyArray:
    outside: AnyArray = (values < others.min()) | (values > others.max())
    return outside
