"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class DeviceName(StrEnum):
    """Where a network runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[DeviceName, typer.Option("--device", help="Where the network runs.")]

# Which part of a movie.
Frames = Annotated[
    str | None,
    typer.Option("--frames", metavar="START:STOP", help="Frames to use, counted from 0."),
]
Roi = Annotated[str | None, typer.Option("--roi", metavar="X,Y,W,H", help="Camera pixels to use.")]

# What is known of the camera and the optics.
PixelSize = Annotated[
    float | None,
    typer.Option("--pixel-size", metavar="NM", help="Size of a camera pixel in the sample, in nm."),
]
AduPerPhoton = Annotated[
    float | None, typer.Option("--adu-per-photon", help="Known counts per effective photon.")
]
Zero = Annotated[
    float | None,
    typer.Option("--zero", metavar="ADU", help="Known counts in the absence of light and noise."),
]
Offset = Annotated[
    float | None,
    typer.Option("--offset", metavar="ADU", help="Counts of a dark frame; gives the read noise."),
]
Gain = Annotated[
    float | None,
    typer.Option("--gain", metavar="ADU/E", help="Counts per electron; gives the excess noise."),
]
OffsetMap = Annotated[
    Path | None,
    typer.Option("--offset-map", help="Image of each pixel's counts in the dark: TIFF or .npy."),
]
GainMap = Annotated[
    Path | None, typer.Option("--gain-map", help="Image of each pixel's gain: TIFF or .npy.")
]
VarianceMap = Annotated[
    Path | None,
    typer.Option("--variance-map", help="Image of each pixel's variance in the dark."),
]
Sigma = Annotated[
    float | None, typer.Option("--sigma", metavar="PX", help="Known width of the PSF.")
]

# How a network is trained.
NetworkFile = Annotated[
    Path | None, typer.Option("-o", "--output", help="Network file to write, .safetensors.")
]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Working folder of the training; runs/NAME by default."),
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Number of batches.")]
TimeBudget = Annotated[
    str | None,
    typer.Option(
        "--time-budget", metavar="TIME", help="Time it may take, instead of --steps: 90s, 1h30m."
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience", min=0, help="Validations without improvement before the training stops."
    ),
]
FromScratch = Annotated[
    bool, typer.Option("--from-scratch", help="Start from random weights, not from a network.")
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help=(
            "Require a training to resume, or delete the one in the folder and restart; by "
            "default a training in the folder is resumed."
        ),
    ),
]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Also save curves for TensorBoard.")
]


def selection(frames: str | None, region: str | None) -> dict[str, Any]:
    """Return the part of a movie that was asked for, as the API takes it."""
    from deepstorm.io.movies.selection import Region, parse_frames

    return {
        "frames": parse_frames(frames) if frames is not None else None,
        "region": Region.parse(region) if region is not None else None,
    }
