"""``deepstorm adapt``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deepstorm.cli import options
from deepstorm.cli.terminal import messages
from deepstorm.cli.training import show_result, training_length, training_seen


class Structures(StrEnum):
    """What the simulated movies show."""

    OWN = "own"
    ANY = "any"


class Tuned(StrEnum):
    """What is trained."""

    REFINER = "refiner"
    ALL = "all"


def adapt(
    movie: Annotated[Path, typer.Argument(help="Dense movie of unknown emitters.")],
    structures: Annotated[
        Structures, typer.Option(help="What the simulated movies show.")
    ] = Structures.OWN,
    tune: Annotated[Tuned, typer.Option(help="What is trained.")] = Tuned.REFINER,
    pixel_size_nm: options.PixelSize = None,
    from_scratch: options.FromScratch = False,
    output: options.NetworkFile = None,
    folder: options.Folder = None,
    steps: options.Steps = None,
    time_budget_s: options.TimeBudget = None,
    resume: options.Resume = None,
    device: options.Device = options.DeviceName.CPU,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Adapt a network to one movie, from that movie alone, on simulated movies similar to it."""
    from deepstorm.api.adapt import adapt as run
    from deepstorm.config import validated
    from deepstorm.files import stem_of
    from deepstorm.training.likeness import AdaptSettings

    chosen = {"structures": structures.value, "tune": tune.value, "from_scratch": from_scratch}
    length = training_length(steps, time_budget_s)
    settings = validated(AdaptSettings, chosen | length, "the training")
    with training_seen(settings.steps) as seen:
        result = run(
            movie,
            folder,
            settings,
            output=output,
            pixel_size_nm=pixel_size_nm,
            device=device.value,
            overwrite=overwrite,
            resume=resume,
            on_stage=messages.print,
            **seen,
        )
    show_result(result, stem_of(movie), as_json=as_json)
