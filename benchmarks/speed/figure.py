"""A picture of speed: against NMSE, and by frame size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from comparing import Comparison, Result
from entries import DEFAULT, PAPER, Entry

from deepstorm.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = {
    (PAPER, "keras"): "#000000",
    (PAPER, "unfolded"): "#999999",
    (PAPER, "torch"): "#56B4E9",
    (PAPER, "openvino"): "#0072B2",
    (PAPER, "onnx"): "#009E73",
    (DEFAULT, "torch"): "#E69F00",
    (DEFAULT, "openvino"): "#D55E00",
    (DEFAULT, "onnx"): "#CC79A7",
}
MARKERS = {"cpu": "o", "cuda": "s"}
HATCHES = {"f32": "", "bf16": "////", "f16": "////", "int8": "xxxx"}


def draw(comparison: Comparison, path: Path) -> None:
    """Draw speed against NMSE, where it is known, and bars of speed by frame size.

    Parameters
    ----------
    comparison : Comparison
    path : Path
        PNG, replaced if there.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    scatter, bars = figure.subplots(1, 2, width_ratios=(2, 3))
    _draw_against_nmse(scatter, comparison)
    _draw_by_size(bars, comparison)
    handles, labels = bars.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    with written_whole(path, overwrite=True) as partial:
        figure.savefig(partial, format="png", dpi=110)


def _draw_against_nmse(panel: Axes, comparison: Comparison) -> None:
    scored = False
    for result in comparison.of(64):
        nmse = result.scores.get("registered_nmse_percent")
        if nmse is not None and result.frames_per_s is not None:
            scored, entry = True, result.entry
            colour = COLOURS[entry.network, entry.engine]
            inside = colour if entry.precision == "f32" else "white"
            marker = MARKERS[entry.device]
            panel.plot(nmse, result.frames_per_s, marker, color=colour, mfc=inside, mew=2, ms=9)
    panel.set(
        xlabel="registered NMSE, movie of the paper's Fig. 4 [%]",
        ylabel="frames/s of 64 × 64 pixels",
        yscale="log",
    )
    if (published := comparison.published.get("registered_nmse_percent")) is not None:
        panel.axvline(published, color="black", ls=":", lw=1)
        panel.annotate(
            "the authors' image",
            (published, 0.03),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="right",
            fontsize="small",
        )
    if not scored:
        panel.text(0.5, 0.5, "NMSE was not measured", transform=panel.transAxes, ha="center")
    panel.margins(0.15)
    _plain_numbers(panel)
    panel.grid(alpha=0.3)


def _draw_by_size(panel: Axes, comparison: Comparison) -> None:
    sides = list(dict.fromkeys(result.side_px for result in comparison.results))
    measured = list(dict.fromkeys(result.entry for result in comparison.results))
    width = 0.85 / len(measured)
    for index, entry in enumerate(measured):
        offset = (index - (len(measured) - 1) / 2) * width
        panel.bar(
            [place + offset for place in range(len(sides))],
            [_speed(comparison.of(side), entry) for side in sides],
            width * 0.92,
            color=COLOURS[entry.network, entry.engine],
            hatch=HATCHES[entry.precision],
            edgecolor="white",
            label=entry.name,
        )
    panel.set_xticks(range(len(sides)), [f"{side} × {side}" for side in sides])
    speeds = [result.frames_per_s for result in comparison.results if result.frames_per_s]
    panel.set(yscale="log", ylabel="frames/s", xlabel="camera pixels")
    if speeds:
        panel.set_ylim(min(speeds) / 2, max(speeds) * 2)
    _plain_numbers(panel)
    panel.grid(axis="y", alpha=0.3)


def _speed(results: list[Result], entry: Entry) -> float:
    found = next((r.frames_per_s for r in results if r.entry == entry), None)
    return found if found is not None else float("nan")


def _plain_numbers(panel: Axes) -> None:
    """Label a logarithmic axis by 1, 2, 5, 10, and nothing between."""
    from matplotlib.ticker import LogLocator, NullLocator

    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_locator(NullLocator())
