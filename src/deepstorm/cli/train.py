"""``deepstorm train``."""

from __future__ import annotations

from typing import Annotated

import typer

from deepstorm.cli import options
from deepstorm.cli.training import number_of_steps, show_result, training_length, training_seen


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="'native', 'paper', 'paper-short', 'composites', 'refinement', or a TOML file."
        ),
    ],
    output: options.NetworkFile = None,
    folder: options.Folder = None,
    steps: options.Steps = None,
    time_budget_s: options.TimeBudget = None,
    patience: options.Patience = None,
    resume: options.Resume = None,
    tensorboard: options.Tensorboard = False,
    device: options.Device = options.DeviceName.CPU,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a network, or its refiner, from a recipe; resume a stopped training."""
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
