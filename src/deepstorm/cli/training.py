"""What the commands that train a network share: how long, what is seen of it, what comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from deepstorm.cli.durations import duration_s
from deepstorm.cli.terminal import bars, messages, print_figures, warn
from deepstorm.errors import InputError

if TYPE_CHECKING:
    from deepstorm.api.training_result import TrainingResult
    from deepstorm.training.course.loss_log import Validation
    from deepstorm.training.network import TrainingSettings
    from deepstorm.training.refiner import RefinementTraining


def training_length(
    steps: int | None, time_budget: str | None, patience: int | None = None
) -> dict[str, Any]:
    """Return what was given of how long a training lasts, by the names of its settings."""
    if steps is not None and time_budget is not None:
        raise InputError("a training lasts `steps` or a `time_budget_s`, not both; give one")
    budget_s = None if time_budget is None else duration_s(time_budget)
    length = {"steps": steps, "time_budget_s": budget_s, "patience": patience}
    return {name: value for name, value in length.items() if value is not None}


@contextlib.contextmanager
def training_seen(total: int | None) -> Iterator[dict[str, Any]]:
    """Yield what shows a training on the terminal, as arguments of a verb.

    Parameters
    ----------
    total : int, optional
        Number of steps.
    """
    with bars(("making movies", "movies"), ("training", "steps")) as (movies, steps):
        yield {
            "on_movie": lambda done, of: movies(done, of, ""),
            "on_step": lambda step, loss: steps(step, total, f"loss {loss:.4g}"),
            "on_validation": _show_validation,
        }


def number_of_steps(settings: TrainingSettings | RefinementTraining) -> int | None:
    """Return the number of steps; how many fit into a time is found on the way."""
    return None if settings.time_budget_s else settings.steps


def show_result(result: TrainingResult, title: str, *, as_json: bool) -> None:
    """Print what came of a training, once where several processes train."""
    from deepstorm.training.course.distributed import is_first_process

    if not is_first_process():
        return
    if not result.improved:
        warn(
            f"the training did not improve the network ({result.measure}); '{result.path}' is "
            "the network that it started from"
        )
    print_figures(result.figures(), as_json=as_json, title=title)


def _show_validation(validation: Validation) -> None:
    """Print what a validation gave."""
    messages.print(
        f"step {validation.step}: training {validation.training_loss:.4g}, "
        f"validation {validation.validation_loss:.4g}, rate {validation.rate:.2g}"
    )
