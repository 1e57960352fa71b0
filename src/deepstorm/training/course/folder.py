"""What a training keeps in its folder: its state, its record, and the best network so far."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from deepstorm.config import Settings, by_dotted_name
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.models.zoo import find_network
from deepstorm.training.course.learner import Learner
from deepstorm.training.course.loss_log import LOSSES_NAME, TENSORBOARD_FOLDER
from deepstorm.training.course.state import read_state, write_state

STATE_NAME = "state.safetensors"
BEST_NAME = "best.safetensors"
INITIAL_NAME = "initial.safetensors"
RESULT_NAME = "result.safetensors"
CURVES_NAME = "losses.png"
REPORT_NAME = "report.html"
MOVIES_FOLDER = "movies"
# What a training that begins anew does not keep; the movies for a refiner stay.
OF_ONE_TRAINING = (
    STATE_NAME,
    BEST_NAME,
    INITIAL_NAME,
    RESULT_NAME,
    LOSSES_NAME,
    CURVES_NAME,
    REPORT_NAME,
)
# Settings that differ are named up to this many.
MOST_NAMED = 4


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
            f"'{folder}' holds a training with other settings{_differing(state.settings, settings)}"
            "; choose another `folder` or the same settings, or restart with `resume=False`, which "
            "deletes what is there"
        )
    learner.take_up(state, path)


def check_resumable(folder: Path, *, resume: bool | None, parts: Sequence[str] = ("",)) -> None:
    """Refuse to go on where there is nothing to go on from.

    Parameters
    ----------
    folder : Path
    resume : bool, optional
    parts : sequence of str
        Folders within, any of which may hold a training; by default the folder itself.

    Raises
    ------
    InputError
        If ``resume`` is true, and there is neither a state nor a movie for a refiner.
    """
    if resume and not any(_has_begun(folder / part) for part in parts):
        raise InputError(
            f"'{folder}' holds no training to resume; check its name, or leave `resume` out to "
            "start one there"
        )


def _has_begun(folder: Path) -> bool:
    """Tell whether a folder holds a training, or movies that one has made."""
    return (folder / STATE_NAME).exists() or any((folder / MOVIES_FOLDER).glob("*.safetensors"))


def keep_initial(folder: Path, start_from: str | None) -> None:
    """Keep a copy of the network that a training starts from: it may be gone when that ends."""
    if start_from is None or (folder / STATE_NAME).exists():
        return
    with written_whole(folder / INITIAL_NAME, overwrite=True) as partial:
        shutil.copyfile(find_network(start_from), partial)


def initial_network(folder: Path, start_from: str) -> Path:
    """Return the file of the network that the training in a folder started from."""
    kept = folder / INITIAL_NAME
    return kept if kept.is_file() else find_network(start_from)


def clear_training(folder: Path) -> None:
    """Delete what an earlier training left, the state first: nothing may go on from half of it.

    Files of other names stay, and so do the movies for a refiner.
    """
    for name in OF_ONE_TRAINING:
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / TENSORBOARD_FOLDER)


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
            "is missing; choose another `folder` to train again"
        )
    return best


def _same_settings(text: str, settings: Settings) -> bool:
    """Tell whether settings in JSON are the given ones; those that are not named are as default.

    What settings have read from files is not among them.
    """
    try:
        return type(settings).model_validate_json(text).model_dump() == settings.model_dump()
    except ValidationError:
        return False


def _differing(text: str, settings: Settings) -> str:
    """Say which settings differ, as ``' (steps: 10 there, 20 now)'``; nothing if unclear."""
    try:
        there = type(settings).model_validate_json(text).model_dump(mode="json")
    except ValidationError:
        return ""
    found, now = (
        {name: json.dumps(value) for name, value in by_dotted_name(values)}
        for values in (there, settings.model_dump(mode="json"))
    )
    names = [name for name in found | now if found.get(name) != now.get(name)]
    words = [f"{n}: {found.get(n, 'none')} there, {now.get(n, 'none')} now" for n in names]
    more = [f"{len(words) - MOST_NAMED} more"] if len(words) > MOST_NAMED else []
    return f" ({'; '.join(words[:MOST_NAMED] + more)})"
