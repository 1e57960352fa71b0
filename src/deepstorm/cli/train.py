"""``deepstorm train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstorm.cli.options import AsJson, Device, DeviceName, Overwrite
from deepstorm.cli.terminal import bars, messages, print_figures

if TYPE_CHECKING:
    from deepstorm.training.loss_log import Progress


def train(
    config: Annotated[str, typer.Argument(help="TOML recipe, 'native', 'paper' or 'refinement'.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Network file to write.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="State and losses; resumed if present.  [runs/NAME]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of batches.")] = None,
    device: Device = DeviceName.CPU,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a network, or a refiner for one; go on where a killed training stopped."""
    from deepstorm.api.train import train as run
    from deepstorm.api.train import training_settings

    settings = training_settings(config, steps=steps)
    home = folder if folder is not None else Path("runs") / settings.name

    with bars(("making movies", "movies"), ("training", "steps")) as (movies, update):
        best = run(
            settings,
            home,
            output=output,
            device=device.value,
            overwrite=overwrite,
            on_step=lambda step, loss: update(step, settings.steps, f"loss {loss:.4g}"),
            on_validation=_show,
            on_movie=lambda done, total: movies(done, total, ""),
        )
    files = {"network": str(best), "losses": str(home / "losses.csv")}
    print_figures(files, as_json=as_json, title=settings.name)


def _show(progress: Progress) -> None:
    """Print what a validation gave."""
    messages.print(
        f"step {progress.step}: training {progress.training_loss:.4g}, "
        f"validation {progress.validation_loss:.4g}, rate {progress.rate:.2g}"
    )
