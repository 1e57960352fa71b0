"""How well a table of emitters agrees with the true one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepstorm.evaluation.matching import Matches, match_emitters
from deepstorm.structures import Localizations


@dataclass(frozen=True, slots=True)
class EmitterScores:
    """Detection rates and position errors; every figure is finite or ``None``.

    Parameters
    ----------
    jaccard, precision, recall, f1 : float
        TP / (TP + FP + FN), TP / (TP + FP), TP / (TP + FN) and 2 TP / (2 TP + FP + FN), from 0
        to 1. Where both tables are empty all four are 1; where one is, all four are 0.
    chance_jaccard : float or None
        The Jaccard index against the true emitters of other frames: what the structure alone
        gives, without any knowledge of the single frame. ``None`` with fewer than two frames.
    rmse_nm : float or None
        Root mean square of the lateral distance (x and y together) over the true positives in nm;
        ``None`` where there are none.
    dx_nm, dy_nm : float or None
        Mean of predicted − true position over the true positives in nm; ``None`` where there are
        none. A value near half a pixel betrays another origin convention.
    true_positives, false_positives, false_negatives : int
        Matched pairs, unmatched predictions, unmatched true emitters.
    radius_nm : float
        Largest distance of a matched pair in nm.
    """

    jaccard: float
    precision: float
    recall: float
    f1: float
    chance_jaccard: float | None
    rmse_nm: float | None
    dx_nm: float | None
    dy_nm: float | None
    true_positives: int
    false_positives: int
    false_negatives: int
    radius_nm: float


def score_emitters(
    predicted: Localizations, truth: Localizations, radius_nm: float = 100.0
) -> EmitterScores:
    """Score predicted emitters against the true ones.

    On a dense structure many emitters match by chance, so that ``chance_jaccard`` belongs beside
    ``jaccard`` wherever it is printed. It is computed by giving each frame the true emitters of
    the frame that is half the movie away, cyclically: far enough for an emitter that stays on
    over several frames not to meet itself.

    Parameters
    ----------
    predicted, truth : Localizations
        Either may be empty.
    radius_nm : float
        Largest distance of a matched pair in nm, above 0.

    Raises
    ------
    InputError
        As :func:`deepstorm.evaluation.matching.match_emitters`.
    """
    matches = match_emitters(predicted, truth, radius_nm)
    found, n_predicted, n_true = len(matches), len(predicted), len(truth)
    dx_nm, dy_nm = _bias_nm(matches, predicted, truth)
    return EmitterScores(
        jaccard=_jaccard(found, n_predicted, n_true),
        precision=_share(found, n_predicted, n_true == 0),
        recall=_share(found, n_true, n_predicted == 0),
        f1=_share(2 * found, n_predicted + n_true, True),
        chance_jaccard=_chance_jaccard(predicted, truth, radius_nm),
        rmse_nm=float(np.sqrt(np.mean(matches.distance_nm**2))) if found else None,
        dx_nm=dx_nm,
        dy_nm=dy_nm,
        true_positives=found,
        false_positives=n_predicted - found,
        false_negatives=n_true - found,
        radius_nm=float(radius_nm),
    )


def _share(part: int, whole: int, perfect_if_none: bool) -> float:
    return part / whole if whole else float(perfect_if_none)


def _jaccard(found: int, n_predicted: int, n_true: int) -> float:
    return _share(found, n_predicted + n_true - found, True)


def _bias_nm(
    matches: Matches, predicted: Localizations, truth: Localizations
) -> tuple[float | None, float | None]:
    if len(matches) == 0:
        return None, None
    i, j = matches.predicted_index, matches.truth_index
    return (
        float(np.mean(predicted.x_nm[i] - truth.x_nm[j], dtype=np.float64)),
        float(np.mean(predicted.y_nm[i] - truth.y_nm[j], dtype=np.float64)),
    )


def _chance_jaccard(
    predicted: Localizations, truth: Localizations, radius_nm: float
) -> float | None:
    frames = np.unique(np.concatenate([predicted.frame, truth.frame]))
    if len(frames) < 2:
        return None
    rank = np.searchsorted(frames, truth.frame)
    elsewhere = replace(truth, frame=frames[(rank + len(frames) // 2) % len(frames)])
    found = len(match_emitters(predicted, elsewhere, radius_nm))
    return _jaccard(found, len(predicted), len(truth))
