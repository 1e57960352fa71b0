"""The whole command, each time in a fresh process: start, compilation, reading, writing."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from report import Row, Table
from running import DENSITY_PER_UM2, PIXEL_NM, Run, published_folder, simulated_movie
from timing import interleaved
from workers import Worker, WorkerError

SIMULATED = (361, 64)
EXPERIMENTAL = (500, 128)
EXPERIMENTAL_DENSITY_PER_UM2 = 6.35
QUICK_FRAMES = 40
HELP, FIRST, WARM = "--help", "reconstruct, first run", "reconstruct, warm cache"


@dataclass
class Command:
    """A ``deepstorm`` command and what its runs took.

    Parameters
    ----------
    words : tuple of str
        What follows ``deepstorm``.
    cache : callable
        Gives the folder of caches for a run.
    """

    words: tuple[str, ...]
    cache: Callable[[], Path]
    seconds: list[float] = field(default_factory=list)
    peaks_mb: list[float] = field(default_factory=list)
    failure: str = ""

    def run(self) -> float | None:
        """Run it once, alone, and return the seconds; ``None`` where it fails."""
        home = str(self.cache())
        variables = {"XDG_CACHE_HOME": home, "LOCALAPPDATA": home, "MPLCONFIGDIR": home}
        command = [sys.executable, "-m", "deepstorm", *self.words]
        try:
            with Worker("command_worker.py") as worker:
                answer = worker.ask("run", words=command, variables=variables)
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
    commands = timed_commands(run)
    rows: list[Row] = [
        {
            "command": name,
            "runs": command.failure or len(command.seconds),
            "median [s]": command.median_s,
            "shortest [s]": min(command.seconds, default=None),
            "longest [s]": max(command.seconds, default=None),
            "memory [MB]": max(command.peaks_mb, default=None),
        }
        for name, command in commands.items()
    ]
    frames = QUICK_FRAMES if run.quick else SIMULATED[0]
    note = (
        f"Fresh processes that take turns, with {frames} frames of {_described(run)}; image, "
        "table, picture and record are written. On a first run, the folder of caches "
        "(XDG_CACHE_HOME) is empty, with a warm cache it is that of the run before; the "
        "operating system has the files in memory in any case."
    )
    details = {name: {"seconds": command.seconds} for name, command in commands.items()}
    return [Table("The whole command", note, rows, details)]


@cache
def timed_commands(run: Run) -> dict[str, Command]:
    """Run the commands and return them by name, once for all parts that ask."""
    warm = Path(tempfile.mkdtemp(prefix="warm-", dir=run.temporary))
    words = reconstruct_words(run, papers_movie(run))
    if run.quick:
        words = (*words, "--frames", f"0:{QUICK_FRAMES}")
    commands = {
        HELP: Command((HELP,), lambda: warm),
        FIRST: Command(words, lambda: empty_folder(run)),
        WARM: Command(words, lambda: warm),
    }
    Command(words, lambda: warm).run()  # fills the cache
    interleaved({name: (run.repeats, command.run) for name, command in commands.items()})
    return commands


@cache
def experimental_command(run: Run) -> Command:
    """Reconstruct a simulated movie of the size of the paper's experimental one, warm and once."""
    movie = simulated_movie(run, *EXPERIMENTAL, EXPERIMENTAL_DENSITY_PER_UM2)
    command = Command(reconstruct_words(run, movie), timed_commands(run)[WARM].cache)
    command.run()
    return command


def papers_movie(run: Run) -> Path:
    """Return the movie of the paper's Fig. 4; a simulated one like it where it is missing."""
    published = published_folder() / "movie.tif"
    return published if published.is_file() else simulated_movie(run, *SIMULATED, DENSITY_PER_UM2)


def reconstruct_words(run: Run, movie: Path) -> tuple[str, ...]:
    """Return the words of the command that reconstructs a movie."""
    output = str(run.temporary / "reconstructed.tif")
    options = ("--pixel-size", f"{PIXEL_NM:g}", "--network", run.network, "--overwrite")
    return ("reconstruct", str(movie), "-o", output, *options)


def empty_folder(run: Run) -> Path:
    """Return a new folder."""
    return Path(tempfile.mkdtemp(prefix="empty-", dir=run.temporary))


def _described(run: Run) -> str:
    published = papers_movie(run).is_relative_to(published_folder())
    return "the movie of the paper's Fig. 4" if published else "a simulated movie of 64 × 64 pixels"
