"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

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
    str | None, typer.Option("--frames", metavar="START:STOP", help="Frames to use, from 0.")
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
    typer.Option("--zero", metavar="ADU", help="Known counts without light and noise."),
]
Offset = Annotated[
    float | None,
    typer.Option("--offset", metavar="ADU", help="Counts of a dark frame: read noise."),
]
Gain = Annotated[
    float | None,
    typer.Option("--gain", metavar="ADU/E", help="Counts per electron: excess noise."),
]
Sigma = Annotated[
    float | None, typer.Option("--sigma", metavar="PX", help="Known width of the PSF.")
]
