"""``deepstorm evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepstorm.cli.options import AsJson, selection
from deepstorm.cli.terminal import print_json, print_table, warn
from deepstorm.cli.wording import in_options, options_by_argument

Result = Annotated[Path, typer.Argument(help="Image (TIFF, NPY, MAT) or table (CSV, HDF5).")]
Truth = Annotated[Path | None, typer.Option(help="Table of the true emitters.")]
ImagePixel = Annotated[
    float | None,
    typer.Option(
        "--pixel-size", metavar="NM", help="Pixel size of the image in nm, if it does not say."
    ),
]
CameraPixel = Annotated[
    float | None,
    typer.Option(
        "--camera-pixel-size", metavar="NM", help="Camera pixel size in nm, for tables in pixels."
    ),
]
Radius = Annotated[float, typer.Option("--radius", help="Largest distance of a match, in nm.")]
Profile = Annotated[
    str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Profile for the FWHM, in nm.")
]
OtherHalf = Annotated[
    Path | None, typer.Option(help="Image of the other half of the movie, for the FRC.")
]
PartFrames = Annotated[
    str | None,
    typer.Option(
        "--frames", metavar="START:STOP", help="Frames that the result is of, if not all."
    ),
]
PartRegion = Annotated[
    str | None,
    typer.Option("--roi", metavar="X,Y,W,H", help="Camera pixels that it is of, if not all."),
]
FirstFrame = Annotated[
    int | None,
    typer.Option(min=0, max=1, help="What the table calls the first frame, 0 or 1."),
]
TruthFirstFrame = Annotated[
    int | None,
    typer.Option(min=0, max=1, help="What the table of the truth calls the first frame."),
]


def evaluate(
    result: Result,
    truth: Truth = None,
    pixel_size_nm: ImagePixel = None,
    camera_pixel_size_nm: CameraPixel = None,
    radius_nm: Radius = 100.0,
    line: Profile = None,
    other_half: OtherHalf = None,
    frames: PartFrames = None,
    region: PartRegion = None,
    first_frame: FirstFrame = None,
    truth_first_frame: TruthFirstFrame = None,
    as_json: AsJson = False,
) -> None:
    """Score an image or a table of localizations."""
    from deepstorm.api.evaluate import evaluate as run
    from deepstorm.api.evaluate import parse_line
    from deepstorm.cli.app import app

    evaluation = run(
        result,
        truth,
        pixel_size_nm=pixel_size_nm,
        camera_pixel_size_nm=camera_pixel_size_nm,
        radius_nm=radius_nm,
        line=parse_line(line) if line is not None else None,
        other_half=other_half,
        **selection(frames, region),
        first_frame=first_frame,
        truth_first_frame=truth_first_frame,
    )
    figures: dict[str, Any] = evaluation.figures()
    options = options_by_argument(app)
    notes = [in_options(note, options) for note in evaluation.notes]
    if as_json:
        print_json(figures | {"notes": notes})
    else:
        print_table(figures, result.name)
    for note in notes:
        warn(note)
