"""``train``: a network, or a refiner for one, from a recipe, resumable."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict

from deepstorm.api.example_sources import example_source
from deepstorm.api.training_result import TrainingResult, training_folder
from deepstorm.arrays import PathLike
from deepstorm.config import AnySettings, Settings, read_settings, validated
from deepstorm.errors import InputError
from deepstorm.files import check_outputs, check_writable
from deepstorm.models.checkpoint import save_network
from deepstorm.models.devices import find_device
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import find_network
from deepstorm.reports.training_record import TrainingRecord
from deepstorm.training.course.distributed import Team, is_first_process, joined_team
from deepstorm.training.course.folder import (
    OF_ONE_TRAINING,
    check_resumable,
    clear_training,
    initial_network,
    keep_initial,
)
from deepstorm.training.course.loop import Course
from deepstorm.training.course.loss_log import Validation
from deepstorm.training.course.reducing import allow_8_bits
from deepstorm.training.course.reservation import reserved_training
from deepstorm.training.examples.protocol import ExampleSource
from deepstorm.training.network import NetworkTrainer, TrainingSettings
from deepstorm.training.refiner import RefinementTraining, RefinerTrainer

AnyTraining = TrainingSettings | RefinementTraining

RECIPES = ("native", "paper", "paper-short", "composites", "refinement")


class _RecipeKind(Settings):
    """What a recipe trains: a refiner where it says so, else a network."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["refinement"] | None = None


def training_settings(
    recipe: PathLike,
    *,
    steps: int | None = None,
    time_budget_s: float | None = None,
    patience: int | None = None,
) -> AnyTraining:
    """Read a recipe.

    Parameters
    ----------
    recipe : path-like
        A TOML file, or the name of a bundled recipe: ``native``, ``paper``,
        ``paper-short``, ``composites``, ``refinement``.
    steps : int, optional
        Number of batches, in place of the recipe's.
    time_budget_s : float, optional
        Seconds that the training may take, in place of a number of batches.
    patience : int, optional
        Validations without improvement after which it ends, in place of the recipe's.

    Returns
    -------
    TrainingSettings or RefinementTraining
        The latter for a recipe with ``kind = "refinement"``.

    Raises
    ------
    InputError
        If there is no such recipe, or it holds an unknown key or value, or both a number of batches
        and a time are given.
    """
    embedded = resources.files("deepstorm") / "recipes" / f"{Path(recipe).name}.toml"
    is_name = str(recipe) == Path(recipe).name and embedded.is_file()
    if not is_name and not Path(recipe).exists():
        raise InputError(
            f"there is no recipe '{recipe}': neither a TOML file of that name nor one of the "
            f"bundled recipes ({', '.join(RECIPES)})"
        )
    path = Path(str(embedded)) if is_name else Path(recipe)
    changes = _length(steps, time_budget_s)
    if patience is not None:
        changes["patience"] = patience
    if read_settings(_RecipeKind, path).kind == "refinement":
        return _changed(RefinementTraining, path, changes)
    return _changed(TrainingSettings, path, changes)


def _length(steps: int | None, time_budget_s: float | None) -> dict[str, Any]:
    """Return the settings of how long a training lasts, those that are given."""
    if steps is not None and time_budget_s is not None:
        raise InputError(
            f"a training lasts {steps} steps or {time_budget_s:g} s, not both; give one of them"
        )
    if steps is not None:
        return {"steps": steps, "time_budget_s": 0.0}
    return {} if time_budget_s is None else {"time_budget_s": time_budget_s}


def _changed(kind: type[AnySettings], path: Path, changes: dict[str, Any]) -> AnySettings:
    """Read settings; put others in place, where some are given."""
    settings = read_settings(kind, path)
    if not changes:
        return settings
    return validated(kind, settings.model_dump() | changes, "the training")


