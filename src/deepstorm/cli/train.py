"""``deepstorm train``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepstorm.cli.durations import duration_s
from deepstorm.cli.options import AsJson, Device, DeviceName, Overwrite, PixelSize
from deepstorm.cli.terminal import bars, messages, print_figures, warn
from deepstorm.errors import InputError

if TYPE_CHECKING:
    from deepstorm.training.course.loss_log import Validation
    from deepstorm.training.network import TrainingSettings
    from deepstorm.training.refiner import RefinementTraining


class Structures(StrEnum):
    """What simulated movies like a measured one show."""

    OWN = "own"
    ANY = "any"


class Tuned(StrEnum):
    """What is trained for a movie."""

    REFINER = "refiner"
    ALL = "all"


Recipe = Annotated[
    str | None,
    typer.Argument(
        metavar="[RECIPE]",
        help="TOML recipe, 'native', 'paper', 'composites' or 'refinement'; may be left out with "
        "frames of your own.",
    ),
]
Sparse = Annotated[
    Path | None,
    typer.Option(metavar="MOVIE", help="Train on sums of your own sparse frames."),
]
KnownFrames = Annotated[
    Path | None,
    typer.Option("--frames", metavar="MOVIE", help="Train on your own frames of known emitters."),
]
Positions = Annotated[
    Path | None,
    typer.Option(metavar="TABLE", help="Their emitters; found in sparse frames where left out."),
]
Like = Annotated[
    Path | None,
    typer.Option(metavar="MOVIE", help="Train on simulated movies like one of your own."),
]
StructuresShown = Annotated[
    Structures | None,
    typer.Option("--structures", help="With --like: what those movies show, 'own' by default."),
]
Tune = Annotated[
    Tuned | None, typer.Option(help="With --like: what is trained, 'refiner' by default.")
]
FromScratch = Annotated[
    bool, typer.Option("--from-scratch", help="Begin with drawn weights, not with a network.")
]
TimeBudget = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Time it may take, in place of --steps: 90s, 1h30m."),
]
Patience = Annotated[
    int | None, typer.Option(min=0, help="Validations without improvement before it ends.")
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Insist on going on, or delete what the folder holds of a training and begin anew; "
        "without either it goes on where there is one.",
    ),
]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Keep curves for TensorBoard, too.")
]


@dataclass(frozen=True)
class _Course:
    """What every training is told: where, how long, and how it is reported."""

    output: Path | None
    folder: Path | None
    length: dict[str, Any]
    as_json: bool
    common: dict[str, Any]

    def home(self, name: str) -> Path:
        """Return where a training lives."""
        return self.folder if self.folder is not None else Path("runs") / name

    def show(self, figures: dict[str, Any], title: str) -> None:
        """Print what came of it, once."""
        from deepstorm.training.course.distributed import is_first_process

        if is_first_process():
            print_figures(figures, as_json=self.as_json, title=title)


def train(
    config: Recipe = None,
    sparse: Sparse = None,
    frames: KnownFrames = None,
    positions: Positions = None,
    like: Like = None,
    structures: StructuresShown = None,
    tune: Tune = None,
    pixel_size_nm: PixelSize = None,
    from_scratch: FromScratch = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Network file to write.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the training lives; runs/NAME by default.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of batches.")] = None,
    time_budget: TimeBudget = None,
    patience: Patience = None,
    resume: Resume = None,
    tensorboard: Tensorboard = False,
    device: Device = DeviceName.CPU,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a network, or a refiner for one; go on where a killed training stopped."""
    budget_s = None if time_budget is None else duration_s(time_budget)
    length = {"steps": steps, "time_budget_s": budget_s, "patience": patience}
    common = {"device": device.value, "overwrite": overwrite, "resume": resume}
    course = _Course(output, folder, length, as_json, common)
    files = {"sparse": sparse, "frames": frames, "positions": positions}
    of_likeness = {"tune": tune, "structures": structures}
    _check_choice(config, files, like, tensorboard=tensorboard, patience=patience)
    _check_likeness(like, steps, budget_s, of_likeness)
    if like is not None:
        chosen = {name: value.value for name, value in of_likeness.items() if value is not None}
        _train_like(like, course, pixel_size_nm, chosen | {"from_scratch": from_scratch})
    elif sparse is not None or frames is not None:
        own = files | {"pixel_size_nm": pixel_size_nm, "from_scratch": from_scratch}
        _train_on_own(config, own, course, tensorboard=tensorboard)
    elif config is not None:
        if pixel_size_nm is not None or from_scratch:
            raise InputError(
                "--pixel-size and --from-scratch belong to --sparse, --frames or --like; a recipe "
                "alone says itself what it starts from"
            )
        _train_recipe(config, course, tensorboard=tensorboard)


