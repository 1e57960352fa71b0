"""A training's losses and learning rate, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepstorm.reports.panels import Curve, CurvePanel, panels_figure, write_figure
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
    write_figure(path, loss_figure(folder), overwrite=True)
    return path


def loss_figure(folder: Path) -> Figure:
    """Return the losses over the steps, the best validation marked, and the rate below."""
    rows = read_losses(folder)
    steps = [row[0] for row in rows]
    style = "o-" if len(rows) == 1 else "-"  # a single point makes no line
    losses = [
        Curve(steps, [row[1] for row in rows], "training", style, "tab:grey"),
        Curve(steps, [row[2] for row in rows], "validation", style, "tab:blue"),
    ]
    if rows:
        best = min(rows, key=lambda row: row[2])
        losses.append(Curve([best[0]], [best[2]], f"best: {best[2]:.4g}", "D", "tab:red"))
    is_positive = all(min(row[1:3]) > 0 for row in rows)
    rates = Curve(steps, [row[3] for row in rows], "", style, "tab:green")
    panels = [
        CurvePanel("", "", "loss", tuple(losses), "y" if is_positive else "", (), 0.46),
        CurvePanel("", "steps", "rate", (rates,), relative_height=0.17),
    ]
    return panels_figure(panels, 1, width_inch=7.0, share_x=True)
