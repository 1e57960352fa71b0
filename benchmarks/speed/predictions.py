"""Tables and figure of how fast networks predict, by runtime and frame size."""

from __future__ import annotations

from collections.abc import Mapping

import figure
from comparing import MOVIES, QUICK_MOVIES, SCORES, Comparison, Result, compared
from entries import LARGEST_DIFFERENCE, ORIGINAL
from report import Row, Table
from running import DENSITY_PER_UM2, PIXEL_NM, Run, field_um2, published_folder

PICTURE = "speed.png"
NMSE_HEADINGS = ("NMSE [%]", "registered [%]")


def measure(run: Run) -> list[Table]:
    """Measure all networks in all runtimes at all frame sizes; draw them if a folder was named."""
    comparison = compared(run)
    if run.pictures is not None:
        figure.draw(comparison, run.pictures / PICTURE)
    tables = [_table(run, comparison, side_px) for side_px in run.sides_px]
    if run.original:
        tables.append(_same_network(run, comparison))
    return tables


def _table(run: Run, comparison: Comparison, side_px: int) -> Table:
    results = comparison.of(side_px)
    original = next((r.frames_per_s for r in results if r.entry == ORIGINAL), None)
    movies = QUICK_MOVIES if run.quick else MOVIES[side_px]
    rows = [_row(result, movies, original) for result in results]
    if side_px == 64:
        rows = [row | _nmse_cells(result.scores) for row, result in zip(rows, results, strict=True)]
    details = {
        f"{result.entry.name}": {
            "failure": result.failure,
            "seconds": {timed.frames: list(timed.seconds) for timed in result.times},
        }
        for result in results
    }
    return Table(
        f"Frames of {side_px} × {side_px} pixels", _note(run, comparison, side_px), rows, details
    )


def _note(run: Run, comparison: Comparison, side_px: int) -> str:
    emitters = DENSITY_PER_UM2 * field_um2(side_px)
    text = (
        "Scaled frames in memory to the summed image, medians of runs that take turns; compilation "
        f"is done before. About {run.budget_s:g} s for each number of frames; what would take "
        "longer is not measured, and nothing is extrapolated. Emitters/s: those expected at "
        f"{DENSITY_PER_UM2} /µm² on pixels of {PIXEL_NM:g} nm, {emitters:.0f} in a frame. Spread: "
        "longest less shortest over the median. Memory: the largest of the process. The default "
        f"network is '{run.network}', the paper's '{run.paper}'; refinement, once per movie, is "
        "not in these times."
    )
    return text if side_px != 64 else f"{text} {_nmse_note(run, comparison)}"


def _nmse_note(run: Run, comparison: Comparison) -> str:
    if run.quick:
        return "NMSE is not measured in a quick run."
    if not (published_folder() / "movie.tif").is_file():
        return f"NMSE is not measured: no movie in {published_folder()}; set DEEPSTORM_DATA."
    text = (
        "NMSE is that of the movie of the paper's Fig. 4, as it stands and with the truth moved to "
        "where it is least, by the fastest runtime of each precision."
    )
    if comparison.published:
        nmse, registered = (comparison.published[name] for name in SCORES)
        text += (
            f" The image that the authors published, of their own training, has {nmse:.3g} as it "
            f"stands and {registered:.3g} registered."
        )
    return text


def _row(result: Result, movies: tuple[int, ...], original: float | None) -> Row:
    rate, side_px = result.rate, result.side_px
    row: Row = {
        "network": result.entry.network,
        "runtime": result.entry.runtime,
        "precision": result.entry.precision,
    }
    if rate is None:
        return row | {"frames × runs": result.failure or "did not run"}
    speed = rate.frames_per_s
    row |= {
        "frames × runs": f"{rate.frames} × {len(rate.seconds)}",
        "frames/s": speed,
        "spread [%]": rate.spread_percent,
        "times the original": speed / original if original is not None else None,
        "emitters/s": speed * DENSITY_PER_UM2 * field_um2(side_px),
        "camera megapixels/s": speed * side_px**2 / 1e6,
    }
    row |= {f"{frames} frames [s]": result.movie_s(frames) for frames in movies}
    return row | {"memory [MB]": result.peak_mb}


def _nmse_cells(scores: Mapping[str, float | None]) -> Row:
    return {heading: scores.get(name) for heading, name in zip(NMSE_HEADINGS, SCORES, strict=True)}


def _same_network(run: Run, comparison: Comparison) -> Table:
    """Tell whether the original and this package compute the same."""
    found = comparison.difference
    row: Row = {
        "weights": run.paper,
        "largest difference over the largest value": found,
        "at most": LARGEST_DIFFERENCE,
        "the same network": None if found is None else str(found <= LARGEST_DIFFERENCE).lower(),
    }
    note = (
        "Predictions of Keras, with the weights handed over, against this package's in PyTorch: "
        "that they agree shows that the rows above time the same network."
    )
    return Table("The paper's network in Keras and here", note, [row])