def _check_choice(
    config: str | None,
    files: dict[str, Path | None],
    like: Path | None,
    *,
    tensorboard: bool,
    patience: int | None,
) -> None:
    """Refuse what does not go together, before anything is read."""
    ways = {"--sparse": files["sparse"], "--frames": files["frames"], "--like": like}
    given = [name for name, path in ways.items() if path is not None]
    if len(given) > 1:
        raise InputError(
            f"{' and '.join(given)} are different ways to train; give one of them: --sparse for "
            "frames of isolated emitters, --frames (with --positions) for known emitters at any "
            "density, --like for a movie of unknown emitters"
        )
    if not given and config is None:
        raise InputError(
            "nothing says what to train on; give a recipe ('native', 'paper'), or frames of your "
            "own with --sparse, --frames and --positions, or --like"
        )
    if files["positions"] is not None and files["sparse"] is None and files["frames"] is None:
        raise InputError(
            f"'{files['positions']}' is a table of emitters; give the frames that it is of with "
            "--frames, or with --sparse if hardly any of them overlap"
        )
    if like is not None and (config is not None or tensorboard or patience is not None):
        raise InputError(
            "--like takes neither a recipe nor --tensorboard nor --patience: the movie decides"
        )


def _check_likeness(
    like: Path | None, steps: int | None, budget_s: float | None, chosen: dict[str, Any]
) -> None:
    """Refuse what only goes with --like, and two lengths with it."""
    given = [f"--{name}" for name, value in chosen.items() if value is not None]
    if like is None and given:
        raise InputError(f"{' and '.join(given)} can only be given together with --like")
    if like is not None and steps is not None and budget_s is not None:
        raise InputError("a training lasts --steps or a --time-budget, not both; give one of them")


def _train_recipe(config: str, course: _Course, *, tensorboard: bool) -> None:
    from deepstorm.api.train import train as run
    from deepstorm.api.train import training_settings

    settings = training_settings(config, **course.length)
    home, total = course.home(settings.name), _number_of_steps(settings)
    with bars(("making movies", "movies"), ("training", "steps")) as (movies, update):
        best = run(
            settings,
            home,
            output=course.output,
            tensorboard=tensorboard,
            on_step=lambda step, loss: update(step, total, f"loss {loss:.4g}"),
            on_validation=_show,
            on_movie=lambda done, total: movies(done, total, ""),
            **course.common,
        )
    course.show({"network": str(best)} | _reports(home), settings.name)


def _train_on_own(
    config: str | None, own: dict[str, Any], course: _Course, *, tensorboard: bool
) -> None:
    from deepstorm.api.own_data import own_settings, train_on_own

    settings = own_settings(config, **own, **course.length)
    home, total = course.home(settings.name), _number_of_steps(settings)
    with bars(("training", "steps")) as (update,):
        made = train_on_own(
            settings,
            home,
            output=course.output,
            tensorboard=tensorboard,
            on_step=lambda step, loss: update(step, total, f"loss {loss:.4g}"),
            on_validation=_show,
            **course.common,
        )
    if not made.improved:
        warn(
            "the training did not make the network better on held-back examples; "
            f"'{made.path}' is the network that it started from"
        )
    course.show(made.figures() | _reports(home), settings.name)


def _train_like(
    movie: Path, course: _Course, pixel_size_nm: float | None, chosen: dict[str, Any]
) -> None:
    from deepstorm.api.like import train_like
    from deepstorm.config import validated
    from deepstorm.training.likeness import LikeSettings

    given = {name: value for name, value in course.length.items() if value is not None}
    settings = validated(LikeSettings, chosen | given, "--like")
    home = course.home(f"like-{movie.stem}")
    with bars(("making movies", "movies"), ("training", "steps")) as (movies, update):
        made = train_like(
            movie,
            course.output,
            home,
            settings,
            pixel_size_nm=pixel_size_nm,
            on_stage=messages.print,
            on_step=lambda step, loss: update(step, settings.steps, f"loss {loss:.4g}"),
            on_validation=_show,
            on_movie=lambda done, total: movies(done, total, ""),
            **course.common,
        )
    if not made.improved:
        warn(
            "the training did not make the network better on simulated movies like this one; "
            f"'{made.path}' is the network that it started from"
        )
    course.show(made.figures(), movie.stem)


def _number_of_steps(settings: TrainingSettings | RefinementTraining) -> int | None:
    """Return the number of steps; how many fit into a time is found on the way."""
    return None if settings.time_budget_s else settings.steps


def _reports(home: Path) -> dict[str, str]:
    return {"losses": str(home / "losses.csv"), "report": str(home / "report.html")}


def _show(validation: Validation) -> None:
    """Print what a validation gave."""
    messages.print(
        f"step {validation.step}: training {validation.training_loss:.4g}, "
        f"validation {validation.validation_loss:.4g}, rate {validation.rate:.2g}"
    )
