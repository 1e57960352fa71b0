"""A training's losses and learning rate, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepstorm.files import written_whole
from deepstorm.training.course.folder import CURVES_NAME
from deepstorm.training.course.loss_log import read_losses

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_losses(folder: Path) -> Path:
    """Draw the losses in a training's folder into ``losses.png`` beside them; return its path.

    Raises
    ------
    InputError
        If the file may not be written.
    """
    path = folder / CURVES_NAME
    with written_whole(path, overwrite=True) as partial:
        loss_figure(folder).savefig(partial, dpi=110)
    return path


def loss_figure(folder: Path) -> Figure:
    """Return the losses over the steps, the best validation marked, and the rate below."""
    from matplotlib.figure import Figure

    rows = read_losses(folder)
    steps = [row[0] for row in rows]
    figure = Figure(figsize=(7.0, 4.4), layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    style = "o-" if len(rows) == 1 else "-"  # a single point makes no line
    losses.plot(steps, [row[1] for row in rows], style, label="training", color="tab:grey")
    losses.plot(steps, [row[2] for row in rows], style, label="validation", color="tab:blue")
    if rows:
        best = min(rows, key=lambda row: row[2])
        losses.plot(best[0], best[2], "*", label=f"best: {best[2]:.4g}", color="tab:red")
    losses.set_ylabel("loss")
    if rows and all(min(row[1:3]) > 0 for row in rows):
        losses.set_yscale("log")
        losses.yaxis.set_major_formatter("{x:.3g}")
        losses.yaxis.set_minor_formatter("{x:.3g}")
    losses.legend()
    rates.plot(steps, [row[3] for row in rows], style, color="tab:green")
    rates.set_ylabel("rate")
    rates.set_xlabel("steps")
    return figure
