"""The whole command in fresh processes, and a long movie."""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import contest
import numpy as np
from contest import DEFAULT, DENSITY_PER_UM2, PIXEL_NM, Run, measure_in_turn, movie_of
from timing import interleaved
from workers import WorkerError, asked

from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.writing import write_movie
from report import Table, published, row

# Frames and their side, of the paper's simulated and experimental movies; densities per µm².
SIMULATED, EXPERIMENTAL = (361, 64, DENSITY_PER_UM2), (500, 128, 6.35)
QUICK_FRAMES = 40
HELP, FIRST, WARM = "--help", "reconstruct, first run", "reconstruct, warm cache"
LARGER = "reconstruct, warm cache, 500 frames of 128 × 128"
COMMAND = "command | runs | median [s] | shortest [s] | longest [s] | memory [MB]"
LONG_SIDE_PX, LONG_FRAMES, LONG_QUICK_FRAMES = 256, 20_000, 200
DISTINCT_FRAMES, FRAMES_PER_READ = 50, 16
STREAMING = "what | frames | seconds | frames/s | memory [MB]"


@dataclass
class Command:
    """A ``deepstorm`` command, what gives its folder of caches, and what its runs took."""

    words: tuple[str, ...]
    cache: Callable[[], Path]
    seconds: list[float] = field(default_factory=list)
    peaks_mb: list[float] = field(default_factory=list)
    failure: str = ""

    def run(self) -> float | None:
        """Run it once, alone, and return the seconds; ``None`` where it fails."""
        names = ("XDG_CACHE_HOME", "LOCALAPPDATA", "MPLCONFIGDIR")
        variables = dict.fromkeys(names, str(self.cache()))
        words = [sys.executable, "-m", "deepstorm", *self.words]
        try:
            answer = asked("workers.py", "run", words=words, variables=variables)
        except WorkerError as error:
            self.failure = str(error)
            return None
        self.seconds.append(answer["seconds"])
        self.peaks_mb.append(answer["peak_mb"])
        return self.seconds[-1]

    @property
    def median_s(self) -> float | None:
        """Median of the times."""
        return statistics.median(self.seconds) if self.seconds else None


def measure(run: Run) -> list[Table]:
    """Time the commands in turn."""
    rows, details = [], {}
    for name, each in timed_commands(run).items():
        lengths = each.median_s, min(each.seconds, default=None), max(each.seconds, default=None)
        peak_mb, details[name] = max(each.peaks_mb, default=None), {"seconds": each.seconds}
        rows.append(row(COMMAND, name, each.failure or len(each.seconds), *lengths, peak_mb))
    note = (
        f"Fresh processes that take turns, with {QUICK_FRAMES if run.quick else SIMULATED[0]} "
        f"frames of {'' if published('movie.tif') else 'a movie like '}that of the paper's Fig. 4; "
        "image, table, picture and record are written."
    )
    return [Table("The whole command", note, rows, details)]


@cache
def timed_commands(run: Run) -> dict[str, Command]:
    """Run the commands and return them by name, once for all parts that ask."""
    new = partial(tempfile.mkdtemp, dir=run.temporary)
    warm = new()
    words = _reconstruct(run, published("movie.tif") or _simulated(run, *SIMULATED))
    words += ("--frames", f"0:{QUICK_FRAMES}") if run.quick else ()
    told = {HELP: ((HELP,), lambda: warm), FIRST: (words, new), WARM: (words, lambda: warm)}
    if not run.quick:
        told[LARGER] = _reconstruct(run, _simulated(run, *EXPERIMENTAL)), lambda: warm
    commands = {name: Command(*each) for name, each in told.items()}
    Command(words, lambda: warm).run()  # fills the cache
    interleaved({name: (run.repeats, command.run) for name, command in commands.items()})
    return commands


def _reconstruct(run, movie):
    told = ("-o", str(run.temporary / "reconstructed.tif"), "--pixel-size", f"{PIXEL_NM:g}")
    return ("reconstruct", str(movie), *told, "--network", run.network, "--overwrite")


def _simulated(run, frames, side_px, density):
    path = run.temporary / f"movie-{side_px}.tif"
    write_movie(path, movie_of(frames, side_px, density, 1)[0], PIXEL_NM)
    return path


def streaming(run: Run) -> list[Table]:
    """Write a long movie, read it, and reconstruct it; predict frames of its size alone."""
    frames, movie = LONG_QUICK_FRAMES if run.quick else LONG_FRAMES, run.temporary / "long.tif"
    distinct, _ = movie_of(DISTINCT_FRAMES, LONG_SIDE_PX, DENSITY_PER_UM2, 2)
    starts = range(0, frames, DISTINCT_FRAMES)
    write_movie(movie, (distinct[: frames - start] for start in starts), PIXEL_NM)
    cold_s = _reading_s(movie) if _forgotten(movie) else None
    rows = [
        _row("reading alone, from the disk", frames, cold_s),
        _row("reading alone, from memory", frames, _reading_s(movie)),
    ]
    own = tuple(entry for entry in contest.entries(run) if entry.network == DEFAULT)
    with contest.contestants(run, own, LONG_SIDE_PX) as started:
        measure_in_turn(started)
    for result in started:
        what = f"prediction alone, {result.entry.runtime}, {result.entry.precision}"
        if (rate := result.rate) is None:
            rows.append({"what": f"{what}: {result.failure or 'did not run'}"})
        else:
            rows.append(_row(what, rate.frames, rate.median_s, result.peak_mb))
    command = Command(_reconstruct(run, movie), partial(tempfile.mkdtemp, dir=run.temporary))
    seconds, peak_mb = command.run(), max(command.peaks_mb, default=None)
    rows.append(_row(f"the whole command {command.failure}".strip(), frames, seconds, peak_mb))
    note = (
        f"{frames} frames of {LONG_SIDE_PX} × {LONG_SIDE_PX} pixels, uint16, "
        f"{movie.stat().st_size / 1e9:.2g} GB: {DISTINCT_FRAMES} simulated frames over and over, "
        f"read in blocks of {FRAMES_PER_READ}; from the disk where the operating system could be "
        "told to forget the file."
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
    if not hasattr(os, "posix_fadvise"):
        return False
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True
