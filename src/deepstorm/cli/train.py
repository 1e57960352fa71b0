"""``deepstorm train``."""

from __future__ import annotations

from typing import Annotated

import typer

from deepstorm.cli.options import (
    AsJson,
    Device,
    DeviceName,
    Folder,
    NetworkFile,
    Overwrite,
    Patience,
    Resume,
    Steps,
    Tensorboard,
    TimeBudget,
)
from deepstorm.cli.training import number_of_steps, show_result, training_length, training_seen


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="'native', 'paper', 'paper-short', 'composites', 'refinement', or a TOML file."
        ),
    ],
    output: NetworkFile = None,
    folder: Folder = None,
    steps: Steps = None,
    time_budget_s: TimeBudget = None,
    patience: Patience = None,
    resume: Resume = None,
    tensorboard: Tensorboard = False,
    device: Device = DeviceName.CPU,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a network, or a refiner for one, by a recipe; resume a killed training."""
    from deepstorm.api.train import train as run
    from deepstorm.api.train import training_settings

    settings = training_settings(recipe, **training_length(steps, time_budget_s, patience))
    with training_seen(number_of_steps(settings)) as seen:
        result = run(
            settings,
            folder,
            output=output,
            device=device.value,
            overwrite=overwrite,
            resume=resume,
            tensorboard=tensorboard,
            **seen,
        )
    show_result(result, settings.name, as_json=as_json)
