"""Pictures of curves and profiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report import Row

from deepstorm.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = ("-o", "--s", ":^")
# Profiles of one panel are drawn above each other, this far apart in units of the highest.
STEP = 1.1
PANELS_PER_ROW = 4


def draw_curves(curves: dict[str, list[Row]], headings: Sequence[str], path: Path) -> None:
    """Draw columns of tables over their first figure, one panel for each table.

    Parameters
    ----------
    curves : dict
        By the heading of what goes along x.
    headings : sequence of str
        What goes along y, from 0 to 100.
    path : Path
        PNG, replaced if there.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (axis, rows) in zip(panels, curves.items(), strict=True):
        for name in dict.fromkeys(str(row["network"]) for row in rows):
            own = [row for row in rows if row["network"] == name]
            for heading, line in zip(headings, LINES, strict=False):
                panel.plot(
                    [row[axis] for row in own],
                    [row[heading] for row in own],
                    line,
                    label=f"{name}, {heading}",
                )
        panel.set(xlabel=axis, ylim=(0, 105))
        if "photons" in axis:
            panel.set_xscale("log")
            places = sorted({float(row[axis] or 0) for row in rows})
            panel.set_xticks(places, [f"{place:g}" for place in places])
            panel.set_xticks([], minor=True)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("NMSE [%]")
    panels[0].legend(fontsize="small")
    _save(figure, path)


def draw_profiles(profiles: list[dict[str, Any]], path: Path) -> None:
    """Draw profiles across line pairs: one panel per result, the true lines marked on each.

    Parameters
    ----------
    profiles : list of dict
        With ``network``, ``of``, ``density_per_um2``, ``separation_nm``, ``offset_nm``,
        ``intensity``.
    path : Path
        PNG, replaced if there.
    """
    from matplotlib.figure import Figure

    panels: dict[str, list[dict[str, Any]]] = {}
    for profile in profiles:
        title = f"{profile['network']}\n{profile['of']}, {profile['density_per_um2']} /µm²"
        panels.setdefault(title, []).append(profile)
    tallest = max(len(own) for own in panels.values())
    columns = min(len(panels), PANELS_PER_ROW)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.4 * columns, rows * (1.2 + 0.4 * tallest)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    for panel, (title, own) in zip(axes, panels.items(), strict=False):
        for index, profile in enumerate(own):
            _draw_profile(panel, profile, index * STEP)
        panel.set(xlim=(-100, 100), yticks=[], xlabel="offset [nm]")
        panel.set_title(title, fontsize="small")
    _save(figure, path)


def _draw_profile(panel: Axes, profile: dict[str, Any], base: float) -> None:
    """Draw one profile to a height of 1 above its base, and where the lines are."""
    highest = max(profile["intensity"])
    heights = [base + value / highest for value in profile["intensity"]]
    panel.plot(profile["offset_nm"], heights, lw=1)
    half = profile["separation_nm"] / 2
    panel.plot([-half, half], [base] * 2, "k|", ms=7)
    panel.text(-97, base + 0.12, f"{2 * half:g} nm", fontsize="small")


def _save(figure: Figure, path: Path) -> None:
    with written_whole(path, overwrite=True) as partial:
        figure.savefig(partial, format="png", dpi=110)
