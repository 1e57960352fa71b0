"""``deepstorm reconstruct``."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepstorm.cli.options import (
    AduPerPhoton,
    AsJson,
    Device,
    DeviceName,
    Frames,
    Gain,
    GainMap,
    Offset,
    OffsetMap,
    Overwrite,
    PixelSize,
    Roi,
    Sigma,
    VarianceMap,
    Zero,
    selection,
)
from deepstorm.cli.terminal import print_json, print_table, progress, warn
from deepstorm.errors import InputError
from deepstorm.reconstruction.engines.choice import ENGINES

if TYPE_CHECKING:
    from deepstorm.api.outputs import Outputs
    from deepstorm.reconstruction.windows import Windows
    from deepstorm.structures import Reconstruction

Movie = Annotated[Path, typer.Argument(help="Blinking movie: TIFF, OME-TIFF, ImageJ stack.")]
Image = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Image, float32 OME-TIFF.  [MOVIE_deepstorm.tif]"),
]
Upsampling = Annotated[
    int | None, typer.Option(help="Image pixels per camera pixel.  [the network's own, 8]")
]
NetworkName = Annotated[str, typer.Option(help="Bundled network, or a .safetensors file.")]
Table = Annotated[
    Path | None, typer.Option(help="Table of localizations (.csv, .hdf5).  [next to the image]")
]
Picture = Annotated[Path | None, typer.Option(help="Picture with scale bar.  [next to the image]")]
Window = Annotated[
    int | None,
    typer.Option(
        "--window",
        metavar="FRAMES",
        help="Also make a time lapse: images of this many frames each.",
    ),
]
WindowStep = Annotated[
    int | None,
    typer.Option(
        "--step",
        metavar="FRAMES",
        help="Frames from the start of one window to the next.  [the window's length]",
    ),
]
CalibrationFile = Annotated[
    Path | None, typer.Option(help="File from deepstorm calibrate; its values are taken as known.")
]


Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Resume an interrupted run, or delete its work and restart.",
    ),
]


Engine = Annotated[
    str,
    typer.Option(
        metavar=f"<{'|'.join(['auto', *ENGINES])}>",
        help="What runs the network; onnx is an extra.",
    ),
]


def reconstruct(
    movie: Movie,
    output: Image = None,
    pixel_size_nm: PixelSize = None,
    upsampling: Upsampling = None,
    network: NetworkName = "native",
    frames: Frames = None,
    region: Roi = None,
    window: Window = None,
    step: WindowStep = None,
    localizations: Table = None,
    preview: Picture = None,
    calibration: CalibrationFile = None,
    adu_per_photon: AduPerPhoton = None,
    zero_adu: Zero = None,
    offset_adu: Offset = None,
    adu_per_electron: Gain = None,
    sigma_px: Sigma = None,
    offset_map: OffsetMap = None,
    gain_map: GainMap = None,
    variance_map: VarianceMap = None,
    device: Device = DeviceName.AUTO,
    engine: Engine = "auto",
    overwrite: Overwrite = False,
    resume: Resume = None,
    as_json: AsJson = False,
) -> None:
    """Turn a blinking movie into a super-resolution image."""
    import deepstorm

    known = deepstorm.known_values(
        calibration,
        adu_per_photon=adu_per_photon,
        zero_adu=zero_adu,
        offset_adu=offset_adu,
        adu_per_electron=adu_per_electron,
        sigma_px=sigma_px,
        offset_map=offset_map,
        gain_map=gain_map,
        variance_map=variance_map,
    )
    windows = _windows(window, step)
    outputs = _outputs(movie, output, localizations, preview, time_lapse=windows is not None)
    outputs.check(overwrite=overwrite, inputs=[calibration, offset_map, gain_map, variance_map])
    with progress("reconstructing", "frames") as update:
        result = deepstorm.reconstruct(
            movie,
            outputs=outputs,
            pixel_size_nm=pixel_size_nm,
            known=known,
            upsampling=upsampling,
            network=network,
            **selection(frames, region),
            windows=windows,
            device=device.value,
            engine=engine,
            overwrite=overwrite,
            resume=resume,
            on_progress=lambda step: update(step.frames, step.total_frames, ""),
        )
    _show(result, outputs, movie.name, as_json=as_json)


def _windows(frames: int | None, step: int | None) -> Windows | None:
    """Return the windows that were asked for."""
    from deepstorm.reconstruction.windows import Windows

    if frames is None:
        if step is not None:
            raise InputError(
                "--step sets how far windows move; give their length, --window, as well"
            )
        return None
    return Windows(frames, frames if step is None else step)


def _outputs(
    movie: Path,
    image: Path | None,
    localizations: Path | None,
    preview: Path | None,
    *,
    time_lapse: bool,
) -> Outputs:
    """Return where to write: beside the movie, and beside the image, unless told otherwise."""
    from deepstorm.api.outputs import Outputs
    from deepstorm.files import stem_of

    if image is None:
        place = movie.resolve() if movie.is_dir() else movie
        image = place.with_name(f"{stem_of(movie)}_deepstorm.tif")
    beside = Outputs.beside(image, time_lapse=time_lapse)
    return replace(
        beside,
        localizations=localizations or beside.localizations,
        preview=preview or beside.preview,
    )


def _show(result: Reconstruction, outputs: Outputs, title: str, *, as_json: bool) -> None:
    """Print what a run gave and where it is, then its warnings."""
    files = {name: str(path) for name, path in asdict(outputs).items() if path is not None}
    if as_json:
        print_json(result.record | {"outputs": files})
    else:
        named = {name.replace("_", " "): path for name, path in files.items()}
        print_table(_figures(result) | named, title)
    for warning in result.record["warnings"]:
        warn(warning)


def _figures(result: Reconstruction) -> dict[str, Any]:
    """Return what a reader wants to know of a run."""
    record = result.record
    return {
        "frames": record["frames"],
        "expected emitters": round(record["expected_emitters"]),
        "frames/s": record["frames"] / record["reconstruction_s"],
        "pixel of the image": f"{result.pixel_size_nm:g} nm",
    }
