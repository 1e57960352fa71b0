from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstorm.reports.curves import draw_losses, loss_figure
from deepstorm.reports.training import (
    ExampleScores,
    ShownExample,
    TrainingStatus,
    in_words,
    write_report,
)
from deepstorm.training.course.loss_log import Validation, log_losses
from deepstorm.training.network import TrainingSettings

UNDER_WAY = TrainingStatus(step=20, steps=0, used_s=3723, ending="", device="cpu", processes=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step, loss in ((10, 3.0), (20, 1.0), (30, 2.0)):
        log_losses(tmp_path, Validation(step, 2 * loss, loss, 1e-3, 0.5))
    return tmp_path


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3723, "1 h 02 min 03 s")]
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_curves_are_those_of_the_table(folder: Path) -> None:
    losses, rates = loss_figure(folder).axes
    drawn = {line.get_label(): line for line in losses.lines}
    assert list(drawn["validation"].get_ydata()) == [3.0, 1.0, 2.0]
    assert list(drawn["training"].get_ydata()) == [6.0, 2.0, 4.0]
    assert list(drawn["best: 1"].get_xdata()) == [20]
    assert list(rates.lines[0].get_xdata()) == [10, 20, 30]


def test_losses_that_are_not_positive_are_drawn(tmp_path: Path) -> None:
    log_losses(tmp_path, Validation(1, 1.0, -1.0, 1e-3, 0.5))
    assert draw_losses(tmp_path).stat().st_size > 1000


def test_the_page_tells_what_is_known(folder: Path) -> None:
    image = np.eye(4, dtype=np.float32)
    scored = ExampleScores([ShownExample(image, image, image)], {"score": 0.25}, "first & best")
    settings = TrainingSettings(name="mine", seed=77)
    text = write_report(folder, settings, UNDER_WAY, scored, {"sigma_px": (1, 2)}).read_text(
        encoding="utf-8"
    )
    for part in (
        "Training of mine",
        "under way",
        "<td>20</td>",
        "1 h 02 min 03 s",
        "1 at step 20",
        "first &amp; best",
        "<td>0.25</td>",
        "1 to 2",
        "<td>seed</td><td>77</td>",
        "<td>processes</td><td>2</td>",
    ):
        assert part in text, part
    assert text.count("<img") == 3


def test_a_page_without_scores_leaves_their_sections_out(folder: Path) -> None:
    path = write_report(folder, TrainingSettings(), UNDER_WAY, ExampleScores(), {})
    text = path.read_text(encoding="utf-8")
    assert "Scores" not in text
    assert "Held-back" not in text
    assert "no ranges" in text
