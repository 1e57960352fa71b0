"""The state of a training as one safetensors file: all that a resumed training must know."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from deepstorm.errors import InputError
from deepstorm.files import written_whole


@dataclass(slots=True)
class History:
    """What a resumed training must know besides tensors.

    Parameters
    ----------
    step : int
        Steps done.
    validation_losses : list of float
        All so far.
    recent_losses : list of float
        Training losses since the last validation.
    used_s : float
        Seconds that the training had taken when its state was kept.
    planned_steps : int
        Steps that fit into the time allowed, found from the speed of the first ones; 0 where none
        is allowed or the number is not known yet.
    is_out_of_time : bool
        Whether the training has ended because its time was used up.
    """

    step: int = 0
    validation_losses: list[float] = field(default_factory=list)
    recent_losses: list[float] = field(default_factory=list)
    used_s: float = 0.0
    planned_steps: int = 0
    is_out_of_time: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """A training between two steps.

    Parameters
    ----------
    settings : str
        Its settings in JSON.
    history : History
    tensors : dict of Tensor
        Weights, their average and the optimizer's moments, by name.
    """

    settings: str
    history: History
    tensors: dict[str, Tensor]

    def check_layout(self, expected: dict[str, torch.Size], path: Path) -> None:
        """Refuse tensors of other names or shapes than a training has.

        Raises
        ------
        InputError
        """
        if {name: tensor.shape for name, tensor in self.tensors.items()} != expected:
            raise _damaged(path)


def write_state(path: Path, state: State) -> None:
    """Write a state in place of an older one, whole or not at all.

    Raises
    ------
    InputError
        If the file may not be written.
    """
    metadata = {
        "settings": state.settings,
        "step": str(state.history.step),
        "validation_losses": json.dumps(state.history.validation_losses),
        "recent_losses": json.dumps(state.history.recent_losses),
        "used_s": str(state.history.used_s),
        "planned_steps": str(state.history.planned_steps),
        "is_out_of_time": str(int(state.history.is_out_of_time)),
    }
    plain = {name: tensor.contiguous() for name, tensor in state.tensors.items()}
    with written_whole(path, overwrite=True) as partial:
        save_file(plain, partial, metadata=metadata)


def read_state(path: Path) -> State:
    """Read a state; nothing is unpickled.

    Raises
    ------
    InputError
        If the file is damaged or of another kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            # Copies: the tensors as read are views of a file that is going to be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in names}
        history = History(
            step=int(metadata["step"]),
            validation_losses=json.loads(metadata["validation_losses"]),
            recent_losses=json.loads(metadata["recent_losses"]),
            # States that older versions left do not say how long they took.
            used_s=float(metadata.get("used_s", 0)),
            planned_steps=int(metadata.get("planned_steps", 0)),
            is_out_of_time=metadata.get("is_out_of_time", "0") == "1",
        )
        return State(metadata["settings"], history, tensors)
    except (SafetensorError, OSError, KeyError, ValueError):
        raise _damaged(path) from None


def _damaged(path: Path) -> InputError:
    return InputError(
        f"'{path}' is not the complete state of a training; replace it with a copy, or delete "
        "it to restart"
    )
