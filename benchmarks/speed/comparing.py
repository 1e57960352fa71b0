"""Measure all entries in turn, one frame size after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from entries import (
    KERAS,
    ORIGINAL,
    PAPER,
    UNFOLDED,
    Entry,
    entries,
    largest_difference,
    opened,
)
from running import PIXEL_NM, Run, published_folder
from timing import Timed, interleaved, planned
from workers import Worker, WorkerError

import deepstorm

MOVIES = {64: (361, 5000), 128: (361, 500, 5000), 256: (361, 5000)}
QUICK_MOVIES = (361,)
SCORES = ("nmse_percent", "registered_nmse_percent")


@dataclass
class Result:
    """What was measured of an entry at one frame size.

    Parameters
    ----------
    entry : Entry
    side_px : int
    times : list of Timed
        One for each number of frames.
    peak_mb : float, optional
        Memory of the process.
    failure : str
        Why something is missing.
    scores : dict
        NMSE on the movie of the paper's Fig. 4.
    """

    entry: Entry
    side_px: int
    times: list[Timed] = field(default_factory=list)
    peak_mb: float | None = None
    failure: str = ""
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> Timed | None:
        """What frames per second are taken from: measured most often, then of most frames."""
        return max(self.times, key=lambda t: (len(t.seconds), t.frames), default=None)

    @property
    def frames_per_s(self) -> float | None:
        """Frames per second."""
        return self.rate.frames_per_s if self.rate is not None else None

    def movie_s(self, frames: int) -> float | None:
        """Return the time of a whole movie of so many frames, if it was measured."""
        return next((t.median_s for t in self.times if t.frames == frames), None)


@dataclass(frozen=True)
class Comparison:
    """Results of all sizes, and how the original compares with ours.

    Parameters
    ----------
    results : tuple of Result
    difference : float, optional
        Largest difference of the original's outputs from ours, over the largest value.
    published : dict
        NMSE of the image that the authors published beside their code, where it is there.
    """

    results: tuple[Result, ...]
    difference: float | None
    published: dict[str, Any] = field(default_factory=dict)

    def of(self, side_px: int) -> list[Result]:
        """Return the results of one frame size."""
        return [result for result in self.results if result.side_px == side_px]

    def fastest(self, side_px: int, network: str, device: str) -> Result | None:
        """Return this package's fastest result of a network on a device."""
        own = [
            result
            for result in self.of(side_px)
            if result.entry.network == network
            and result.entry.device == device
            and result.entry.engine not in (KERAS, UNFOLDED)
            and result.frames_per_s is not None
        ]
        return max(own, key=lambda result: result.frames_per_s or 0, default=None)


class Contestant:
    """An entry with its process, while one frame size is measured.

    Parameters
    ----------
    run : Run
    result : Result
        Filled in here.
    """

    def __init__(self, run: Run, result: Result) -> None:
        self.result = result
        self.worker: Worker | None = None
        self.plan: dict[int, int] = {}
        try:
            self.worker, said = opened(run, result.entry, result.side_px)
            batch = said["batch"]
            self.worker.ask("predict", count=batch)  # compiles and fills caches
            seconds = self.worker.ask("predict", count=batch)["seconds"]
            movies = QUICK_MOVIES if run.quick else MOVIES[result.side_px]
            self.plan = planned(seconds / batch, movies, run.budget_s, run.repeats, batch)
        except WorkerError as error:
            result.failure = str(error)

    def close(self) -> None:
        """End the process."""
        if self.worker is not None:
            self.worker.close()

    def note_memory(self) -> None:
        """Put the memory so far into the result."""
        self.result.peak_mb = (self._asked("memory") or {}).get("peak_mb")

    def seconds(self, frames: int) -> float | None:
        """Predict so many frames and return the time; nothing where that fails."""
        answer = self._asked("predict", count=frames)
        return answer["seconds"] if answer is not None else None

    def score(self) -> None:
        """Score the image of the published movie."""
        folder = published_folder()
        files = {"movie": str(folder / "movie.tif"), "truth": str(folder / "truth.csv")}
        answer = self._asked("nmse", pixel_nm=PIXEL_NM, **files) or {}
        self.result.scores = {name: answer.get(name) for name in SCORES}

    def _asked(self, do: str, **values: Any) -> dict[str, Any] | None:
        if self.worker is None or self.result.failure:
            return None
        try:
            return self.worker.ask(do, **values)
        except WorkerError as error:
            self.result.failure = str(error)
            return None


@contextmanager
def contestants(run: Run, own: Iterable[Entry], side_px: int) -> Iterator[list[Contestant]]:
    """Start the processes of entries for one frame size, and end them at last."""
    with ExitStack() as stack:
        started = []
        for entry in own:
            started.append(Contestant(run, Result(entry, side_px)))
            stack.callback(started[-1].close)
        yield started


@cache
def compared(run: Run) -> Comparison:
    """Measure all entries at all sizes, once for all parts that ask."""
    results: list[Result] = []
    difference = None
    for side_px in run.sides_px:
        with contestants(run, entries(run), side_px) as started:
            if side_px == run.sides_px[0]:
                difference = _difference(run, started)
            measure_in_turn(started)
            if side_px == 64 and not run.quick:
                _score(started)
        results += [contestant.result for contestant in started]
    return Comparison(tuple(results), difference, published_scores())


def measure_in_turn(started: list[Contestant]) -> None:
    """Measure each number of frames of each; put times and memory into their results."""
    tasks = {
        (index, frames): (times, partial(contestant.seconds, frames))
        for index, contestant in enumerate(started)
        for frames, times in contestant.plan.items()
    }
    for (index, frames), seconds in interleaved(tasks).items():
        if seconds:
            started[index].result.times.append(Timed(frames, tuple(seconds)))
    for contestant in started:
        contestant.note_memory()


def _difference(run: Run, started: list[Contestant]) -> float | None:
    """Compare what the original predicts with what this package does, where both run."""
    ours = Entry(PAPER, "torch")
    workers = {each.result.entry: each.worker for each in started}
    first, second = workers.get(ORIGINAL), workers.get(ours)
    if first is None or second is None:
        return None
    try:
        return largest_difference(run, first, second)
    except WorkerError:
        return None


def _score(started: list[Contestant]) -> None:
    """Score each network in each precision by its fastest runtime."""
    if not (published_folder() / "movie.tif").is_file():
        return
    for contestant in _fastest_of_each(started):
        contestant.score()
        entry = contestant.result.entry
        for other in started:
            same = (other.result.entry.network, other.result.entry.precision)
            if same == (entry.network, entry.precision):
                other.result.scores = contestant.result.scores


def _fastest_of_each(started: list[Contestant]) -> list[Contestant]:
    fastest: dict[tuple[str, str], Contestant] = {}
    for contestant in started:
        result = contestant.result
        if result.frames_per_s is None or result.entry.engine == KERAS:
            continue
        key = (result.entry.network, result.entry.precision)
        best = fastest.get(key)
        if best is None or (best.result.frames_per_s or 0) < result.frames_per_s:
            fastest[key] = contestant
    return list(fastest.values())


def published_scores() -> dict[str, Any]:
    """Score the image that the authors published beside their code, where it is there."""
    image = published_folder() / "paper_reconstruction.mat"
    if not image.is_file():
        return {}
    truth = published_folder() / "truth.csv"
    figures = deepstorm.evaluate(image, truth, pixel_size_nm=PIXEL_NM / 8).figures()
    return {name: figures[name] for name in SCORES}
