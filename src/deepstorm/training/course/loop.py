"""The loop that all trainings share: step, validate, keep the state, end in good order."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepstorm.models.devices import find_device
from deepstorm.training.course.distributed import ALONE, Team
from deepstorm.training.course.folder import STATE_NAME, best_network, restore, save_state
from deepstorm.training.course.learner import Learner, finite
from deepstorm.training.course.loss_log import Validation, log_losses
from deepstorm.training.course.pace import Pace
from deepstorm.training.course.settings import CourseSettings
from deepstorm.training.course.state import History

OnStep = Callable[[int, float], None]
OnValidation = Callable[[Validation], None]
OnMovie = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training.

    Parameters
    ----------
    path : Path
        The file of the network that was best on validation.
    steps : int
        Steps done, in all runs.
    loss_before : float or None
        Validation loss of what the training set out to improve, where it was measured.
    loss_after : float
        That of the best network.
    used_s : float
        Seconds that it took, in all runs.
    ending : str
        Why it has ended, in words.
    """

    path: Path
    steps: int
    loss_before: float | None
    loss_after: float
    used_s: float
    ending: str


class Course(ABC):
    """A training in a folder that holds everything needed to go on.

    Each training says what it learns from (:meth:`loss`), on what it is validated (:meth:`score`)
    and what is kept of the best (:meth:`keep_best`).

    Parameters
    ----------
    settings : CourseSettings
    module : torch.nn.Module
        What learns, with weights that were drawn.
    start : callable
        Copies the weights of a trained network, by embedded name or file, into the module.
    folder : Path
        Holds the state, the best network so far and the losses; continued if it has a state.
    device : str
        Torch device, to which the module is brought.
    team : Team
        The processes that train together.
    resume : bool
        Whether to go on from a state in the folder; else it plays no part, and is replaced.
    weight_decay : float
        Of the optimizer.

    Attributes
    ----------
    held_back : int
        How many batches or movies a validation scores.
    loss_before : float or None
        Validation loss of what the training sets out to improve, where it was measured.

    Raises
    ------
    InputError
        If the folder holds a training with other settings or a damaged state.
    """

    held_back: int
    loss_before: float | None = None

    def __init__(
        self,
        settings: CourseSettings,
        module: nn.Module,
        start: Callable[[str], None],
        folder: Path,
        device: str,
        team: Team = ALONE,
        *,
        resume: bool,
        weight_decay: float = 0.0,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.team = team
        self.device = find_device(device)
        resumed = resume and (folder / STATE_NAME).exists()
        if settings.start_from is not None and not resumed:
            start(settings.start_from)
        module.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner = Learner(module, settings.averaging, settings.gradient_limit, weight_decay)
        if resumed:  # with the weights of its state, wherever it once started from
            restore(folder, self.learner, settings)
        self.pace = Pace(settings, self.history, team, self.device)
        self._saved = time.monotonic()

    @property
    def history(self) -> History:
        """What has been done so far."""
        return self.learner.history

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, float]:
        """Return the loss to follow at a step (from 0), and its value over the whole batch."""

    @abstractmethod
    def score(self, index: int) -> float:
        """Return the loss of what is held back under an index."""

    @abstractmethod
    def keep_best(self, loss: float) -> None:
        """Write the network, with the weights as they are now and their validation loss."""

    def prepare(self, on_movie: OnMovie) -> None:  # noqa: B027 (not every training has some)
        """Make what has to be there before the first step."""

    def run(
        self,
        on_step: OnStep = lambda step, loss: None,
        on_validation: OnValidation = lambda validation: None,
        on_movie: OnMovie = lambda done, total: None,
    ) -> Trained:
        """Train to the end.

        The state is kept after each validation, and whenever ``checkpoint_every_s`` has passed.

        Parameters
        ----------
        on_step : callable
            Called after each step with the number of steps done and the loss.
        on_validation : callable
            Called after each validation.
        on_movie : callable
            Called with the number of movies made so far, and that of all, where a training makes
            some before its first step.

        Raises
        ------
        InputError
            If a loss is not a finite number, or a file in the folder is damaged or cannot be
            written.
        """
        self.prepare(on_movie)
        history, pace = self.history, self.pace
        self._saved = time.monotonic()
        while not pace.is_over:
            began = time.monotonic()
            loss = self.step()
            pace.after_step(time.monotonic() - began, self.trial)
            on_step(history.step, loss)
            if pace.validation_is_due():
                began = time.monotonic()
                validation = self.validate()
                self._save()
                on_validation(validation)
                pace.after_validation(time.monotonic() - began)
            elif time.monotonic() - self._saved > self.settings.checkpoint_every_s:
                self._save()
        self.team.wait()
        return Trained(
            path=best_network(self.folder),
            steps=history.step,
            loss_before=self.loss_before,
            loss_after=min(history.validation_losses),
            used_s=pace.used_s,
            ending=pace.ending,
        )

    def step(self) -> float:
        """Learn from one batch; return its loss."""
        history, schedule = self.history, self.settings.schedule
        rate = schedule.rate(history.step, self.pace.steps, history.validation_losses)
        self.learner.module.train()
        loss, value = self.loss(history.step)
        self.learner.step(loss, rate, finite(value, history.step + 1))
        return value

    @torch.no_grad()
    def validate(self) -> Validation:
        """Score the averaged weights, keep them if they are the best so far, and log."""
        history, team = self.history, self.team
        mine = range(team.rank, self.held_back, team.size)
        self.learner.module.eval()
        with self.learner.averaged():
            loss = finite(team.mean([self.score(i) for i in mine], self.device), history.step)
            if loss < min(history.validation_losses, default=math.inf) and team.writes:
                self.keep_best(loss)
        history.validation_losses.append(loss)
        validation = Validation(
            step=history.step,
            training_loss=sum(history.recent_losses) / len(history.recent_losses),
            validation_loss=loss,
            rate=self.learner.optimizer.param_groups[0]["lr"],
            elapsed_s=self.pace.elapsed_s,
        )
        history.recent_losses.clear()
        if team.writes:
            log_losses(self.folder, validation)
        return validation

    @torch.no_grad()
    def trial(self) -> float:
        """Return how many seconds a validation takes, by a part of one."""
        self.learner.module.eval()
        self.score(0)  # the first one is slower
        began = time.monotonic()
        self.score(0)
        return (time.monotonic() - began) * self.held_back

    def autocast(self) -> torch.autocast:
        """Return the context in which convolutions have the precision that was asked for."""
        reduced = self.settings.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=reduced)

    def record(self, figures: dict[str, Any]) -> dict[str, Any]:
        """Return what a card tells of the training at this step, ``figures`` among it."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "step": self.history.step,
            **figures,
            "torch_version": torch.__version__,
        }

    def curve(self, loss: float) -> list[list[float]]:
        """Return (step, loss) of the validations so far and of the one that gave ``loss`` now."""
        every, losses = self.settings.validate_every, self.history.validation_losses
        before = [[every * (i + 1), past] for i, past in enumerate(losses)]
        return [*before, [self.history.step, loss]]

    def _save(self) -> None:
        """Keep the state; the first process of a team does."""
        if self.team.writes:
            self.history.used_s = self.pace.used_s
            save_state(self.folder, self.learner, self.settings)
        self._saved = time.monotonic()
