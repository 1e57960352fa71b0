from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.api.training_result import TrainingResult, training_folder

PLACE = Path("a")
SCORES = st.lists(st.floats(0, 1e6), min_size=1, max_size=6).map(tuple)


@pytest.mark.parametrize(
    ("before", "after", "improved"),
    [
        ((50.0, 60.0, 70.0), (49.0, 58.9, 68.8), True),
        ((50.0, 60.0, 70.0), (49.0, 61.0, 69.5), False),
        ((50.0, 60.0, 70.0), (50.0, 60.0, 70.0), False),
        ((0.5,), (0.4999,), True),
        ((0.5,), (0.5,), False),
        ((), (0.5,), True),
    ],
)
def test_a_gain_within_chance_is_none(
    before: tuple[float, ...], after: tuple[float, ...], improved: bool
) -> None:
    assert TrainingResult(PLACE, PLACE, "loss", before, after).improved is improved


@given(SCORES)
def test_the_same_scores_are_no_gain(scores: tuple[float, ...]) -> None:
    assert not TrainingResult(PLACE, PLACE, "loss", scores, scores).improved


@given(SCORES, st.floats(1e-3, 1.0))
def test_of_two_networks_at_most_one_is_better(scores: tuple[float, ...], share: float) -> None:
    less = tuple(share * score for score in scores)
    there = TrainingResult(PLACE, PLACE, "loss", scores, less).improved
    back = TrainingResult(PLACE, PLACE, "loss", less, scores).improved
    assert not (there and back)


def test_figures_name_what_was_compared_and_the_reports() -> None:
    result = TrainingResult(
        Path("n.safetensors"), Path("runs/x"), "loss", (2.0, 4.0), (1.0, 2.0), {"movies": 2}
    )
    assert result.figures() == {
        "network": "n.safetensors",
        "measure": "loss",
        "before": 3.0,
        "after": 1.5,
        "improved": True,
        "movies": 2,
        "losses": str(Path("runs/x/losses.csv")),
        "report": str(Path("runs/x/report.html")),
    }
    assert TrainingResult(PLACE, PLACE, "loss", (), (1.0,)).figures()["before"] is None
    assert "before" not in TrainingResult(PLACE, PLACE).figures()


def test_a_training_lives_where_it_is_told_to() -> None:
    assert training_folder(None, "tiny") == Path("runs/tiny")
    assert training_folder("here", "tiny") == Path("here")
