"""The loop that all trainings share: step, validate, keep the state, end in good order."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from deepstorm.config import Settings
from deepstorm.training.course.distributed import ALONE, Team
from deepstorm.training.course.folder import save_state
from deepstorm.training.course.learner import Learner
from deepstorm.training.course.loss_log import Progress
from deepstorm.training.course.pace import Pace

OnStep = Callable[[int, float], None]
OnValidation = Callable[[Progress], None]


class Course(Protocol):
    """What is trained, a step or a validation at a time."""

    learner: Learner
    pace: Pace

    def step(self) -> float:
        """Learn from one batch; return its loss."""

    def validate(self) -> Progress:
        """Score the averaged weights, keep them if they are the best so far, and log."""

    def trial(self) -> float:
        """Return how many seconds a validation takes, by a part of one."""


def run_course(
    course: Course,
    folder: Path,
    settings: Settings,
    checkpoint_every_s: float,
    on_step: OnStep,
    on_validation: OnValidation,
    team: Team = ALONE,
) -> None:
    """Go through a training from where it stands to its end.

    The state is kept in ``folder`` after each validation, and whenever ``checkpoint_every_s`` has
    passed; the first process of a team keeps it.
    """
    history, pace = course.learner.history, course.pace
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        if team.writes:
            history.used_s = pace.used_s
            save_state(folder, course.learner, settings)
        saved = time.monotonic()

    while not pace.is_over:
        began = time.monotonic()
        loss = course.step()
        pace.after_step(time.monotonic() - began, course.trial)
        on_step(history.step, loss)
        if pace.validation_is_due():
            began = time.monotonic()
            progress = course.validate()
            save()
            on_validation(progress)
            pace.after_validation(time.monotonic() - began)
        elif time.monotonic() - saved > checkpoint_every_s:
            save()
