"""How long something takes on a machine that does other things, too."""

import argparse
import statistics
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

UNITS_S = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """Read a time such as ``20s``, ``2m`` or ``20``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    try:
        found = float(number) * UNITS_S[unit]
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no time; give seconds, such as 20s, or 2m")
    return found


@dataclass(frozen=True)
class Timed:
    """Times in seconds of one number of frames that was done several times."""

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
    seconds_per_frame: float, movies: tuple[int, ...], budget_s: float, repeats: int, batch: int
) -> dict[int, int]:
    """Choose numbers of frames to measure, each with how often, at least once.

    Whole movies are measured where one fits the budget, which each number of frames has to itself.
    One entry has all the repeats, those of the rate, unless a batch takes too long for that; it is
    of a multiple of what a runtime takes at once.
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
    tasks: Mapping[Hashable, tuple[int, Callable[[], float | None]]],
) -> dict[Hashable, list[float]]:
    """Do tasks in turn, so that what else the machine does falls on all of them.

    Each comes with how often, and returns its seconds; ``None`` ends one that failed.
    """
    seconds: dict[Hashable, list[float]] = {key: [] for key in tasks}
    failed = set()
    for turn in range(max((times for times, _ in tasks.values()), default=0)):
        for key, (times, task) in tasks.items():
            if turn < times and key not in failed:
                taken = task()
                failed.update([key] if taken is None else [])
                seconds[key] += [] if taken is None else [taken]
    return seconds
