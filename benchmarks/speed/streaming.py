"""A long movie: reading alone against the whole command, and the memory that it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from comparing import Result, contestants, measure_in_turn
from entries import DEFAULT, entries
from report import Row, Table
from running import DENSITY_PER_UM2, PIXEL_NM, Run, settings
from whole_command import Command, empty_folder, reconstruct_words

import deepstorm
from deepstorm.arrays import AnyArray
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.writing import write_movie

SIDE_PX = 256
FRAMES = 20_000
QUICK_FRAMES = 200
DISTINCT_FRAMES = 50
FRAMES_PER_READ = 16


def measure(run: Run) -> list[Table]:
    """Write a long movie, read it, and reconstruct it; predict frames of its size alone."""
    frames = QUICK_FRAMES if run.quick else FRAMES
    movie = long_movie(run, frames)
    gigabytes = movie.stat().st_size / 1e9
    cold_s = reading_s(movie) if forgotten(movie) else None
    warm_s = reading_s(movie)
    command = Command(reconstruct_words(run, movie), lambda: empty_folder(run))
    command_s = command.run()
    rows = [
        _row("reading alone, from the disk", frames, cold_s),
        _row("reading alone, from memory", frames, warm_s),
        *(_prediction_row(result) for result in prediction_alone(run)),
        _row("the whole command", frames, command_s)
        | {"memory [MB]": max(command.peaks_mb, default=None)},
    ]
    note = (
        f"{frames} frames of {SIDE_PX} × {SIDE_PX} pixels, uint16, {gigabytes:.2g} GB: "
        f"{DISTINCT_FRAMES} simulated frames over and over, read in blocks of {FRAMES_PER_READ}; "
        "from the disk where the operating system could be told to forget the file. Prediction: "
        "the default network on frames in memory, as in the part 'engines'."
    )
    if command.failure:
        note += f" The command failed: {command.failure}"
    return [Table("A long movie", note, rows)]


def _row(what: str, frames: int, seconds: float | None) -> Row:
    return {
        "what": what,
        "frames": frames,
        "seconds": seconds,
        "frames/s": frames / seconds if seconds is not None else None,
    }


def _prediction_row(result: Result) -> Row:
    what = f"prediction alone, {result.entry.runtime}, {result.entry.precision}"
    if (rate := result.rate) is None:
        return {"what": f"{what}: {result.failure or 'did not run'}"}
    return _row(what, rate.frames, rate.median_s) | {"memory [MB]": result.peak_mb}


def prediction_alone(run: Run) -> list[Result]:
    """Measure the default network in all runtimes on frames of the movie's size."""
    own = [entry for entry in entries(run) if entry.network == DEFAULT]
    with contestants(run, own, SIDE_PX) as started:
        measure_in_turn(started)
    return [contestant.result for contestant in started]


@cache
def long_movie(run: Run, frames: int) -> Path:
    """Write a movie of so many frames and return its file."""
    path = run.temporary / "long.tif"
    movie = deepstorm.simulate(settings(DISTINCT_FRAMES, SIDE_PX, DENSITY_PER_UM2), seed=2)
    if movie.frames is None:
        raise ValueError("the movie was written to a file; simulate it in memory")
    write_movie(path, _repeated(movie.frames, frames), PIXEL_NM)
    return path


def _repeated(frames: AnyArray, total: int) -> Iterator[AnyArray]:
    for start in range(0, total, len(frames)):
        yield frames[: total - start]


def reading_s(movie: Path) -> float:
    """Return the seconds to read a movie from end to end."""
    began = time.perf_counter()
    with open_movie(movie) as opened:
        total = opened.shape[0]
        for start in range(0, total, FRAMES_PER_READ):
            np.max(opened.read(start, min(start + FRAMES_PER_READ, total))[:, 0, 0])
    return time.perf_counter() - began


def forgotten(path: Path) -> bool:
    """Have the operating system drop a file from memory; return whether it can."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True