def train(
    settings: AnyTraining | PathLike,
    folder: PathLike | None = None,
    *,
    output: PathLike | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    resume: bool | None = None,
    tensorboard: bool = False,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    on_validation: Callable[[Validation], None] = lambda validation: None,
    on_movie: Callable[[int, int], None] = lambda done, total: None,
    source: ExampleSource | None = None,
) -> TrainingResult:
    """Train a network or a refiner by a recipe, or resume a training that was interrupted.

    Parameters
    ----------
    settings : TrainingSettings, RefinementTraining or path-like
        Settings, or a recipe: a TOML file of them, or the name of a bundled one.
    folder : path-like, optional
        Holds the state from which a killed training resumes, the losses (``losses.csv``,
        ``losses.png``), a page about the training (``report.html``) and the best network so far
        (``best.safetensors``); made where it is missing. ``runs/NAME`` where absent.
    output : path-like, optional
        Where to put a copy of the best network when the training has ended, ending in
        ``.safetensors``.
    device : str
        Torch device.
    overwrite : bool
        Whether an existing ``output`` may be replaced.
    resume : bool, optional
        ``True`` resumes the training in the folder, which has to be there; ``False`` deletes it and
        restarts. By default a training that is there is resumed, else one starts.
    tensorboard : bool
        Whether to keep curves for TensorBoard in the folder, too.
    on_step : callable
        Called with the number of steps done and the loss.
    on_validation : callable
        Called with a :class:`~deepstorm.training.course.loss_log.Validation` after each validation.
    on_movie : callable
        Called while the movies for a refiner are made, with the numbers of those done and of all.
    source : ExampleSource, optional
        Where a network's examples come from; opened from the settings where absent.

    Returns
    -------
    TrainingResult
        Its ``path`` is the file of the network that was best on validation.

    Raises
    ------
    InputError
        If a setting or a file cannot be used, or the folder holds a training with other settings
        and ``resume`` is not false.

    Notes
    -----
    Processes that ``torchrun`` started train together; the first one writes.
    """
    chosen = settings if isinstance(settings, AnyTraining) else training_settings(settings)
    home = training_folder(folder, chosen.name)
    check_places(home, output, overwrite=overwrite)
    find_device(device)
    check_resumable(home, resume=resume)
    if resume is False and is_first_process():
        _check_start(home, chosen)
    with (
        reserved_training(home, output, overwrite=overwrite) as keep,
        joined_team(device) as team,
    ):
        training, opened = _prepared(chosen, home, device, team, source, fresh=resume is False)
        record = TrainingRecord(
            training, opened, on_validation, tensorboard=tensorboard, processes=team.size
        )
        _make_room(home, training, team, fresh=resume is False)
        watch = record if team.writes else _ignore
        steps = on_step if team.writes else _ignore
        best = training.run(steps, watch, on_movie).path
        if isinstance(training, NetworkTrainer) and team.writes:
            allow_8_bits(best, training.source, training.settings.loss)
            _keep_refiner(best, home, training.settings.start_from)
        if output is not None:
            keep(best)
    return TrainingResult(best if output is None else Path(output), home)


def _keep_refiner(best: Path, home: Path, start_from: str | None) -> None:
    """Give the best network the refiner of the one that it started from, if that has one."""
    if start_from is None or not best.is_file():
        return
    trained = TrainedNetwork.open(best)
    if trained.card.refinement is not None:
        return
    joined = trained.with_refiner_of(TrainedNetwork.open(initial_network(home, start_from)))
    if joined is not trained:
        save_network(best, joined.load(), joined.card, overwrite=True)


def _check_start(home: Path, settings: AnyTraining) -> None:
    """Refuse to restart from a network that would be deleted with what is there."""
    names = [settings.start_from]
    if isinstance(settings, RefinementTraining):
        names.append(settings.network)
    inputs = [find_network(name) for name in names if name is not None]
    there = [home / name for name in OF_ONE_TRAINING if (home / name).exists()]
    check_outputs(there, overwrite=True, inputs=inputs)


def check_places(home: Path, output: PathLike | None, *, overwrite: bool) -> None:
    """Refuse places where nothing can be written, before any work is done.

    Of several processes that train together the first one looks: it is the one that writes, and
    may have reserved its places already when another one gets here.
    """
    if not is_first_process():
        return
    if home.exists() and not home.is_dir():
        raise InputError(f"'{home}' is a file; give a `folder` for the training")
    if output is not None and Path(output).suffix != ".safetensors":
        raise InputError(f"'{output}' is to be a network; end its name in .safetensors")
    if output is not None:
        check_writable(output, overwrite=overwrite)


def _ignore(*_: object) -> None:
    """Do nothing: of several processes one reports."""


def _prepared(
    settings: AnyTraining,
    home: Path,
    device: str,
    team: Team,
    source: ExampleSource | None,
    *,
    fresh: bool,
) -> tuple[Course, ExampleSource | None]:
    """Return a training that is ready to run, and where its examples come from."""
    if isinstance(settings, TrainingSettings):
        opened = example_source(settings) if source is None else source
        return NetworkTrainer(settings, home, device, team, source=opened, resume=not fresh), opened
    return RefinerTrainer(settings, home, device, team, resume=not fresh), None


def _make_room(home: Path, training: Course, team: Team, *, fresh: bool) -> None:
    """Make the folder, empty of an earlier training at a restart."""
    team.wait()  # until every process has read what is there
    if team.writes:
        home.mkdir(parents=True, exist_ok=True)
        if fresh:
            clear_training(home)
        if isinstance(training, NetworkTrainer):
            keep_initial(home, training.settings.start_from)
    team.wait()
