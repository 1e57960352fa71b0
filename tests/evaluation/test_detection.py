from __future__ import annotations

import numpy as np
import pytest

from deepstorm.errors import InputError
from deepstorm.evaluation.detection import detection_rates
from deepstorm.structures import Localizations


def table(*places: tuple[int, float, float]) -> Localizations:
    frame, x, y = np.array(places, float).reshape(-1, 3).T
    return Localizations(frame.astype(int), x, y)


TRUTH = table((0, 100, 100), (0, 500, 500), (1, 100, 100), (1, 900, 100))


def test_rates_are_of_true_and_of_predicted_emitters() -> None:
    predicted = table((0, 130, 100), (0, 700, 500), (1, 100, 140), (1, 110, 90), (1, 901, 100))
    rates = detection_rates(predicted, TRUTH, radius_nm=50)
    assert (rates.found, rates.true) == (3, 4)
    assert (rates.false_positives, rates.predicted) == (2, 5)
    assert rates.detection_rate == pytest.approx(0.75)
    assert rates.false_positive_rate == pytest.approx(0.4)


def test_by_nearness_alone_one_prediction_finds_two_emitters() -> None:
    pair = table((0, 100, 100), (0, 140, 100), (0, 900, 900), (1, 120, 100))
    rates = detection_rates(table((0, 120, 100), (0, 128, 100), (0, 600, 600)), pair, 30)
    assert rates.near_detection_rate == pytest.approx(2 / 4)
    assert rates.near_false_positive_rate == pytest.approx(1 / 3)
    merged = detection_rates(table((0, 120, 100)), pair, 30)
    assert (merged.near_detection_rate, merged.detection_rate) == (0.5, 0.25)
    assert (merged.near_false_positive_rate, merged.false_positive_rate) == (0, 0)


def test_the_border_is_not_counted() -> None:
    predicted = table((0, 130, 100), (0, 1000, 500), (1, 880, 100))
    field_nm = (0.0, 0.0, 890.0, 600.0)
    rates = detection_rates(predicted, TRUTH, 50, field_nm)
    # The emitter at 900 is beyond; its prediction at 880 stands for it and is no false positive.
    assert (rates.found, rates.true) == (1, 3)
    assert (rates.false_positives, rates.predicted) == (0, 2)


def test_without_emitters_there_are_no_rates() -> None:
    none = table()
    assert detection_rates(none, TRUTH).detection_rate == 0
    assert detection_rates(none, TRUTH).false_positive_rate is None
    assert detection_rates(TRUTH, none).detection_rate is None
    assert detection_rates(TRUTH, none).false_positive_rate == 1


def test_the_radius_is_a_length() -> None:
    with pytest.raises(InputError, match="radius"):
        detection_rates(TRUTH, TRUTH, 0)
