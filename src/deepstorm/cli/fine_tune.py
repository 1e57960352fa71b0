"""``deepstorm fine-tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepstorm.cli import options
from deepstorm.cli.training import number_of_steps, show_result, training_length, training_seen


def fine_tune(
    movie: Annotated[Path, typer.Argument(help="Your frames: sparse, or of known emitters.")],
    positions: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE", help="All their emitters; if not given, located in sparse frames."
        ),
    ] = None,
    sparse: Annotated[
        bool, typer.Option("--sparse", help="Sum the frames even though a table is given.")
    ] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Network, loss and schedule.  [the default network's]")
    ] = None,
    pixel_size_nm: options.PixelSize = None,
    from_scratch: options.FromScratch = False,
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
    """Fine-tune a network on frames of your own microscope."""
    from deepstorm.api.fine_tune import fine_tune as run
    from deepstorm.api.fine_tune import fine_tuning_settings

    length = training_length(steps, time_budget_s, patience)
    settings = fine_tuning_settings(recipe, from_scratch=from_scratch, **length)
    with training_seen(number_of_steps(settings)) as seen:
        result = run(
            movie,
            folder,
            settings,
            output=output,
            positions=positions,
            sparse=sparse,
            pixel_size_nm=pixel_size_nm,
            device=device.value,
            overwrite=overwrite,
            resume=resume,
            tensorboard=tensorboard,
            on_step=seen["on_step"],
            on_validation=seen["on_validation"],
        )
    show_result(result, settings.name, as_json=as_json)
