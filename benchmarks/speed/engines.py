"""How fast networks predict, by runtime and frame size; and how near that comes to the roof."""

from itertools import product

import contest
from contest import Comparison, Run

from children.workers import asked
from deepstorm.paper.findings import shown
from deepstorm.reports.panels import Curve, CurvePanel
from movies import PIXEL_NM
from report import Table, draw, row

LARGEST_DIFFERENCE = 1e-4  # of outputs of the same network, over the largest of them
ENTRY = "network | runtime | precision"
SPEED = (
    "frames × runs | frames/s | spread [%] | times the original | emitters/s | camera megapixels/s"
)
SAME = "weights | largest difference over the largest value | at most | the same network"
ROOF = "device | precision | GMAC/s | library | matrix side"
COUNT = "network | frame | folded [GMAC] | unfolded [GMAC] | left out [%]"
SHARE = f"{ENTRY} | frame | GMAC/frame | GMAC/s | of the roof [%]"
# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = {
    (contest.PAPER, "keras"): "#000000",
    (contest.PAPER, "unfolded"): "#999999",
    (contest.PAPER, "torch"): "#56B4E9",
    (contest.PAPER, "openvino"): "#0072B2",
    (contest.PAPER, "onnx"): "#009E73",
    (contest.DEFAULT, "torch"): "#E69F00",
    (contest.DEFAULT, "openvino"): "#D55E00",
    (contest.DEFAULT, "onnx"): "#CC79A7",
}
MARKERS = {"f32": "o", "bf16": "s", "f16": "s", "int8": "^"}
LINES = {"cpu": "-", "cuda": "--"}


def measure(run: Run) -> list[Table]:
    """Measure all networks in all runtimes at all frame sizes; draw them if a folder was named."""
    comparison = contest.compared(run)
    tables = [_table(run, comparison, side_px) for side_px in run.movies]
    if run.original:
        found = comparison.difference
        same = None if found is None else str(found <= LARGEST_DIFFERENCE).lower()
        note = "Predictions of Keras, with the weights handed over, against ours in PyTorch."
        rows = [row(SAME, run.networks[contest.PAPER], found, LARGEST_DIFFERENCE, same)]
        tables.append(Table("The paper's network in Keras and here", note, rows))
    draw(run.pictures, "speed.png", _panels(comparison), 2, 5.5)
    return tables


def _table(run, comparison, side_px):
    rows, details = [], {}
    results = comparison.of(side_px)
    original = next((r.frames_per_s for r in results if r.entry == contest.ORIGINAL), None)
    emitters = contest.DENSITY_PER_UM2 * (side_px * PIXEL_NM / 1000) ** 2
    for result in results:
        cells = row(ENTRY, *result.entry.words)
        details[", ".join(cells.values())] = {"failure": result.failure, "seconds": result.times}
        rows.append(cells)
        if (speed := result.frames_per_s) is None:
            cells["frames × runs"] = result.failure or "did not run"
        else:
            seconds, medians = result.times[result.frames], result.medians_s
            # Longest less shortest time; unknown of a single one.
            spread = 100 * (max(seconds) - min(seconds)) / medians[result.frames] or None
            times = speed / original if original is not None else None
            rates = speed * emitters, speed * side_px**2 / 1e6
            runs = f"{result.frames} × {len(seconds)}"
            cells |= row(SPEED, runs, speed, spread, times, *rates)
            cells |= {f"{whole} frames [s]": medians.get(whole) for whole in run.movies[side_px]}
            cells["memory [MB]"] = result.peak_mb
        if side_px == 64:
            cells |= row("NMSE [%] | registered [%]", *map(result.scores.get, contest.SCORES))
    note = (
        f"Scaled frames in memory to the summed image; about {run.budget_s:g} s for each number of "
        f"frames, with {emitters:.0f} emitters in each. Networks: {run.networks}."
    )
    if side_px == 64:
        authors = map(comparison.published.get, contest.SCORES)
        note += " NMSE of the movie of the paper's Fig. 4, where the authors' image has "
        note += "{} and {} %.".format(*map(shown, authors))
    return Table(f"Frames of {side_px} × {side_px} pixels", note, rows, details)


def _panels(comparison: Comparison) -> list[CurvePanel]:
    """Show speed against error as far as that was measured, and over the side of frames."""
    scored, speeds = [], {}
    for each in comparison.results:
        if error := each.scores.get(contest.SCORES[1]):
            scored.append(_curve(each.entry, [error], [each.frames_per_s]))
        speeds.setdefault(each.entry, {})[each.side_px] = each.frames_per_s
    if (authors := comparison.published.get(contest.SCORES[1])) and scored:
        ends = [pick(curve.y[0] for curve in scored) for pick in (min, max)]
        scored.append(Curve([authors] * 2, ends, "the authors' image", ":", "black"))
    error, speed = "registered NMSE, movie of the paper's Fig. 4 [%]", "frames/s of 64 × 64 pixels"
    words = "" if scored else "NMSE was not measured"
    curves = [
        _curve(entry, list(found), list(found.values()), ", ".join(entry.words))
        for entry, found in speeds.items()
    ]
    sides = tuple(dict.fromkeys(each.side_px for each in comparison.results))
    by_size = "", "side of frames [camera pixels]", "frames/s", tuple(curves), "xy", sides
    logarithmic = "y" if scored else ""
    return [CurvePanel(words, error, speed, tuple(scored), logarithmic), CurvePanel(*by_size)]


def _curve(entry, x, y, label=""):
    style = MARKERS[entry.precision] + LINES[entry.device]
    return Curve(x, y, label, style, COLOURS[entry.network, entry.engine])


def roof(run: Run) -> list[Table]:
    """Measure the roof, count the arithmetic, and put both beside the speeds."""
    comparison, seconds = contest.compared(run), 0.3 if run.quick else 1.5
    rates, counts, roofs, macs, shares = {}, {}, [], [], []
    for device in dict.fromkeys(result.entry.device for result in comparison.results):
        rates[device] = asked(contest.NETWORKS, "roof", device=device, seconds=seconds)
        for precision, best in rates[device].items():
            found = best["gigamacs_per_s"], best["library"], best["side"]
            roofs.append(row(ROOF, device, precision, *found))
    for (name, network), side in product(run.networks.items(), run.movies):
        count = asked(contest.NETWORKS, "count", network=network, side=side)
        left_out = 100 * (1 - count["folded"] / count["unfolded"])
        counts[name, side] = count
        macs.append(row(COUNT, name, f"{side} × {side}", *count.values(), left_out))
    for result in comparison.results:
        entry, side = result.entry, result.side_px
        if result.frames_per_s is not None:
            form = "unfolded" if entry.engine in contest.AS_PUBLISHED else "folded"
            count = counts[entry.network, side][form]
            reached = count * result.frames_per_s
            highest = rates[entry.device].get(entry.precision, {}).get("gigamacs_per_s")
            share = None if highest is None else 100 * reached / highest
            cells = *entry.words, f"{side} × {side}", count, reached, share
            shares.append(row(SHARE, *cells))
    return [
        Table("The roof of this machine", "A GMAC: 10⁹ multiplications with addition.", roofs),
        Table("Arithmetic", "Of convolutions, for one frame, counted while it runs.", macs),
        Table("Share of the roof", "Above 100 %: the roof met a busier machine.", shares),
    ]
