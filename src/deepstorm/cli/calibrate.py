"""``deepstorm calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
from deepstorm.cli.terminal import print_figures, print_json, print_table, results
from deepstorm.errors import InputError

_OPTIONS = {
    "record": "--output",
    "picture": "--picture",
    "adu_per_photon": "--adu-per-photon",
    "zero_adu": "--zero",
    "offset_adu": "--offset",
    "adu_per_electron": "--gain",
    "sigma_px": "--sigma",
    "positions": "--positions",
    "z_step_nm": "--z-step",
    "radius_px": "--psf-radius",
}


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
    psf: Annotated[
        Path | None,
        typer.Option(help="Measure the PSF of single emitters instead, and write it, .tif."),
    ] = None,
    positions: Annotated[
        Path | None, typer.Option(help="With --psf: table of where the emitters are.")
    ] = None,
    z_step: Annotated[
        float | None,
        typer.Option(metavar="NM", help="With --psf: frames are planes of beads, so far apart."),
    ] = None,
    psf_radius: Annotated[
        int | None,
        typer.Option(metavar="PX", help="With --psf: how far its light is looked for.  [7]"),
    ] = None,
    frames: Frames = None,
    roi: Roi = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure camera, PSF, background and density from a raw movie alone."""
    from deepstorm.api.calibrate import CalibrationOutputs, calibration_record, calibration_table
    from deepstorm.api.calibrate import calibrate as run
    from deepstorm.io.movies.selection import Region, parse_frames

    part: dict[str, Any] = {
        "pixel_size_nm": pixel_size,
        "frames": parse_frames(frames) if frames is not None else None,
        "region": Region.parse(roi) if roi is not None else None,
        "overwrite": overwrite,
    }
    known: dict[str, Any] = {
        "adu_per_photon": adu_per_photon,
        "zero_adu": zero,
        "offset_adu": offset,
        "adu_per_electron": gain,
        "sigma_px": sigma,
    }
    of_psf = {"positions": positions, "z_step_nm": z_step, "radius_px": psf_radius}
    _check_choice(psf, {"record": output, "picture": picture} | known, of_psf)
    if psf is not None:
        from deepstorm.api.measured_psf import measure_psf

        optics = measure_psf(movie, psf, **part, **_given(of_psf))
        print_figures(optics.table() | {"psf": str(psf)}, as_json=as_json, title=movie.name)
        return
    result = run(movie, **part, **known, outputs=CalibrationOutputs(output, picture))
    if as_json:
        print_json(calibration_record(result))
        return
    print_table(calibration_table(result), movie.name)
    for note in result.notes:
        results.print(note, style="dim", highlight=False, markup=False)


def _check_choice(psf: Path | None, of_camera: dict[str, Any], of_psf: dict[str, Any]) -> None:
    """Refuse options that would do nothing."""
    names = " and ".join(_OPTIONS[name] for name in _given(of_psf if psf is None else of_camera))
    if names and psf is None:
        raise InputError(f"{names} can only be given together with --psf")
    if names:
        raise InputError(
            f"{names} cannot be given together with --psf, which measures only the PSF"
        )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}
