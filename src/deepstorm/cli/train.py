"""``deepstorm train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstorm.cli.durations import duration_s
from deepstorm.cli.options import AsJson, Device, DeviceName, Overwrite
from deepstorm.cli.terminal import bars, messages, print_figures

if TYPE_CHECKING:
    from deepstorm.training.loss_log import Progress


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


def train(
    config: Annotated[str, typer.Argument(help="TOML recipe, 'native', 'paper' or 'refinement'.")],
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
    from deepstorm.api.train import train as run
    from deepstorm.api.train import training_settings
    from deepstorm.training.distributed import is_first_process

    budget_s = None if time_budget is None else duration_s(time_budget)
    settings = training_settings(config, steps=steps, time_budget_s=budget_s, patience=patience)
    home = folder if folder is not None else Path("runs") / settings.name
    # How many steps fit into a time is found on the way.
    total = settings.steps if budget_s is None else None

    with bars(("making movies", "movies"), ("training", "steps")) as (movies, update):
        best = run(
            settings,
            home,
            output=output,
            device=device.value,
            overwrite=overwrite,
            resume=resume,
            tensorboard=tensorboard,
            on_step=lambda step, loss: update(step, total, f"loss {loss:.4g}"),
            on_validation=_show,
            on_movie=lambda done, total: movies(done, total, ""),
        )
    files = {
        "network": str(best),
        "losses": str(home / "losses.csv"),
        "report": str(home / "report.html"),
    }
    if is_first_process():
        print_figures(files, as_json=as_json, title=settings.name)


def _show(progress: Progress) -> None:
    """Print what a validation gave."""
    messages.print(
        f"step {progress.step}: training {progress.training_loss:.4g}, "
        f"validation {progress.validation_loss:.4g}, rate {progress.rate:.2g}"
    )
