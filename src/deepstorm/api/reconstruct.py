"""``reconstruct``: from a blinking movie to a super-resolution image."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from deepstorm.api.calibrate import calibration_record
from deepstorm.api.outputs import (
    CollectedImages,
    CollectedLocalizations,
    Outputs,
    image_sink,
    localization_sink,
)
from deepstorm.api.provenance import InputFile
from deepstorm.arrays import AnyArray, PathLike
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import InputError
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import Region, SelectedMovie
from deepstorm.reconstruction.windows import Windows
from deepstorm.structures import Calibration, Reconstruction

if TYPE_CHECKING:
    from deepstorm.models.devices import DeviceName
    from deepstorm.reconstruction.engines.choice import EngineName
    from deepstorm.reconstruction.reconstructor import Reconstructor
    from deepstorm.reconstruction.run import Progress

MovieSource = PathLike | AnyArray | Movie

# No microscope for single molecules has camera pixels outside of this, in the sample.
CREDIBLE_PIXEL_NM = (1.0, 10_000.0)
RECORDED_PACKAGES = ("deepstorm", "torch", "openvino", "numpy", "scipy", "tifffile")


def reconstruct(
    movie: MovieSource,
    *,
    outputs: Outputs | None = None,
    pixel_size_nm: float | None = None,
    known: KnownValues | None = None,
    upsampling: int | None = None,
    network: PathLike = "native",
    frames: slice | None = None,
    region: Region | None = None,
    localizations: bool = True,
    windows: Windows | None = None,
    device: DeviceName = "auto",
    engine: EngineName = "auto",
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Reconstruction:
    """Turn a blinking movie into a super-resolution image.

    Parameters
    ----------
    movie : path-like, ndarray of shape (frame, y, x), or Movie
    outputs : Outputs, optional
        Files to write; nothing is written where it is absent.
    pixel_size_nm : float, optional
        Size of a camera pixel in the sample; where absent, that of ``known``, or else the file's.
    known : KnownValues, optional
        What need not be measured of camera and optics; see
        :func:`~deepstorm.api.known_values.known_values`. With ``adu_per_electron``, localizations
        have detected photons, otherwise effective ones (:class:`~deepstorm.structures.Instrument`).
    upsampling : int, optional
        Super-resolution pixels per camera pixel and axis; the network's own (8) where absent.
    network : path-like
        Name of an embedded network, or a network file.
    frames : slice, optional
        Frames to use, from 0.
    region : Region, optional
        Camera pixels to use; image and localizations then count from its corner.
    localizations : bool
        Whether to return localizations as well, without ``outputs``. With ``outputs`` they go to
        the file named there, and memory does not grow with the length of the movie.
    windows : Windows, optional
        Of which frames images are wanted, besides that of the whole movie: a time lapse. It goes to
        the file named in ``outputs``, or is returned where there are none.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    engine : str
        What runs the network: ``auto``, ``torch``, ``openvino`` or ``onnx``; see
        :func:`~deepstorm.reconstruction.engines.choice.choose_engine`.
    overwrite : bool
        Whether existing files may be replaced.
    on_progress : callable
        Called with a :class:`~deepstorm.reconstruction.run.Progress` after each block.

    Returns
    -------
    Reconstruction
        Its record holds the ``calibration`` of the movie, ``warnings`` where the movie is not what
        the network was trained for or has faults of its own, and ``notes`` on what could not be
        found out.

    Raises
    ------
    InputError
        If the movie, the network or a setting cannot be used; nothing is left behind then.
    """
    began = time.perf_counter()
    inputs = [movie, network]
    with (
        outputs.reserved(overwrite=overwrite, inputs=inputs) if outputs else nullcontext() as files,
        open_movie(movie) as whole,
        SelectedMovie(whole, frames, region) as selected,
    ):
        opened = InputFile.of(movie)
        staged = outputs.staged(files) if outputs and files else None
        if pixel_size_nm is None and known is not None:
            pixel_size_nm = known.pixel_size_nm
        pixel_nm = known_pixel_size(selected, pixel_size_nm)
        _check_windows(windows, outputs, selected.shape[0])
        calibrations: list[Calibration] = []
        reconstructor, network_record = _open_network(network, pixel_nm, device, upsampling, engine)
        image_nm = pixel_nm / reconstructor.upsampling
        with (
            localization_sink(
                staged,
                wanted=localizations,
                pixel_size_nm=pixel_nm,
                shape=selected.shape,
            ) as sink,
            image_sink(staged, pixel_size_nm=image_nm) as lapse,
        ):
            result = reconstructor.reconstruct(
                selected,
                pixel_nm,
                known=known,
                windows=windows,
                on_calibration=calibrations.append,
                on_progress=on_progress,
                on_localizations=sink,
                on_window=lapse,
            )
            record = result.record | {
                "calibration": calibration_record(calibrations[0]),
                "settings": _settings_record(
                    pixel_nm,
                    reconstructor.upsampling,
                    selected.frames if frames is not None else None,
                    region,
                    windows,
                ),
                "network": network_record,
                "input": opened.record(selected),
                "warnings": result.record["warnings"] + opened.warnings(),
                "versions": package_versions(),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "total_s": time.perf_counter() - began,
            }
            result = replace(
                result,
                localizations=sink.table() if isinstance(sink, CollectedLocalizations) else None,
                time_lapse=lapse.stack()
                if windows and isinstance(lapse, CollectedImages)
                else None,
                record=record,
            )
            if staged is not None:
                staged.write(result)
    return result


def _open_network(
    network: PathLike,
    pixel_nm: float,
    device: DeviceName,
    upsampling: int | None,
    engine: EngineName,
) -> tuple[Reconstructor, dict[str, str]]:
    """Load a network that fits the pixel size; return it ready to run, and what to record of it."""
    from deepstorm.models.network_file import NetworkFile
    from deepstorm.models.zoo import find_network
    from deepstorm.reconstruction.reconstructor import Reconstructor

    file = NetworkFile(find_network(network))
    check_validity(file.card.name, file.card.validity, pixel_nm)
    record = {"name": file.card.name, "sha256": file.checksum}
    return Reconstructor(file, file.card, device, upsampling, engine), record


def _settings_record(
    pixel_nm: float,
    upsampling: int,
    frames: range | None,
    region: Region | None,
    windows: Windows | None,
) -> dict[str, Any]:
    return {
        "pixel_size_nm": pixel_nm,
        "upsampling": upsampling,
        "frames": [frames.start, frames.stop] if frames is not None else None,
        "region": asdict(region) if region is not None else None,
        "windows": asdict(windows) if windows is not None else None,
    }


def _check_windows(windows: Windows | None, outputs: Outputs | None, total_frames: int) -> None:
    """Refuse windows longer than the movie, without a file, or a file without windows."""
    if windows is not None:
        windows.starts(total_frames)
    if outputs is not None and (windows is None) != (outputs.time_lapse is None):
        raise InputError(
            "windows make a time lapse, which needs a file: give both 'windows' and "
            "'outputs.time_lapse', or none of them"
        )


def known_pixel_size(movie: Movie, given_nm: float | None) -> float:
    """Return the size of a camera pixel that was given, or else what the file says."""
    if given_nm is not None:
        low, high = CREDIBLE_PIXEL_NM
        if not low <= given_nm <= high:
            raise InputError(
                f"a camera pixel of {given_nm:g} nm is not credible; expected {low:g} to {high:g} "
                "nm in the sample, which is the sensor's pixel over the magnification"
            )
        return given_nm
    if movie.pixel_size_nm is None:
        raise InputError(
            f"'{movie.name}' does not say how large its pixels are; give the size of a camera pixel"
            " in the sample, for instance --pixel-size 100 (in nm)"
        )
    return movie.pixel_size_nm


def check_validity(name: str, validity: dict[str, tuple[float, float]], pixel_nm: float) -> None:
    """Refuse a camera pixel that a network was not trained for.

    Parameters
    ----------
    name : str
        Of the network.
    validity : dict
        Its ranges; a network without a range of ``pixel_size_nm`` takes every size.
    pixel_nm : float

    Raises
    ------
    InputError
    """
    low, high = validity.get("pixel_size_nm", CREDIBLE_PIXEL_NM)
    if not low <= pixel_nm <= high:
        raise InputError(
            f"the network '{name}' was trained for camera pixels of {low:g} to {high:g} nm, the "
            f"movie has {pixel_nm:g} nm; choose another network, or train one with deepstorm train"
        )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
