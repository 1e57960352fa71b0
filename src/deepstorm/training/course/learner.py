"""A module that learns: its optimizer, the average of its weights, and how far it has come."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from deepstorm.errors import InputError
from deepstorm.training.course.state import History, State

MOMENTS = ("exp_avg", "exp_avg_sq")


class Learner:
    """Steps of AdamW on a module, with a moving average of its weights; can be kept and taken up.

    Parameters
    ----------
    module : torch.nn.Module
        On its device, in its memory layout; all of its parameters take part in every loss.
    averaging : float
        Decay of the average; 0 for none.
    gradient_limit : float
        Largest norm of a gradient; 0 for no limit.
    weight_decay : float
        Decay of the weights that AdamW takes; 0 for none.
    """

    def __init__(
        self,
        module: nn.Module,
        averaging: float,
        gradient_limit: float,
        weight_decay: float = 0.0,
    ) -> None:
        self.module = module
        self.averaging = averaging
        self.gradient_limit = gradient_limit
        self.average = {name: t.detach().clone() for name, t in module.state_dict().items()}
        self.optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=weight_decay)
        self.history = History()

    def step(self, loss: Tensor, rate: float, value: float) -> None:
        """Follow the gradient of a loss once, at a learning rate.

        Parameters
        ----------
        loss : Tensor
        rate : float
        value : float
            The loss to remember: that of the whole batch, of which this may be a share.
        """
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.gradient_limit > 0:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.gradient_limit)
        self.optimizer.step()
        self.history.step += 1
        self.history.recent_losses.append(value)
        self._update_average()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the module the averaged weights for a while."""
        present = {name: t.clone() for name, t in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        try:
            yield
        finally:
            self.module.load_state_dict(present)

    def state(self, settings: str) -> State:
        """Return all that is needed to go on, with settings in JSON."""
        tensors = {f"network.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        return State(settings, self.history, tensors)

    def take_up(self, state: State, path: Path) -> None:
        """Go on from a state that was read from ``path``.

        Raises
        ------
        InputError
            If it is not that of such a module.
        """
        state.check_layout(self._layout(), path)
        tensors = state.tensors
        self.history = state.history
        for name, weight in self.module.state_dict().items():
            weight.copy_(tensors[f"network.{name}"])
            self.average[name].copy_(tensors[f"average.{name}"])
        moments = {
            index: {
                "step": tensors[f"optimizer.{index}.step"],
                # In the memory layout of the weights, as in a training that was not interrupted.
                **{m: _like(weight, tensors[f"optimizer.{index}.{m}"]) for m in MOMENTS},
            }
            for index, weight in enumerate(self.module.parameters())
        }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights towards the present ones; quickly at first."""
        step = self.history.step
        decay = min(self.averaging, (1 + step) / (10 + step))
        for name, tensor in self.module.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:  # a count, such as that of the batches that a normalization has seen
                self.average[name].copy_(tensor)

    def _layout(self) -> dict[str, torch.Size]:
        """Return the names and shapes of the tensors in a state."""
        shapes = {}
        for name, tensor in self.module.state_dict().items():
            shapes[f"network.{name}"] = shapes[f"average.{name}"] = tensor.shape
        for index, weight in enumerate(self.module.parameters()):
            shapes[f"optimizer.{index}.step"] = torch.Size()
            shapes |= {f"optimizer.{index}.{moment}": weight.shape for moment in MOMENTS}
        return shapes


def finite(loss: float, step: int) -> float:
    """Return the loss of a step if it is a finite number.

    Raises
    ------
    InputError
    """
    if not math.isfinite(loss):
        raise InputError(f"the loss became {loss} at step {step}; lower the learning rate")
    return loss


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        # The processor's generator alone: manual_seed would change those of GPUs, too.
        torch.default_generator.manual_seed(seed)
        yield


def _like(weight: Tensor, moment: Tensor) -> Tensor:
    """Return a moment on the device and in the memory layout of its weight."""
    return torch.empty_like(weight, requires_grad=False).copy_(moment)
