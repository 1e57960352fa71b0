"""How far localizations are from the truth, and how far they say that they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Int64Array
from deepstorm.evaluation.matching import match_emitters
from deepstorm.structures import Localizations

MEDIAN_OVER_SIGMA = float(np.sqrt(2 * np.log(2)))
"""Median distance from the centre of a round Gaussian, in standard deviations per axis."""


@dataclass(frozen=True, slots=True)
class PositionErrors:
    """Errors of the localizations that have a true emitter; per axis, not lateral.

    Parameters
    ----------
    rms_nm : float or None
        Root mean square error along one axis, x and y pooled: the lateral RMSE over √2. ``None``
        where nothing is matched.
    stated_rms_nm : float or None
        Root mean square of ``uncertainty_nm``, which is per axis as well; ``None`` where the table
        does not state it.
    core_nm : float or None
        Standard deviation along one axis of the Gaussian that has the median lateral error: without
        the far tail, which emitters taken for one another make.
    truth_index : ndarray of int64, shape (n,)
        Rows of the truth that were matched.
    """

    rms_nm: float | None
    stated_rms_nm: float | None
    core_nm: float | None
    truth_index: Int64Array

    @property
    def actual_over_stated(self) -> float | None:
        """Actual over stated error: 1 where the stated one is right, above 1 where it flatters."""
        if self.rms_nm is None or not self.stated_rms_nm:
            return None
        return self.rms_nm / self.stated_rms_nm


def position_errors(
    predicted: Localizations, truth: Localizations, radius_nm: float = 100.0
) -> PositionErrors:
    """Compare the positions of matched emitters with the truth.

    Parameters
    ----------
    predicted, truth : Localizations
        Either may be empty.
    radius_nm : float
        Largest distance of a matched pair. It bounds the error that can be seen, and wrong pairs
        within it count: choose it well above the error, and well below the distance of emitters.

    Raises
    ------
    InputError
        As :func:`deepstorm.evaluation.matching.match_emitters`.
    """
    matches = match_emitters(predicted, truth, radius_nm)
    if len(matches) == 0:
        return PositionErrors(None, None, None, matches.truth_index)
    stated = None
    if predicted.uncertainty_nm is not None:
        stated = root_mean_square(predicted.uncertainty_nm[matches.predicted_index])
    rms_nm = root_mean_square(matches.distance_nm) / np.sqrt(2)
    core_nm = float(np.median(matches.distance_nm)) / MEDIAN_OVER_SIGMA
    return PositionErrors(float(rms_nm), stated, core_nm, matches.truth_index)


def root_mean_square(values: npt.ArrayLike) -> float:
    """Return the root of the mean square of some values."""
    return float(np.sqrt(np.mean(np.asarray(values, np.float64) ** 2)))
