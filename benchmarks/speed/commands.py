"""The whole command in fresh processes, on published and long movies; the paper's Table 1."""

import json
import os
import statistics
import tempfile
import time
from functools import cache, partial

import contest
import numpy as np
from contest import Run

from children.workers import command
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.writing import write_movie
from deepstorm.paper.movies import FIG4, FIG6
from movies import PIXEL_NM, published
from report import Table, row

# Frames and their side, of the paper's simulated and experimental movies; densities per µm².
SIMULATED, EXPERIMENTAL = (361, 64, contest.DENSITY_PER_UM2), (500, 128, 6.35)
QUICK_FRAMES = 40
HELP, FIRST, WARM = "--help", "reconstruct, first run", "reconstruct, warm cache"
LARGER = "reconstruct, warm cache, 500 frames of 128 × 128"
COMMAND = "command | runs | median [s] | shortest [s] | longest [s] | memory [MB]"
CACHES = ("XDG_CACHE_HOME", "LOCALAPPDATA", "MPLCONFIGDIR")
# Printed seconds; here frames, their side, and the command that correspond to them.
TABLE1 = {
    "Sim., 512 × 512": (18677, "1465 / 122", "123 / 4", *SIMULATED[:2], WARM),
    "Exp., 1024 × 1024": (175200, "10177 / 434", "715 / 27", *EXPERIMENTAL[:2], LARGER),
}
PRINTED = "dataset | CEL0, CPU [s] | FALCON, CPU / GPU [s] | Deep-STORM, CPU / GPU [s]"
PIXELS_NM = {FIG4: 100.0, FIG6: 100.0, "real-sparse-tirf": 117.0}
PUBLISHED = "movie | whole command [s] | frames/s inside | memory [MB] | expected emitters"
LONG_SIDE_PX, LONG_FRAMES, DISTINCT_FRAMES, FRAMES_PER_READ = 256, 20_000, 50, 16
STREAMING = "what | frames | seconds | frames/s | memory [MB]"


def measure(run: Run) -> list[Table]:
    """Show the times of the commands."""
    rows, details = [], {}
    for name, (seconds, peak_mb) in timed_commands(run).items():
        lengths = statistics.median(seconds), min(seconds), max(seconds)
        rows.append(row(COMMAND, name, len(seconds), *lengths, peak_mb))
        details[name] = {"seconds": seconds}
    frames = QUICK_FRAMES if run.quick else SIMULATED[0]
    note = f"Fresh processes that take turns; {frames} frames of the paper's Fig. 4, or like them."
    return [Table("The whole command", note, rows, details)]


@cache
def timed_commands(run: Run) -> dict[str, tuple[list[float], float]]:
    """Run commands in turn; return their seconds and memory, once for all parts that ask."""
    new = partial(tempfile.mkdtemp, dir=run.temporary)
    warm = new()
    words = _reconstruct(run, published("movie.tif") or _simulated(run, *SIMULATED))
    words += ("--frames", f"0:{QUICK_FRAMES}") if run.quick else ()
    commands = {HELP: (("--help",), lambda: warm), FIRST: (words, new), WARM: (words, lambda: warm)}
    if not run.quick:
        commands[LARGER] = _reconstruct(run, _simulated(run, *EXPERIMENTAL)), lambda: warm
    peaks_mb = dict.fromkeys(commands, 0.0)

    def once(name):
        told, folder = commands[name]
        answer = command(*told, **dict.fromkeys(CACHES, folder()))
        peaks_mb[name] = max(peaks_mb[name], answer["peak_mb"])
        return answer["seconds"]

    once(WARM)  # fills the cache
    found = contest.interleaved({name: (run.repeats, partial(once, name)) for name in commands})
    return {name: (seconds, peaks_mb[name]) for name, seconds in found.items()}


def _reconstruct(run, movie, pixel_nm=PIXEL_NM):
    output, network = run.temporary / "reconstructed.tif", run.networks[contest.DEFAULT]
    told = ("-o", str(output), "--pixel-size", f"{pixel_nm:g}", "--network", network)
    return ("reconstruct", str(movie), *told, "--overwrite")


def _simulated(run, frames, side_px, density):
    path = run.temporary / f"movie-{side_px}.tif"
    write_movie(path, contest.frames_of(frames, side_px, density, 1), PIXEL_NM)
    return path


