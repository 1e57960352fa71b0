"""How many emitters are found, and how many of those found are none (paper §3, Fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import BoolArray
from deepstorm.evaluation.matching import match_emitters, near_emitters
from deepstorm.structures import Localizations


@dataclass(frozen=True, slots=True)
class DetectionRates:
    """The two figures of the paper's Fig. 7, by two ways of counting, and what they are made of.

    Paired one to one, a prediction stands for one emitter at most, and two that pass for one count
    as one found. By nearness alone, an emitter is found if any prediction is near, and a prediction
    is right if any emitter is.

    Parameters
    ----------
    detection_rate : float or None
        True emitters that are paired with a prediction over all true ones, from 0 to 1; ``None``
        without true ones.
    false_positive_rate : float or None
        Predictions that are not paired over all predictions, from 0 to 1; ``None`` without
        predictions.
    near_detection_rate, near_false_positive_rate : float or None
        The same by nearness alone.
    found, true, false_positives, predicted : int
        Emitters counted, paired one to one.
    radius_nm : float
        Largest distance at which a prediction stands for an emitter.
    """

    detection_rate: float | None
    false_positive_rate: float | None
    near_detection_rate: float | None
    near_false_positive_rate: float | None
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

    The paper does not say how near a prediction must be, whether one may stand for several
    emitters ("for nearby emitters, Deep-STORM produces a slightly asymmetric blob"), nor what false
    positives are compared with; here they are a part of the predictions, and both ways of counting
    are given.

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
    near_predicted, near_true = near_emitters(predicted, truth, radius_nm)
    return DetectionRates(
        detection_rate=_share(found, true),
        false_positive_rate=_share(all_predicted - right, all_predicted),
        near_detection_rate=_share(int((counted_true & near_true).sum()), true),
        near_false_positive_rate=_share(int((counted & ~near_predicted).sum()), all_predicted),
        found=found,
        true=true,
        false_positives=all_predicted - right,
        predicted=all_predicted,
        radius_nm=float(radius_nm),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _inside(table: Localizations, field_nm: tuple[float, float, float, float] | None) -> BoolArray:
    """Return which emitters are counted, shape (n,)."""
    if field_nm is None:
        return np.ones(len(table), bool)
    left, top, right, bottom = field_nm
    inside: BoolArray = (table.x_nm >= left) & (table.x_nm < right)
    return inside & (table.y_nm >= top) & (table.y_nm < bottom)
