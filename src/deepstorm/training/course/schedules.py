"""Learning rates: pure functions of the step and of the validation losses so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from deepstorm.config import Settings

# A training is at least so many times as long as its rise, however short: the fall makes networks.
SHORTEST_FALL = 5


class CosineSchedule(Settings):
    """Rise linearly, then fall along half a cosine.

    Parameters
    ----------
    peak_rate, final_rate : float
        Learning rates after the rise and at the end.
    warmup_steps : int
        Length of the rise; at most a fifth of all steps.
    """

    kind: Literal["cosine"] = "cosine"
    peak_rate: float = Field(default=1e-3, gt=0)
    final_rate: float = Field(default=1e-5, gt=0)
    warmup_steps: int = Field(default=200, ge=1)

    def rate(self, step: int, steps: int, validation_losses: Sequence[float]) -> float:
        """Return the learning rate of a step (from 0) out of ``steps``."""
        rise = min(self.warmup_steps, max(steps // SHORTEST_FALL, 1))
        if step < rise:
            return self.peak_rate * (step + 1) / rise
        progress = (step - rise) / max(steps - rise, 1)
        fall = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.final_rate + (self.peak_rate - self.final_rate) * fall


class PlateauSchedule(Settings):
    """Lower the rate whenever the validation loss has stopped falling (the paper's code).

    A training too short for that ends at the lowest rate all the same, as ``cooldown`` says.

    Parameters
    ----------
    initial_rate, minimum_rate : float
        Learning rate at first, and the one it is not lowered beyond.
    factor : float
        By which the rate is multiplied.
    patience : int
        Validations without an improvement before it is lowered.
    cooldown : float
        Part of the training, at its end, over which the rate falls to the lowest in a straight
        line.
    """

    kind: Literal["plateau"] = "plateau"
    initial_rate: float = Field(default=1e-3, gt=0)
    minimum_rate: float = Field(default=5e-5, gt=0)
    factor: float = Field(default=0.1, gt=0, lt=1)
    patience: int = Field(default=5, ge=1)
    cooldown: float = Field(default=0.0, ge=0, le=1)

    def rate(self, step: int, steps: int, validation_losses: Sequence[float]) -> float:
        """Return the learning rate of a step (from 0) out of ``steps`` after these losses."""
        rate = self._plateau_rate(validation_losses)
        left, cooling = max(steps - step, 0), self.cooldown * steps
        if left >= cooling:
            return rate
        lowest = min(rate, self.minimum_rate)
        return lowest + (rate - lowest) * left / cooling

    def _plateau_rate(self, validation_losses: Sequence[float]) -> float:
        rate, best, waited = self.initial_rate, math.inf, 0
        for loss in validation_losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited >= self.patience:
                rate, waited = min(rate, max(rate * self.factor, self.minimum_rate)), 0
        return rate


Schedule = Annotated[CosineSchedule | PlateauSchedule, Field(discriminator="kind")]
