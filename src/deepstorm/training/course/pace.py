"""How long a training lasts: so many steps, so much time, or until nothing improves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch

from deepstorm.training.course.distributed import ALONE, Team
from deepstorm.training.course.settings import CourseSettings
from deepstorm.training.course.state import History

# Steps whose speed tells how many fit into a time, and those of them that are slower than later
# ones, since memory is taken and kernels are chosen.
PACE_STEPS = 20
SLOW_STEPS = 3
# Parts of the time: the most that is spent on measuring, what is planned for, and what is kept
# free for the last state.
MEASURING, PLANNED, SPARE = 0.1, 0.93, 0.01
# Time kept free for the last validation, in units of the one before it.
RESERVED = 1.5
# A number of steps that no training reaches, while the one to come is not known.
UNKNOWN_STEPS = 2**62


def is_stalled(validation_losses: Sequence[float], patience: int) -> bool:
    """Return whether the last ``patience`` validations were no better than those before; 0: no."""
    if patience == 0 or len(validation_losses) <= patience:
        return False
    return min(validation_losses[-patience:]) >= min(validation_losses[:-patience])


class Pace:
    """Tell what step is the last, and when a validation is due.

    Parameters
    ----------
    settings : CourseSettings
    history : History
        Of the training; what is found here is kept in it.
    team : Team
        Decides together.
    device : torch.device
        Where the team talks.
    """

    def __init__(
        self,
        settings: CourseSettings,
        history: History,
        team: Team = ALONE,
        device: torch.device | None = None,
    ) -> None:
        self._settings = settings
        self._history = history
        self._team = team
        self._device = device or torch.device("cpu")
        self._began = time.monotonic()
        self._used_before_s = history.used_s
        self._durations: list[float] = []
        self._validation_s = 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since this process began to train."""
        return time.monotonic() - self._began

    @property
    def used_s(self) -> float:
        """Seconds that the training has taken, in all processes that went on with it."""
        return self._used_before_s + self.elapsed_s

    @property
    def steps(self) -> int:
        """Number of steps of the whole training, as far as it is known."""
        if self._settings.time_budget_s == 0:
            return self._settings.steps
        return self._history.planned_steps or UNKNOWN_STEPS

    @property
    def known_steps(self) -> int:
        """Number of steps of the whole training; 0 while it is not known."""
        return self.steps if self.steps < UNKNOWN_STEPS else 0

    @property
    def is_over(self) -> bool:
        """Whether the training has ended."""
        history = self._history
        stalled = is_stalled(history.validation_losses, self._settings.patience)
        return history.is_out_of_time or stalled or history.step >= self.steps

    @property
    def ending(self) -> str:
        """Why the training has ended, in words; empty where it has not."""
        history, patience = self._history, self._settings.patience
        if history.is_out_of_time:
            return "its time was used up"
        if is_stalled(history.validation_losses, patience):
            return f"{patience} validations brought no improvement"
        return "all steps are done" if history.step >= self.steps else ""

    def after_step(self, duration_s: float, trial: Callable[[], float]) -> None:
        """Take notice of a step; plan how many there will be, once its speed is known.

        Parameters
        ----------
        duration_s : float
        trial : callable
            Returns how many seconds a validation will take.
        """
        if self._settings.time_budget_s == 0:
            return
        self._durations.append(duration_s)
        is_planned = bool(self._history.planned_steps)
        if is_planned or self._can_plan():
            # A training that was resumed knows its steps, but not how long a validation takes.
            self._validation_s = self._validation_s or trial()
            if not is_planned:
                planned = self._team.agree(self._planned_steps(), self._device)
                self._history.planned_steps = planned
        out_of_time = int(not self._has_time_for_another())
        self._history.is_out_of_time = bool(self._team.agree(out_of_time, self._device))

    def after_validation(self, duration_s: float) -> None:
        """Take notice of how long a validation took, with all that is written after it.

        The latest one counts: the first also loads what draws the curves.
        """
        self._validation_s = duration_s

    def validation_is_due(self) -> bool:
        """Return whether the last step is to be validated."""
        history = self._history
        last = history.step >= self.steps or history.is_out_of_time
        return last or history.step % self._settings.validate_every == 0

    def _can_plan(self) -> bool:
        """Return whether the speed is known; before the rate depends on the number of steps."""
        rise = getattr(self._settings.schedule, "warmup_steps", PACE_STEPS)
        enough = self._history.step >= min(PACE_STEPS, rise)
        late = int(self.used_s > MEASURING * self._settings.time_budget_s)
        return enough or bool(self._team.agree(late, self._device))

    def _planned_steps(self) -> int:
        """Return how many steps fit into the time, with their validations."""
        settings, done = self._settings, self._history.step
        step_s = self._step_s() + self._validation_s / settings.validate_every
        left_s = PLANNED * settings.time_budget_s - self.used_s - self._validation_s
        return done + max(math.floor(left_s / step_s), 0)

    def _has_time_for_another(self) -> bool:
        """Return whether another step and a validation end in time."""
        budget_s = self._settings.time_budget_s
        needed_s = max(self._durations[-PACE_STEPS:]) + RESERVED * self._validation_s
        return self.used_s + needed_s + SPARE * budget_s < budget_s

    def _step_s(self) -> float:
        steady = self._durations[SLOW_STEPS:] or self._durations[-1:]
        return max(sum(steady) / len(steady), 1e-9)
