"""``deepstorm evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepstorm.cli.options import AsJson
from deepstorm.cli.terminal import print_figures


def evaluate(
    result: Annotated[Path, typer.Argument(help="Image (TIFF, NPY, MAT) or table (CSV, HDF5).")],
    truth: Annotated[Path | None, typer.Option(help="Table of the true emitters.")] = None,
    pixel_size_nm: Annotated[
        float | None,
        typer.Option(
            "--pixel-size", metavar="NM", help="Pixel size of the image in nm, if it does not say."
        ),
    ] = None,
    camera_pixel_size_nm: Annotated[
        float | None,
        typer.Option(
            "--camera-pixel-size",
            metavar="NM",
            help="Camera pixel size in nm, for tables in pixels.",
        ),
    ] = None,
    radius_nm: Annotated[
        float, typer.Option("--radius", help="Largest distance of a match, in nm.")
    ] = 100.0,
    line: Annotated[
        str | None, typer.Option(metavar="X0,Y0,X1,Y1", help="Profile for the FWHM, in nm.")
    ] = None,
    other_half: Annotated[
        Path | None, typer.Option(help="Image of the other half of the movie, for the FRC.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score an image or a table of localizations."""
    from deepstorm.api.evaluate import evaluate as run
    from deepstorm.api.evaluate import parse_line

    evaluation = run(
        result,
        truth,
        pixel_size_nm=pixel_size_nm,
        camera_pixel_size_nm=camera_pixel_size_nm,
        radius_nm=radius_nm,
        line=parse_line(line) if line is not None else None,
        other_half=other_half,
    )
    print_figures(evaluation.figures(), as_json=as_json, title=result.name)
