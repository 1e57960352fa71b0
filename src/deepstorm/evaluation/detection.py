"""How many emitters are found, and how many of those found are none (paper §3, Fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.evaluation.matching import match_emitters
from deepstorm.structures import BoolArray, Localizations


@dataclass(frozen=True, slots=True)
class DetectionRates:
    """The two figures of the paper's Fig. 7, and what they are made of.

    Parameters
    ----------
    detection_rate : float or None
        True emitters that are found over all true ones, from 0 to 1; ``None`` without true ones.
    false_positive_rate : float or None
        Predictions that are no emitter over all predictions, from 0 to 1; ``None`` without
        predictions.
    found, true, false_positives, predicted : int
        Emitters counted.
    radius_nm : float
        Largest distance at which a prediction stands for an emitter.
    """

    detection_rate: float | None
    false_positive_rate: float | None
    found: int
    true: int
    false_positives: int
    predicted: int
    radius_nm: float


def detection_rates(
    predicted: Localizations,
    truth: Localizations,
    radius_nm: float = 100.0,
    field_nm: tuple[float, float, float, float] | None = None,
) -> DetectionRates:
    """Count what is found and what is made up.

    The paper does not say how near a prediction must be, nor what false positives are compared
    with; here they are a part of the predictions, and predictions and emitters are paired one to
    one.

    Parameters
    ----------
    predicted, truth : Localizations
        Either may be empty.
    radius_nm : float
        Largest distance of a pair in nm, above 0.
    field_nm : (float, float, float, float), optional
        Left, top, right and bottom of what is counted: pairs may reach beyond, so that its border
        neither makes nor hides errors.

    Raises
    ------
    InputError
        As :func:`deepstorm.evaluation.matching.match_emitters`.
    """
    pairs = match_emitters(predicted, truth, radius_nm)
    counted_true, counted = _inside(truth, field_nm), _inside(predicted, field_nm)
    found = int(counted_true[pairs.truth_index].sum())
    right = int(counted[pairs.predicted_index].sum())
    true, all_predicted = int(counted_true.sum()), int(counted.sum())
    return DetectionRates(
        detection_rate=found / true if true else None,
        false_positive_rate=(all_predicted - right) / all_predicted if all_predicted else None,
        found=found,
        true=true,
        false_positives=all_predicted - right,
        predicted=all_predicted,
        radius_nm=float(radius_nm),
    )


def _inside(table: Localizations, field_nm: tuple[float, float, float, float] | None) -> BoolArray:
    """Return which emitters are counted, shape (n,)."""
    if field_nm is None:
        return np.ones(len(table), bool)
    left, top, right, bottom = field_nm
    inside: BoolArray = (table.x_nm >= left) & (table.x_nm < right)
    return inside & (table.y_nm >= top) & (table.y_nm < bottom)
