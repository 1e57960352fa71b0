from __future__ import annotations

import numpy as np
import pytest

from deepstorm.evaluation.emitters import score_emitters
from deepstorm.structures import Localizations


def uniform(rng: np.random.Generator, n: int, side_nm: float, frames: int) -> Localizations:
    x_nm, y_nm = rng.uniform(0, side_nm, (2, n))
    return Localizations(rng.integers(0, frames, n), x_nm, y_nm)


def grid(n_frames: int, spacing_nm: float = 1000.0) -> Localizations:
    """Ten by ten emitters in each frame, far from one another."""
    x_nm, y_nm = np.meshgrid(np.arange(10.0), np.arange(10.0))
    return Localizations(
        np.repeat(np.arange(n_frames), 100),
        np.tile(x_nm.ravel() * spacing_nm, n_frames),
        np.tile(y_nm.ravel() * spacing_nm, n_frames),
    )


EMPTY = Localizations.concatenate([])


def test_rates_of_a_hand_counted_case() -> None:
    truth = grid(1)
    # 60 of 100 found, 20 invented.
    found, invented = truth.select(slice(60)), truth.select(slice(20)).shifted(500, 0)
    scores = score_emitters(Localizations.concatenate([found, invented]), truth)
    assert (scores.true_positives, scores.false_positives, scores.false_negatives) == (60, 20, 40)
    assert scores.jaccard == pytest.approx(60 / 120)
    assert scores.precision == pytest.approx(60 / 80)
    assert scores.recall == pytest.approx(60 / 100)
    assert scores.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert scores.radius_nm == 100.0


def test_rmse_and_bias_recover_known_jitter() -> None:
    truth = grid(100)
    rng = np.random.default_rng(1)
    dx_nm, dy_nm = rng.normal(0, 10, (2, len(truth)))
    predicted = Localizations(truth.frame, truth.x_nm + dx_nm + 6.25, truth.y_nm + dy_nm - 3.0)
    scores = score_emitters(predicted, truth)
    assert scores.rmse_nm == pytest.approx(np.sqrt(2 * 10**2 + 6.25**2 + 3**2), rel=0.02)
    assert scores.dx_nm == pytest.approx(6.25, abs=0.4)
    assert scores.dy_nm == pytest.approx(-3.0, abs=0.4)


def test_single_precision_positions_score_the_same() -> None:
    truth = uniform(np.random.default_rng(2), 500, 6000, 5)
    rounded = Localizations(
        truth.frame, truth.x_nm.astype(np.float32), truth.y_nm.astype(np.float32)
    )
    scores = score_emitters(rounded, truth)
    assert scores.jaccard == 1.0
    assert scores.rmse_nm is not None
    assert scores.rmse_nm < 0.001


@pytest.mark.parametrize(
    ("predicted", "truth", "rate"),
    [(EMPTY, EMPTY, 1.0), (EMPTY, grid(2), 0.0), (grid(2), EMPTY, 0)],
)
def test_empty_tables_score_without_nan(
    predicted: Localizations, truth: Localizations, rate: float
) -> None:
    scores = score_emitters(predicted, truth)
    assert scores.jaccard == scores.precision == scores.recall == scores.f1 == rate
    assert scores.rmse_nm is scores.dx_nm is scores.dy_nm is None
    assert scores.true_positives == 0
    assert scores.false_positives == len(predicted)
    assert scores.false_negatives == len(truth)


def test_chance_is_unknown_with_a_single_frame() -> None:
    assert score_emitters(grid(1), grid(1)).chance_jaccard is None
    assert score_emitters(EMPTY, EMPTY).chance_jaccard is None


def test_chance_of_sparse_uniform_emitters_is_near_theory() -> None:
    # Far apart, a prediction matches by chance when a true emitter of another frame happens to lie
    # in its circle: probability p = 1 - exp(-density * pi * r^2), less the rare conflicts.
    per_frame, frames, side_nm, radius_nm = 40, 200, 20_000.0, 300.0
    truth = uniform(np.random.default_rng(3), per_frame * frames, side_nm, frames)
    scores = score_emitters(truth, truth, radius_nm)
    p = 1 - np.exp(-per_frame / side_nm**2 * np.pi * radius_nm**2)
    assert scores.jaccard == 1.0
    assert scores.chance_jaccard == pytest.approx(p / (2 - p), rel=0.12)


def test_chance_does_not_meet_an_emitter_that_stays_on() -> None:
    # Every emitter shines for three frames in a row; a shift by one frame would find two of three.
    first = uniform(np.random.default_rng(4), 400, 30_000.0, 37)
    truth = Localizations.concatenate(
        [Localizations(first.frame + k, first.x_nm, first.y_nm) for k in range(3)]
    )
    chance = score_emitters(truth, truth, 50.0).chance_jaccard
    assert chance is not None
    assert chance < 0.05


def test_chance_on_the_reference_movie_is_a_third(microtubules_truth: Localizations) -> None:
    scores = score_emitters(microtubules_truth, microtubules_truth, 100.0)
    assert scores.jaccard == 1.0
    assert scores.chance_jaccard == pytest.approx(0.33, abs=0.01)
