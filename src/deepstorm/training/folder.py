"""What a training keeps in its folder: its state, and the best network so far."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.training.learner import Learner
from deepstorm.training.state import read_state, write_state

STATE_NAME = "state.safetensors"
BEST_NAME = "best.safetensors"


def save_state(folder: Path, learner: Learner, settings: Settings) -> None:
    """Write all that a resumed training needs, without pickling."""
    write_state(folder / STATE_NAME, learner.state(settings.model_dump_json()))


def restore(folder: Path, learner: Learner, settings: Settings) -> None:
    """Take up the state in the folder, if there is one.

    Raises
    ------
    InputError
        If it is damaged, or that of a training with other settings.
    """
    path = folder / STATE_NAME
    if not path.exists():
        return
    state = read_state(path)
    if not _same_settings(state.settings, settings):
        raise InputError(
            f"'{folder}' holds a training with other settings; "
            "choose another folder or the same settings"
        )
    learner.take_up(state, path)


def best_network(folder: Path) -> Path:
    """Return the file of the best network of a training that is complete.

    Raises
    ------
    InputError
        If it is missing.
    """
    best = folder / BEST_NAME
    if not best.is_file():
        raise InputError(
            f"the training in '{folder}' is complete, but its best network '{best.name}' "
            "is missing; choose another folder to train anew"
        )
    return best


def _same_settings(text: str, settings: Settings) -> bool:
    """Tell whether settings in JSON are the given ones; those that are not named are as default."""
    try:
        return type(settings).model_validate_json(text) == settings
    except ValidationError:
        return False
