"""``deepstorm calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepstorm.cli.options import (
    AduPerPhoton,
    AsJson,
    Frames,
    Gain,
    Offset,
    Overwrite,
    PixelSize,
    Roi,
    Sigma,
    Zero,
)
from deepstorm.cli.terminal import print_json, print_table, results


def calibrate(
    movie: Annotated[Path, typer.Argument(help="Raw movie, neither filtered nor resampled.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the values, .json.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for a page of curves and maps, .png.")
    ] = None,
    pixel_size: PixelSize = None,
    adu_per_photon: AduPerPhoton = None,
    zero: Zero = None,
    offset: Offset = None,
    gain: Gain = None,
    sigma: Sigma = None,
    frames: Frames = None,
    roi: Roi = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure camera, PSF, background and density from a raw movie alone."""
    from deepstorm.api.calibrate import CalibrationOutputs, calibration_record, calibration_table
    from deepstorm.api.calibrate import calibrate as run
    from deepstorm.io.selection import Region, parse_frames

    result = run(
        movie,
        pixel_size_nm=pixel_size,
        adu_per_photon=adu_per_photon,
        zero_adu=zero,
        offset_adu=offset,
        adu_per_electron=gain,
        sigma_px=sigma,
        frames=parse_frames(frames) if frames is not None else None,
        region=Region.parse(roi) if roi is not None else None,
        outputs=CalibrationOutputs(record=output, picture=picture),
        overwrite=overwrite,
    )
    if as_json:
        print_json(calibration_record(result))
        return
    print_table(calibration_table(result), movie.name)
    for note in result.notes:
        results.print(note, style="dim", highlight=False)
