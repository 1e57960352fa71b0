"""How fast networks predict, by runtime and frame size; and how near that comes to the roof."""

import math
from functools import cache

import contest
from contest import DEFAULT, DENSITY_PER_UM2, ORIGINAL, OURS, PAPER, PIXEL_NM, SCORES, Run
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from workers import asked

from report import Table, published, row, save_figure

# The network is the same if outputs differ by no more than this part of the largest.
LARGEST_DIFFERENCE = 1e-4
ENTRY = "network | runtime | precision"
SPEED = (
    "frames × runs | frames/s | spread [%] | times the original | emitters/s | camera megapixels/s"
)
SAME = "weights | largest difference over the largest value | at most | the same network"
ROOF = "device | precision | GMAC/s | library | matrix side"
COUNT = "network | frame | folded [GMAC] | unfolded [GMAC] | left out [%]"
SHARE = f"{ENTRY} | frame | GMAC/frame | GMAC/s | of the roof [%]"
TABLE1 = {
    64: "361 frames: CEL0 18677 s, FALCON 1465 s (GPU 122), Deep-STORM 123 s (GPU 4)",
    128: "500 frames: CEL0 175200 s, FALCON 10177 s (GPU 434), Deep-STORM 715 s (GPU 27)",
}
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


def measure(run: Run) -> list[Table]:
    """Measure all networks in all runtimes at all frame sizes; draw them if a folder was named."""
    comparison = contest.compared(run)
    tables = [_table(run, comparison, side_px) for side_px in run.sides_px]
    if run.original:
        found = comparison.difference
        same = None if found is None else str(found <= LARGEST_DIFFERENCE).lower()
        note = "Predictions of Keras, with the weights handed over, against ours in PyTorch."
        rows = [row(SAME, run.paper, found, LARGEST_DIFFERENCE, same)]
        tables.append(Table("The paper's network in Keras and here", note, rows))
    if run.pictures is not None:
        figure = Figure(figsize=(11, 4.8), layout="constrained")
        scatter, bars = figure.subplots(1, 2, width_ratios=(2, 3))
        _draw_against_nmse(scatter, comparison)
        _draw_by_size(bars, comparison, run.sides_px)
        handles, labels = bars.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
        save_figure(figure, run.pictures / "speed.png")
    return tables


def _entry(result):
    return result.entry.network, result.entry.runtime, result.entry.precision


def _table(run, comparison, side_px):
    rows, details = [], {}
    results = [result for result in comparison.results if result.side_px == side_px]
    original = next((r.frames_per_s for r in results if r.entry == ORIGINAL), None)
    emitters = DENSITY_PER_UM2 * (side_px * PIXEL_NM / 1000) ** 2
    for result in results:
        cells, rate = row(ENTRY, *_entry(result)), result.rate
        seconds = {timed.frames: list(timed.seconds) for timed in result.times}
        details[", ".join(cells.values())] = {"failure": result.failure, "seconds": seconds}
        rows.append(cells)
        if rate is None:
            cells["frames × runs"] = result.failure or "did not run"
        else:
            speed, runs = rate.frames_per_s, f"{rate.frames} × {len(rate.seconds)}"
            times = speed / original if original is not None else None
            rates = speed * emitters, speed * side_px**2 / 1e6
            cells |= row(SPEED, runs, speed, rate.spread_percent, times, *rates)
            medians = {timed.frames: timed.median_s for timed in result.times}
            whole = {f"{frames} frames [s]": medians.get(frames) for frames in run.movies(side_px)}
            cells |= whole | {"memory [MB]": result.peak_mb}
        if side_px == 64:
            cells |= row("NMSE [%] | registered [%]", *map(result.scores.get, SCORES))
    note = (
        f"Scaled frames in memory to the summed image; about {run.budget_s:g} s for each number of "
        f"frames. Emitters: {emitters:.0f} in a frame, at {DENSITY_PER_UM2} /µm² on pixels of "
        f"{PIXEL_NM:g} nm. The default network is '{run.network}', the paper's '{run.paper}'."
    )
    if side_px == 64:
        done = (
            "not measured" if run.quick or not published("movie.tif") else "left, registered right"
        )
        note += f" NMSE of the movie of the paper's Fig. 4: {done}."
    if side_px in TABLE1:
        note += f" The paper's Table 1, on an i7-8700 and a Titan Xp, for {TABLE1[side_px]}."
    if side_px == 64 and comparison.published:
        nmse, registered = (comparison.published[name] for name in SCORES)
        note += f" The image that the authors published has {nmse:.3g} and {registered:.3g}."
    return Table(f"Frames of {side_px} × {side_px} pixels", note, rows, details)


