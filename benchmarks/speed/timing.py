"""How long something takes on a machine that does other things, too."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key")


@dataclass(frozen=True)
class Timed:
    """Times of one thing that was done several times.

    Parameters
    ----------
    frames : int
        Frames each time.
    seconds : tuple of float
    """

    frames: int
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Median of the times."""
        return statistics.median(self.seconds)

    @property
    def frames_per_s(self) -> float:
        """Frames per second, of the median time."""
        return self.frames / self.median_s

    @property
    def spread_percent(self) -> float | None:
        """Longest less shortest time in percent of the median; unknown of a single time."""
        if len(self.seconds) == 1:
            return None
        return 100 * (max(self.seconds) - min(self.seconds)) / self.median_s


def planned(
    seconds_per_frame: float,
    movies: tuple[int, ...],
    budget_s: float,
    repeats: int,
    batch: int,
) -> dict[int, int]:
    """Choose numbers of frames to measure, each with how often.

    Parameters
    ----------
    seconds_per_frame : float
        Roughly.
    movies : tuple of int
        Lengths of whole movies, which are measured where one fits the budget.
    budget_s : float
        Seconds for each number of frames.
    repeats : int
        Times that are wanted of the rate.
    batch : int
        Frames that the runtime takes at once; the rate is measured on multiples of it.

    Returns
    -------
    dict
        Frames to times, at least 1. One entry has ``repeats``, unless a batch takes too long.
    """
    plan = {
        frames: min(int(budget_s / (frames * seconds_per_frame)), repeats)
        for frames in movies
        if frames * seconds_per_frame <= budget_s
    }
    if repeats not in plan.values():
        batches = max(int(budget_s / repeats / seconds_per_frame / batch), 1)
        fitting = int(budget_s / (batches * batch * seconds_per_frame))
        plan[batches * batch] = max(min(fitting, repeats), 1)
    return plan


def interleaved(
    tasks: Mapping[Key, tuple[int, Callable[[], float | None]]],
) -> dict[Key, list[float]]:
    """Do tasks in turn, so that what else the machine does falls on all of them.

    Parameters
    ----------
    tasks : mapping
        Key to (how often, what returns its seconds); ``None`` ends a task that failed.

    Returns
    -------
    dict
        Seconds of each, fewer than asked for where it failed.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in tasks}
    failed = set()
    for turn in range(max((times for times, _ in tasks.values()), default=0)):
        for key, (times, task) in tasks.items():
            if turn >= times or key in failed:
                continue
            taken = task()
            if taken is None:
                failed.add(key)
            else:
                seconds[key].append(taken)
    return seconds
