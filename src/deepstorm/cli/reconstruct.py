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
    Offset,
    Overwrite,
    PixelSize,
    Roi,
    Sigma,
    Zero,
)
from deepstorm.cli.terminal import print_json, print_table, progress, warn

if TYPE_CHECKING:
    from deepstorm.api.reconstruct import Outputs
    from deepstorm.structures import Reconstruction

Movie = Annotated[Path, typer.Argument(help="Blinking movie: TIFF, OME-TIFF, ImageJ stack.")]
Image = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Image, float32 OME-TIFF.  [MOVIE_deepstorm.tif]"),
]
Upsampling = Annotated[
    int | None, typer.Option(help="Image pixels per camera pixel.  [the network's own, 8]")
]
NetworkName = Annotated[str, typer.Option(help="Embedded network, or a .safetensors file.")]
Table = Annotated[
    Path | None, typer.Option(help="Table of localizations (.csv, .hdf5).  [beside the image]")
]
Picture = Annotated[Path | None, typer.Option(help="Picture with scale bar.  [beside the image]")]
CalibrationFile = Annotated[
    Path | None, typer.Option(help="File of deepstorm calibrate, whose values are known.")
]


def reconstruct(
    movie: Movie,
    output: Image = None,
    pixel_size: PixelSize = None,
    upsampling: Upsampling = None,
    network: NetworkName = "native",
    frames: Frames = None,
    roi: Roi = None,
    localizations: Table = None,
    preview: Picture = None,
    calibration: CalibrationFile = None,
    adu_per_photon: AduPerPhoton = None,
    zero: Zero = None,
    offset: Offset = None,
    gain: Gain = None,
    sigma: Sigma = None,
    device: Device = DeviceName.AUTO,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Turn a blinking movie into a super-resolution image."""
    from deepstorm.api.known_values import known_values
    from deepstorm.api.reconstruct import reconstruct as run
    from deepstorm.io.selection import Region, parse_frames

    known = known_values(
        calibration,
        adu_per_photon=adu_per_photon,
        zero_adu=zero,
        offset_adu=offset,
        adu_per_electron=gain,
        sigma_px=sigma,
    )
    outputs = _outputs(movie, output, localizations, preview)
    with progress("reconstructing", "frames") as update:
        result = run(
            movie,
            outputs=outputs,
            pixel_size_nm=pixel_size,
            known=known,
            upsampling=upsampling,
            network=network,
            frames=parse_frames(frames) if frames is not None else None,
            region=Region.parse(roi) if roi is not None else None,
            device=device.value,
            overwrite=overwrite,
            on_progress=lambda p: update(p.frames, p.total_frames, ""),
        )
    _show(result, outputs, movie.name, as_json=as_json)


def _outputs(
    movie: Path, image: Path | None, localizations: Path | None, preview: Path | None
) -> Outputs:
    """Return where to write: beside the movie, and beside the image, unless told otherwise."""
    from deepstorm.api.reconstruct import Outputs

    image = image if image is not None else movie.with_name(f"{movie.stem}_deepstorm.tif")
    beside = Outputs.beside(image)
    return replace(
        beside,
        localizations=localizations or beside.localizations,
        preview=preview or beside.preview,
    )


def _show(result: Reconstruction, outputs: Outputs, title: str, *, as_json: bool) -> None:
    """Print what a run gave and where it is, then its warnings."""
    files = {name: str(path) for name, path in asdict(outputs).items()}
    if as_json:
        print_json(result.record | {"outputs": files})
    else:
        print_table(_figures(result) | files, title)
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
