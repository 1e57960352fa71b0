"""``deepstorm calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepstorm.cli import options
from deepstorm.cli.terminal import print_figures, print_json, print_table, results
from deepstorm.errors import InputError

if TYPE_CHECKING:
    from deepstorm.structures import Calibration

Psf = Annotated[
    Path | None,
    typer.Option("--psf", help="Measure the PSF of single emitters instead, and write it, .tif."),
]
Positions = Annotated[
    Path | None, typer.Option("--positions", help="With --psf: table of emitter positions.")
]
ZStep = Annotated[
    float | None,
    typer.Option(
        "--z-step", metavar="NM", help="With --psf: frames are a z stack of beads, spaced by this."
    ),
]
Radius = Annotated[
    int | None,
    typer.Option(
        "--psf-radius",
        metavar="PX",
        help="With --psf: radius within which light is looked for.  [7]",
    ),
]


def calibrate(
    movie: Annotated[Path, typer.Argument(help="Raw movie, neither filtered nor resampled.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the values, .json.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="File for a page of curves and maps, .png.")
    ] = None,
    pixel_size_nm: options.PixelSize = None,
    adu_per_photon: options.AduPerPhoton = None,
    zero_adu: options.Zero = None,
    offset_adu: options.Offset = None,
    adu_per_electron: options.Gain = None,
    sigma_px: options.Sigma = None,
    offset_map: options.OffsetMap = None,
    gain_map: options.GainMap = None,
    variance_map: options.VarianceMap = None,
    psf: Psf = None,
    positions: Positions = None,
    z_step_nm: ZStep = None,
    radius_px: Radius = None,
    frames: options.Frames = None,
    region: options.Roi = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure camera, PSF, background and density from a raw movie alone."""
    from deepstorm.api.calibrate import CalibrationOutputs
    from deepstorm.api.calibrate import calibrate as run
    from deepstorm.api.known_values import known_values

    part: dict[str, Any] = {
        "pixel_size_nm": pixel_size_nm,
        **options.selection(frames, region),
        "overwrite": overwrite,
    }
    known: dict[str, Any] = {
        "adu_per_photon": adu_per_photon,
        "zero_adu": zero_adu,
        "offset_adu": offset_adu,
        "adu_per_electron": adu_per_electron,
        "sigma_px": sigma_px,
        "offset_map": offset_map,
        "gain_map": gain_map,
        "variance_map": variance_map,
    }
    of_psf = {"positions": positions, "z_step_nm": z_step_nm, "radius_px": radius_px}
    _check_choice(psf, {"output": output, "picture": picture} | known, of_psf)
    if psf is not None:
        from deepstorm.api.measured_psf import measure_psf

        optics = measure_psf(movie, psf, **part, **_given(of_psf))
        print_figures(optics.table() | {"psf": str(psf)}, as_json=as_json, title=movie.name)
        return
    outputs = CalibrationOutputs(output, picture)
    result = run(movie, **part, known=known_values(**known), outputs=outputs)
    _show(result, movie.name, as_json=as_json)


def _show(calibration: Calibration, title: str, *, as_json: bool) -> None:
    """Print what was measured, then what was assumed."""
    from deepstorm.api.calibrate import calibration_record, calibration_table

    if as_json:
        print_json(calibration_record(calibration))
        return
    print_table(calibration_table(calibration), title)
    for note in calibration.notes:
        results.print(note, style="dim", highlight=False, markup=False)


def _check_choice(psf: Path | None, of_camera: dict[str, Any], of_psf: dict[str, Any]) -> None:
    """Refuse options that would do nothing."""
    names = " and ".join(f"`{name}`" for name in _given(of_psf if psf is None else of_camera))
    if names and psf is None:
        raise InputError(f"{names} can only be given together with `psf`")
    if names:
        raise InputError(
            f"{names} cannot be given together with `psf`, which measures only the PSF"
        )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}
