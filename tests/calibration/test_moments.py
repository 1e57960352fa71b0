from __future__ import annotations

import math

import pytest

from deepstorm.calibration.moments import brighter_by_moments, spread_factor
from deepstorm.structures import Estimate


def third_cumulant(photons: float, spread: float, error: float = 0.02) -> Estimate:
    """Return E[N³] / E[N²] of a gamma distribution."""
    value = photons * (1 + 2 * spread**2)
    return Estimate(value, error * value)


@pytest.mark.parametrize("photons", [50.0, 3000.0])
def test_what_agrees_is_kept(photons: float) -> None:
    squared = Estimate(photons * (1 + 0.3**2), 0.05 * photons)
    assert brighter_by_moments(squared, third_cumulant(photons, 0.3), 1.0) is None
    assert brighter_by_moments(squared, Estimate(1.0, math.inf), 1.0) is None


@pytest.mark.parametrize("times", [1.25, 2.0, 30.0])
def test_moments_decide_where_the_background_makes_emitters_dim(times: float) -> None:
    true = 1000 * (1 + 0.3**2)
    found = brighter_by_moments(Estimate(true / times, 1.0), third_cumulant(1000, 0.3), 1.0)
    assert found is not None
    assert abs(found.value - true) < 2 * found.uncertainty
    assert found.value > true / times
    if times > 1.5:
        assert found.value == pytest.approx(true, rel=0.01)


@pytest.mark.parametrize("spread", [0.15, 0.4, 0.9])
def test_the_spread_of_brightness(spread: float) -> None:
    squared = Estimate(500 * (1 + spread**2), 5.0)
    found = spread_factor(third_cumulant(500, spread, 0.01), squared, 1.0)
    assert found.value == pytest.approx(1 + spread**2, rel=0.08)


def test_an_unknown_cumulant_leaves_the_usual_spread() -> None:
    found = spread_factor(Estimate(0.0, math.inf), Estimate(500.0, 5.0), 1.0)
    assert 1.05 < found.value < 1.35
    assert found.uncertainty > 0.05
