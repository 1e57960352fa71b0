from __future__ import annotations

from collections.abc import Callable

from contest import interleaved, planned
from hypothesis import given, settings
from hypothesis import strategies as st

MOVIES = (361, 5000)


def test_movies_are_measured_where_they_fit() -> None:
    assert planned(0.01, MOVIES, budget_s=20, repeats=5, batch=4) == {361: 5}
    assert planned(0.003, MOVIES, budget_s=20, repeats=5, batch=4) == {361: 5, 5000: 1}
    assert planned(0.03, MOVIES, budget_s=20, repeats=5, batch=4) == {361: 1, 132: 5}
    assert planned(0.5, MOVIES, budget_s=20, repeats=5, batch=1) == {8: 5}
    assert planned(30.0, MOVIES, budget_s=20, repeats=5, batch=1) == {1: 1}


@settings(deadline=None)  # other work on the machine
@given(
    st.floats(1e-5, 100),
    st.floats(0.1, 1000),
    st.integers(1, 9),
    st.sampled_from((1, 4, 16)),
)
def test_plans_keep_to_the_budget(
    seconds_per_frame: float, budget_s: float, repeats: int, batch: int
) -> None:
    plan = planned(seconds_per_frame, MOVIES, budget_s, repeats, batch)
    for frames, times in plan.items():
        assert 1 <= times <= repeats
        within = frames * times * seconds_per_frame <= budget_s * (1 + 1e-9)
        assert within or (frames, times) == (batch, 1)
        assert frames in MOVIES or frames % batch == 0
    wanted = repeats in plan.values()
    assert wanted or batch * repeats * seconds_per_frame > budget_s * (1 - 1e-9)


def test_tasks_take_turns_and_failed_ones_end() -> None:
    done: list[str] = []

    def task(name: str, fails_at: int | None = None) -> Callable[[], float | None]:
        def run() -> float | None:
            done.append(name)
            return None if done.count(name) == fails_at else float(len(done))

        return run

    tasks = {"a": (3, task("a")), "b": (1, task("b")), "c": (3, task("c", fails_at=2))}
    found = interleaved(tasks)
    assert done == ["a", "b", "c", "a", "c", "a"]
    assert found == {"a": [1.0, 4.0, 6.0], "b": [2.0], "c": [3.0]}
    assert interleaved({}) == {}