def _draw_against_nmse(panel, comparison):
    small = (result for result in comparison.results if result.side_px == 64)
    known = [r for r in small if r.scores.get(SCORES[1]) and r.frames_per_s]
    for result in known:
        entry, colour = result.entry, COLOURS[result.entry.network, result.entry.engine]
        style = {"color": colour, "mfc": colour if entry.precision == "f32" else "white"}
        place = result.scores[SCORES[1]], result.frames_per_s
        panel.plot(*place, MARKERS[entry.device], mew=2, ms=9, **style)
    panel.set_xlabel("registered NMSE, movie of the paper's Fig. 4 [%]")
    panel.set(ylabel="frames/s of 64 × 64 pixels", yscale="log")
    if (authors := comparison.published.get(SCORES[1])) is not None:
        panel.axvline(authors, color="black", ls=":", lw=1)
        where = {"xycoords": ("data", "axes fraction"), "rotation": 90, "ha": "right"}
        panel.annotate("the authors' image", (authors, 0.03), fontsize="small", **where)
    if not known:
        panel.text(0.5, 0.5, "NMSE was not measured", transform=panel.transAxes, ha="center")
    panel.margins(0.15)
    _plain_numbers(panel, "both")


def _draw_by_size(panel, comparison, sides_px):
    speeds = {(r.entry, r.side_px): r.frames_per_s for r in comparison.results}
    measured = list(dict.fromkeys(entry for entry, _ in speeds))
    width = 0.85 / len(measured)
    for index, entry in enumerate(measured):
        offset = (index - (len(measured) - 1) / 2) * width
        places = [place + offset for place in range(len(sides_px))]
        heights = [speeds.get((entry, side)) or math.nan for side in sides_px]
        style = {"color": COLOURS[entry.network, entry.engine], "hatch": HATCHES[entry.precision]}
        label = f"{entry.network}, {entry.runtime}, {entry.precision}"
        panel.bar(places, heights, width * 0.92, edgecolor="white", label=label, **style)
    panel.set_xticks(range(len(sides_px)), [f"{side} × {side}" for side in sides_px])
    panel.set(yscale="log", ylabel="frames/s", xlabel="camera pixels")
    if known := [speed for speed in speeds.values() if speed]:
        panel.set_ylim(min(known) / 2, max(known) * 2)
    _plain_numbers(panel, "y")


def _plain_numbers(panel, grid):
    """Label a logarithmic axis by 1, 2, 5, 10, and nothing between."""
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_locator(NullLocator())
    panel.grid(axis=grid, alpha=0.3)


@cache
def highest_rates(run: Run, devices: tuple[str, ...]) -> dict[str, dict[str, dict]]:
    """Return the best rates by device and precision."""
    seconds = 0.3 if run.quick else 1.5
    return {device: asked(OURS, "roof", device=device, seconds=seconds) for device in devices}


@cache
def arithmetic(run: Run) -> dict[tuple[str, int], dict[str, float]]:
    """Return 10⁹ multiplications per frame by network and side, ``folded`` and ``unfolded``."""
    return {
        (name, side): asked(OURS, "arithmetic", network=run.network_of(name), side_px=side)
        for name in (PAPER, DEFAULT)
        for side in run.sides_px
    }


def roof(run: Run) -> list[Table]:
    """Measure the roof, count the arithmetic, and put both beside the speeds."""
    comparison = contest.compared(run)
    devices = dict.fromkeys(result.entry.device for result in comparison.results)
    rates, counts = highest_rates(run, tuple(devices)), arithmetic(run)
    roofs, macs, shares = [], [], []
    for device, by_precision in rates.items():
        for precision, best in by_precision.items():
            found = best["gigamacs_per_s"], best["library"], best["side"]
            roofs.append(row(ROOF, device, precision, *found))
    for (network, side), count in counts.items():
        folded, unfolded = count["folded"], count["unfolded"]
        left_out = 100 * (1 - folded / unfolded)
        macs.append(row(COUNT, network, f"{side} × {side}", folded, unfolded, left_out))
    for result in comparison.results:
        entry, side = result.entry, result.side_px
        if result.frames_per_s is not None:
            form = "unfolded" if entry.is_published else "folded"
            count = counts[entry.network, side][form]
            reached = count * result.frames_per_s
            highest = rates[entry.device].get(entry.precision, {}).get("gigamacs_per_s")
            share = None if highest is None else 100 * reached / highest
            cells = *_entry(result), f"{side} × {side}", count, reached, share
            shares.append(row(SHARE, *cells))
    return [
        Table("The roof of this machine", "A GMAC: 10⁹ multiplications with addition.", roofs),
        Table("Arithmetic", "Of convolutions, for one frame, counted while it runs.", macs),
        Table("Share of the roof", "Above 100 %: the roof met a busier machine.", shares),
    ]
