from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from deepstorm.training.course.schedules import CosineSchedule, PlateauSchedule, Schedule

COSINE = CosineSchedule(peak_rate=1e-3, final_rate=1e-5, warmup_steps=10)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 1e-4),
        (4, 5e-4),
        (9, 1e-3),
        (10, 1e-3),
        (60, 1e-5 + (1e-3 - 1e-5) / 2),
        (110, 1e-5),
        (500, 1e-5),
    ],
)
def test_cosine_at_known_steps(step: int, rate: float) -> None:
    assert COSINE.rate(step, 110, []) == pytest.approx(rate, rel=1e-12)


def test_cosine_rises_then_falls() -> None:
    rates = [COSINE.rate(step, 110, []) for step in range(111)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


@given(st.integers(0, 10_000), st.integers(1, 10_000), st.integers(1, 10_000))
def test_cosine_stays_within_its_limits(step: int, steps: int, warmup: int) -> None:
    schedule = CosineSchedule(peak_rate=1e-3, final_rate=1e-5, warmup_steps=warmup)
    assert 0 < schedule.rate(step, steps, []) <= 1e-3
    if step >= warmup:
        assert schedule.rate(step, steps, []) >= 1e-5 * (1 - 1e-12)


@pytest.mark.parametrize("steps", [5, 10, 30, 49])
def test_a_short_training_rises_for_a_fifth_and_falls_to_the_end(steps: int) -> None:
    rates = [COSINE.rate(step, steps, []) for step in range(steps + 1)]
    assert rates[max(steps // 5, 1) - 1] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(1e-5)


PLATEAU = PlateauSchedule(initial_rate=1e-3, minimum_rate=5e-5, factor=0.1, patience=3)


@pytest.mark.parametrize(
    ("losses", "rate"),
    [
        ([], 1e-3),
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.5], 1e-3),
        ([5.0, 5.0, 5.0], 1e-3),
        ([5.0, 5.0, 5.0, 5.0], 1e-4),
        ([5.0, 6.0, 7.0, 5.5], 1e-4),
        # An improvement starts the count again.
        ([5.0, 6.0, 6.0, 4.0, 6.0, 6.0], 1e-3),
        ([5.0, 6.0, 6.0, 4.0, 6.0, 6.0, 6.0], 1e-4),
        # So does a lower rate; the third plateau is held at the minimum.
        ([5.0] * 6, 1e-4),
        ([5.0] * 7, 5e-5),
        ([5.0] * 30, 5e-5),
        ([float("nan")] * 3, 1e-4),
    ],
)
def test_plateau_after_known_losses(losses: list[float], rate: float) -> None:
    assert PLATEAU.rate(0, 100, losses) == pytest.approx(rate)


@given(st.lists(st.floats(0, 10)), st.floats(1e-6, 1.0), st.floats(1e-6, 1.0))
def test_plateau_never_raises_the_rate(losses: list[float], initial: float, minimum: float) -> None:
    schedule = PlateauSchedule(initial_rate=initial, minimum_rate=minimum, patience=2)
    rates = [schedule.rate(0, 1, losses[:n]) for n in range(len(losses) + 1)]
    assert rates[0] == initial
    assert all(after <= before for before, after in itertools.pairwise(rates))
    assert rates[-1] >= min(initial, minimum)


def test_cooldown_ends_a_short_training_at_the_lowest_rate() -> None:
    short = PlateauSchedule(initial_rate=1e-3, minimum_rate=5e-5, cooldown=0.5)
    rates = [short.rate(step, 100, []) for step in range(101)]
    assert rates[:51] == [1e-3] * 51
    assert rates[75] == pytest.approx((1e-3 + 5e-5) / 2)
    assert rates[100] == pytest.approx(5e-5)
    # Where plateaus have lowered the rate to the minimum, nothing is left to do.
    assert short.rate(90, 100, [1.0] * 30) == pytest.approx(5e-5)
    assert short.rate(90, 100, []) < short.rate(60, 100, []) < 1e-3


@pytest.mark.parametrize("schedule", [COSINE, PLATEAU])
def test_schedules_survive_json(schedule: Schedule) -> None:
    adapter: TypeAdapter[Schedule] = TypeAdapter(Schedule)
    assert adapter.validate_json(schedule.model_dump_json()) == schedule


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "linear"},
        {"kind": "cosine", "peak_rate": 0},
        {"kind": "cosine", "warmup_steps": 0},
        {"kind": "plateau", "factor": 1.0},
        {"kind": "plateau", "patience": 0},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Schedule).validate_python(values)