def movies(run: Run) -> list[Table]:
    """Reconstruct each published movie once, cold, as far as it is there."""
    rows = []
    for name, pixel_nm in PIXELS_NM.items():
        if source := published("movie.tif", name):
            done = command(*_reconstruct(run, source, pixel_nm))
            record = json.loads((run.temporary / "reconstructed.json").read_text(encoding="utf-8"))
            rate = record["frames"] / record["reconstruction_s"]
            cells = done["seconds"], rate, done["peak_mb"], record["expected_emitters"]
            rows.append(row(PUBLISHED, name, *cells))
    note = "How exact the image of Fig. 4 is: `accuracy.py --only fig4`."
    return [Table("Published movies", note, rows)]


def table1(run: Run) -> list[Table]:
    """Set whole movies, in the fastest runtime of each network, beside the paper's Table 1."""
    comparison, rows = contest.compared(run), []
    # A quick run does not take commands on whole movies.
    timed = {} if run.quick else timed_commands(run)
    for dataset, (*printed, frames, side_px, name) in TABLE1.items():
        cells, fastest = row(PRINTED, dataset, *printed), {}
        for each in sorted(comparison.of(side_px), key=lambda each: each.frames_per_s or 0):
            who = "Keras, as published" if each.entry == contest.ORIGINAL else each.entry.network
            if each.entry == contest.ORIGINAL or each.entry.engine not in contest.AS_PUBLISHED:
                fastest[f"here: {who}, {each.entry.device} [s]"] = each.medians_s.get(frames)
        command_s = statistics.median(timed[name][0]) if name in timed else None
        rows.append(cells | fastest | {"here: the whole command [s]": command_s})
    note = (
        f"Printed: on an i7-8700 and a Titan Xp. Here: {SIMULATED[0]} frames of 64 × 64 and "
        f"{EXPERIMENTAL[0]} of 128 × 128 pixels, from scaled frames to the summed image, if they "
        f"fit {run.budget_s:g} s; the whole command with the default network and a warm cache."
    )
    return [Table("The paper's Table 1", note, rows)]


def streaming(run: Run) -> list[Table]:
    """Write a long movie, read it, and reconstruct it; predict frames of its size alone."""
    frames, movie = LONG_FRAMES // 100 if run.quick else LONG_FRAMES, run.temporary / "long.tif"
    distinct = contest.frames_of(DISTINCT_FRAMES, LONG_SIDE_PX, contest.DENSITY_PER_UM2, 2)
    starts = range(0, frames, DISTINCT_FRAMES)
    write_movie(movie, (distinct[: frames - start] for start in starts), PIXEL_NM)
    cold_s = _reading_s(movie) if _forgotten(movie) else None
    rows = [
        _row("reading alone, from the disk", frames, cold_s),
        _row("reading alone, from memory", frames, _reading_s(movie)),
    ]
    own = tuple(entry for entry in contest.entries(run) if entry.network == contest.DEFAULT)
    with contest.contestants(run, own, LONG_SIDE_PX) as started:
        contest.measure_in_turn(started)
    for result in started:
        what, seconds = ", ".join(result.entry.words[1:]), result.medians_s.get(result.frames)
        what = f"prediction alone, {what} {result.failure}".strip()
        rows.append(_row(what, result.frames, seconds, result.peak_mb))
    caches = dict.fromkeys(CACHES, tempfile.mkdtemp(dir=run.temporary))
    whole = command(*_reconstruct(run, movie), **caches)
    rows.append(_row("the whole command", frames, whole["seconds"], whole["peak_mb"]))
    note = (
        f"{frames} frames of {LONG_SIDE_PX} × {LONG_SIDE_PX} pixels, {movie.stat().st_size} bytes."
    )
    return [Table("A long movie", note, rows)]


def _row(what, frames, seconds, peak_mb=None):
    rate = frames / seconds if seconds is not None else None
    return row(STREAMING, what, frames, seconds, rate, peak_mb)


def _reading_s(movie):
    """Return the seconds to read a movie from end to end."""
    began = time.perf_counter()
    with open_movie(movie) as opened:
        total = opened.shape[0]
        for start in range(0, total, FRAMES_PER_READ):
            np.max(opened.read(start, min(start + FRAMES_PER_READ, total))[:, 0, 0])
    return time.perf_counter() - began


def _forgotten(path):
    """Have the operating system drop a file from memory; return whether it can."""
    if can := hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return can
