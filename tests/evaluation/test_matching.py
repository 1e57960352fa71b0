from __future__ import annotations

import time
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.evaluation import matching
from deepstorm.evaluation.matching import match_emitters
from deepstorm.structures import Localizations


def table(*rows: tuple[int, float, float]) -> Localizations:
    columns = np.array(rows, dtype=float).reshape(-1, 3)
    return Localizations(columns[:, 0].astype(int), columns[:, 1], columns[:, 2])


def uniform(rng: np.random.Generator, n: int, side_nm: float, frames: int = 1) -> Localizations:
    x_nm, y_nm = rng.uniform(0, side_nm, (2, n))
    return Localizations(rng.integers(0, frames, n), x_nm, y_nm)


def best_by_brute_force(a: Localizations, b: Localizations, radius: float) -> tuple[int, float]:
    """Try every one-to-one assignment: most pairs first, then the smallest sum of distances."""
    if len(a) > len(b):
        a, b = b, a
    distance = np.hypot(a.x_nm[:, None] - b.x_nm, a.y_nm[:, None] - b.y_nm)
    allowed = (distance <= radius) & (a.frame[:, None] == b.frame)
    best = (0, 0.0)
    for columns in permutations(range(len(b)), len(a)):
        pairs = [(i, j) for i, j in enumerate(columns) if allowed[i, j]]
        best = min(best, (-len(pairs), sum(distance[pair] for pair in pairs)))
    return -best[0], best[1]


# Coordinates on a coarse grid, so that ties and distances equal to the radius are common.
emitters = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5)), max_size=6
).map(lambda rows: table(*rows))


@pytest.mark.parametrize("dense_cells", [250_000, 0], ids=["dense", "sparse"])
@settings(max_examples=150, deadline=None)
@given(predicted=emitters, truth=emitters, radius=st.sampled_from([1.0, 2.0, 2.5, 10.0]))
def test_it_finds_the_optimum_of_brute_force(
    dense_cells: int, predicted: Localizations, truth: Localizations, radius: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_DENSE_CELLS", dense_cells)
        matches = match_emitters(predicted, truth, radius)
    i, j = matches.predicted_index, matches.truth_index
    assert len(set(i.tolist())) == len(set(j.tolist())) == len(matches)
    np.testing.assert_array_equal(predicted.frame[i], truth.frame[j])
    distance = np.hypot(predicted.x_nm[i] - truth.x_nm[j], predicted.y_nm[i] - truth.y_nm[j])
    np.testing.assert_allclose(matches.distance_nm, distance)
    assert (distance <= radius).all()
    n_best, sum_best = best_by_brute_force(predicted, truth, radius)
    assert len(matches) == n_best
    assert distance.sum() == pytest.approx(sum_best)


def test_the_number_of_pairs_comes_before_the_distance() -> None:
    # A greedy pairing takes (50, 51) at 1 nm and leaves the other two 150 nm apart.
    predicted, truth = table((0, 50, 0), (0, 150, 0)), table((0, 51, 0), (0, 0, 0))
    matches = match_emitters(predicted, truth, 100.0)
    assert list(zip(matches.predicted_index, matches.truth_index, strict=True)) == [(0, 1), (1, 0)]


def test_an_emitter_of_another_frame_is_no_match() -> None:
    assert len(match_emitters(table((3, 10, 10)), table((4, 10, 10)), 100.0)) == 0


def test_pairs_come_in_the_order_of_the_predictions_whatever_the_order_of_frames() -> None:
    truth = uniform(np.random.default_rng(1), 300, 2000, frames=20)
    shuffled = truth.select(np.random.default_rng(2).permutation(300))
    matches = match_emitters(shuffled, truth, 5.0)
    np.testing.assert_array_equal(matches.predicted_index, np.arange(300))
    np.testing.assert_array_equal(truth.x_nm[matches.truth_index], shuffled.x_nm)


def test_blocks_of_frames_do_not_change_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    predicted, truth = uniform(rng, 400, 1500, 15), uniform(rng, 300, 1500, 15)
    whole = match_emitters(predicted, truth, 120.0)
    monkeypatch.setattr(matching, "_BLOCK_SIZE", 50)
    parts = match_emitters(predicted, truth, 120.0)
    assert len(whole) > 100
    np.testing.assert_array_equal(whole.predicted_index, parts.predicted_index)
    np.testing.assert_array_equal(whole.truth_index, parts.truth_index)


@pytest.mark.parametrize(("n_predicted", "n_true"), [(0, 0), (0, 2), (2, 0)])
def test_empty_tables_have_no_pairs(n_predicted: int, n_true: int) -> None:
    rows = [(0, 1.0, 1.0), (1, 2.0, 2.0)]
    matches = match_emitters(table(*rows[:n_predicted]), table(*rows[:n_true]), 100.0)
    assert len(matches) == 0
    assert matches.predicted_index.dtype == matches.truth_index.dtype == np.int64


def test_twenty_thousand_emitters_in_one_frame_need_no_full_matrix() -> None:
    rng = np.random.default_rng(4)
    truth = uniform(rng, 20_000, 20_000)
    jitter_nm = rng.normal(0, 5, (2, 20_000))
    predicted = Localizations(truth.frame, truth.x_nm + jitter_nm[0], truth.y_nm + jitter_nm[1])
    start = time.perf_counter()
    matches = match_emitters(predicted, truth, 100.0)
    assert time.perf_counter() - start < 30
    assert len(matches) > 19_900


def test_the_reference_movie_takes_seconds(microtubules_truth: Localizations) -> None:
    rng = np.random.default_rng(5)
    dx_nm, dy_nm = rng.normal(0, 20, (2, len(microtubules_truth)))
    truth = microtubules_truth
    predicted = Localizations(truth.frame, truth.x_nm + dx_nm, truth.y_nm + dy_nm)
    start = time.perf_counter()
    matches = match_emitters(predicted, truth, 100.0)
    assert time.perf_counter() - start < 20
    assert len(matches) > 0.99 * len(truth)


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf")])
def test_the_radius_must_be_a_positive_number(radius: float) -> None:
    with pytest.raises(InputError, match="matching radius"):
        match_emitters(table((0, 1, 1)), table((0, 1, 1)), radius)


def test_positions_must_be_finite() -> None:
    good, bad = table((0, 1, 1)), table((0, 1, float("nan")))
    with pytest.raises(InputError, match="predicted emitters has positions that are not finite"):
        match_emitters(bad, good, 10.0)
    with pytest.raises(InputError, match="true emitters has positions that are not finite"):
        match_emitters(good, bad, 10.0)


def test_a_hopeless_density_is_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching, "_MAX_PAIRS", 99)
    crowd = uniform(np.random.default_rng(6), 10, 10.0)
    with pytest.raises(InputError, match=r"100 pairs .* use a smaller radius"):
        match_emitters(crowd, crowd, 100.0)
