"""``train``: a network, or a refiner for one, from a recipe, resumable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from deepstorm.config import AnySettings, Settings, read_settings, validated
from deepstorm.errors import InputError
from deepstorm.files import check_writable, written_whole
from deepstorm.io.localizations import read_localizations
from deepstorm.io.movies import open_movie
from deepstorm.models.devices import find_device
from deepstorm.training.examples import ExampleSource
from deepstorm.training.loss_log import Progress
from deepstorm.training.refinement import RefinementTrainer, RefinementTraining
from deepstorm.training.regions import Acquisition, RegionExamples
from deepstorm.training.trainer import Trainer, TrainingSettings

PathLike = str | os.PathLike[str]
AnyTraining = TrainingSettings | RefinementTraining

RECIPES = ("native", "paper", "paper-short", "refinement")


class _RecipeKind(Settings):
    """What a recipe trains: a refiner where it says so, else a network."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["refinement"] | None = None


def training_settings(recipe: PathLike, *, steps: int | None = None) -> AnyTraining:
    """Read a recipe.

    Parameters
    ----------
    recipe : path-like
        A TOML file, or the name of a recipe that came with the package: ``native``, ``paper``,
        ``refinement``.
    steps : int, optional
        Number of batches, in place of the recipe's.

    Returns
    -------
    TrainingSettings or RefinementTraining
        The latter for a recipe with ``kind = "refinement"``.

    Raises
    ------
    InputError
        If there is no such recipe, or it holds a key or a value that is not known.
    """
    embedded = resources.files("deepstorm") / "recipes" / f"{Path(recipe).name}.toml"
    is_name = str(recipe) == Path(recipe).name and embedded.is_file()
    if not is_name and not Path(recipe).exists():
        raise InputError(
            f"there is no recipe '{recipe}': neither a TOML file of that name nor one of the "
            f"embedded recipes ({', '.join(RECIPES)})"
        )
    path = Path(str(embedded)) if is_name else Path(recipe)
    if read_settings(_RecipeKind, path).kind == "refinement":
        return _with_steps(RefinementTraining, path, steps)
    return _with_steps(TrainingSettings, path, steps)


def _with_steps(kind: type[AnySettings], path: Path, steps: int | None) -> AnySettings:
    """Read settings; put another number of steps in place, where one is given."""
    settings = read_settings(kind, path)
    if steps is None:
        return settings
    return validated(kind, settings.model_dump() | {"steps": steps}, "the training")


def train(
    settings: AnyTraining | PathLike,
    folder: PathLike,
    *,
    output: PathLike | None = None,
    device: str = "cpu",
    overwrite: bool = False,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    on_validation: Callable[[Progress], None] = lambda progress: None,
    on_movie: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Train a network or a refiner, or go on with a training that was interrupted.

    Parameters
    ----------
    settings : TrainingSettings, RefinementTraining or path-like
        Settings, or a TOML file of them.
    folder : path-like
        Holds the state from which a killed training resumes, the losses (``losses.csv``) and the
        best network so far (``best.safetensors``); made where it is missing.
    output : path-like, optional
        Where to put a copy of the best network, ending in ``.safetensors``.
    device : str
        Torch device.
    overwrite : bool
        Whether an existing ``output`` may be replaced.
    on_step : callable
        Called with the number of steps done and the loss.
    on_validation : callable
        Called with a :class:`~deepstorm.training.loss_log.Progress` after each validation.
    on_movie : callable
        Called while the movies for a refiner are made, with the numbers of those done and of all.

    Returns
    -------
    Path
        The file of the network that was best on validation.

    Raises
    ------
    InputError
        If a setting or a file cannot be used, or the folder holds a training with other settings.
    """
    chosen = settings if isinstance(settings, AnyTraining) else training_settings(settings)
    home = Path(folder)
    if home.exists() and not home.is_dir():
        raise InputError(f"'{home}' is a file; give a folder for the training")
    if output is not None and Path(output).suffix != ".safetensors":
        raise InputError(f"'{output}' would be a network; end its name in .safetensors")
    if output is not None:
        check_writable(output, overwrite=overwrite)
    find_device(device)
    if isinstance(chosen, RefinementTraining):
        refiner = RefinementTrainer(chosen, home, device)
        home.mkdir(parents=True, exist_ok=True)
        best = refiner.run(on_movie, on_step, on_validation)
    else:
        source = _example_source(chosen)
        home.mkdir(parents=True, exist_ok=True)
        best = Trainer(chosen, source, home, device).run(on_step, on_validation)
    if output is None:
        return best
    with written_whole(output, overwrite=overwrite) as partial:
        shutil.copyfile(best, partial)
    return Path(output)


def _example_source(settings: TrainingSettings) -> ExampleSource:
    """Open where the training's examples come from, reading its files where it names some."""
    examples, upsampling = settings.examples, settings.network.upsampling
    if not isinstance(examples, RegionExamples):
        return examples.prepare(settings.scaling, upsampling, settings.seed)
    known = None
    if examples.frames_path is not None and examples.positions_path is not None:
        with open_movie(examples.frames_path) as movie:
            frames = movie.read(0, movie.shape[0])
        emitters = read_localizations(examples.positions_path, pixel_size_nm=examples.pixel_size_nm)
        known = Acquisition(frames, emitters, examples.pixel_size_nm)
    return examples.prepare(settings.scaling, upsampling, settings.seed, known)
