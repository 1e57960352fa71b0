"""The losses of a training: a table, and curves in TensorBoard where they are asked for."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepstorm.errors import MissingExtraError
from deepstorm.files import written_whole

LOSSES_NAME = "losses.csv"
LOSSES_HEADER = ["step", "training_loss", "validation_loss", "rate"]
TENSORBOARD_FOLDER = "tensorboard"


@dataclass(frozen=True, slots=True)
class Validation:
    """What a validation found, and where the training stood.

    Parameters
    ----------
    step : int
        Steps done.
    training_loss : float
        Mean since the last validation.
    validation_loss : float
    rate : float
        Learning rate.
    elapsed_s : float
        Since this process began to train.
    """

    step: int
    training_loss: float
    validation_loss: float
    rate: float
    elapsed_s: float


def log_losses(folder: Path, validation: Validation) -> None:
    """Add a validation to the table in a training's folder.

    Lines that a killed run left from this step on are replaced.
    """
    row = [validation.step, validation.training_loss, validation.validation_loss, validation.rate]
    path = folder / LOSSES_NAME
    before = [kept for kept in _read_losses(path) if int(kept[0]) < validation.step]
    with (
        written_whole(path, overwrite=True) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([LOSSES_HEADER, *before, row])


def read_losses(folder: Path) -> list[tuple[int, float, float, float]]:
    """Return (step, training loss, validation loss, rate) of each validation so far."""
    rows = _read_losses(folder / LOSSES_NAME)
    return [(int(row[0]), float(row[1]), float(row[2]), float(row[3])) for row in rows]


def _read_losses(path: Path) -> Iterator[list[str]]:
    """Yield the complete lines of a table of losses, without its header."""
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.reader(file):
            if len(row) == len(LOSSES_HEADER) and row[0].isdecimal():
                yield row


def check_tensorboard() -> None:
    """Make sure that curves can be written for TensorBoard, before any work is done.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise MissingExtraError("curves for TensorBoard", "tensorboard") from None


def log_to_tensorboard(folder: Path, validation: Validation) -> None:
    """Add a validation to the curves, hiding what a killed run left from this step on.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed.
    """
    check_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=validation.step) as writer:
        writer.add_scalar("loss/training", validation.training_loss, validation.step)
        writer.add_scalar("loss/validation", validation.validation_loss, validation.step)
        writer.add_scalar("learning rate", validation.rate, validation.step)
