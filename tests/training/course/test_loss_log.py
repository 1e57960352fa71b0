from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from deepstorm.errors import MissingExtraError
from deepstorm.training.course.loss_log import (
    LOSSES_HEADER,
    LOSSES_NAME,
    Validation,
    log_losses,
    log_to_tensorboard,
    read_losses,
)


def at(step: int, loss: float = 1.0) -> Validation:
    return Validation(step, loss, 2 * loss, 1e-3, 0.5)


def rows(folder: Path) -> list[list[str]]:
    with (folder / LOSSES_NAME).open(newline="") as file:
        return list(csv.reader(file))


def test_each_validation_is_a_line(tmp_path: Path) -> None:
    for step in (10, 20):
        log_losses(tmp_path, at(step))
    assert rows(tmp_path) == [
        LOSSES_HEADER,
        ["10", "1.0", "2.0", "0.001"],
        ["20", "1.0", "2.0", "0.001"],
    ]


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    for step, loss in ((10, 1.0), (20, 3.0), (30, 4.0), (20, 2.0)):
        log_losses(tmp_path, at(step, loss))
    assert [row[:2] for row in rows(tmp_path)[1:]] == [["10", "1.0"], ["20", "2.0"]]


def test_a_damaged_line_is_dropped(tmp_path: Path) -> None:
    log_losses(tmp_path, at(10))
    with (tmp_path / LOSSES_NAME).open("a") as file:
        file.write("15,0.")
    log_losses(tmp_path, at(20))
    assert [row[0] for row in rows(tmp_path)[1:]] == ["10", "20"]


def test_curves_are_written_for_tensorboard(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log_to_tensorboard(tmp_path, at(10))
    log_to_tensorboard(tmp_path, at(20, 0.5))
    curves = reading.EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    drawn = [(event.step, event.value) for event in curves.Scalars("loss/validation")]
    assert drawn == [(10, 2.0), (20, 1.0)]


def test_tensorboard_has_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"deepstorm\[tensorboard\]"):
        log_to_tensorboard(tmp_path, at(10))
    assert list(tmp_path.iterdir()) == []


def test_losses_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_losses(tmp_path) == []
    log_losses(tmp_path, at(10, 1 / 3))
    assert read_losses(tmp_path) == [(10, 1 / 3, 2 / 3, 1e-3)]
