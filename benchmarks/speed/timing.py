"""How long something takes on a machine that does other things, too."""

from collections.abc import Callable, Hashable, Mapping


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
    left = {key: times for key, (times, _) in tasks.items()}
    while any(left.values()):
        for key in [key for key, times in left.items() if times]:
            taken = tasks[key][1]()
            left[key] = 0 if taken is None else left[key] - 1
            seconds[key] += [] if taken is None else [taken]
    return seconds
