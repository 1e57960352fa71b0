"""``reconstruct``: from a blinking movie to a super-resolution image."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from deepstorm.api.calibrate import calibration_record
from deepstorm.api.destination import destination
from deepstorm.api.inputs import CREDIBLE_PIXEL_NM, MovieSource, opened_movie
from deepstorm.api.outputs import Outputs
from deepstorm.api.provenance import InputFile
from deepstorm.arrays import PathLike
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import InputError
from deepstorm.io.movies.selection import Region
from deepstorm.reconstruction.windows import Windows
from deepstorm.structures import Caution, Reconstruction, recorded_warnings

if TYPE_CHECKING:
    from deepstorm.models.devices import DeviceName
    from deepstorm.reconstruction.engines.choice import EngineName
    from deepstorm.reconstruction.job import Job
    from deepstorm.reconstruction.reconstructor import Reconstructor
    from deepstorm.reconstruction.work import Update

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
    resume: bool | None = None,
    on_progress: Callable[[Update], None] = lambda update: None,
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
    resume : bool, optional
        Whether to go on with an interrupted run that was to write the same ``outputs``, or to
        delete what it has done. Where that is not said and there is one, it is refused.
    on_progress : callable
        Called with an :class:`~deepstorm.reconstruction.work.Update` after each step.

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
    steps = reconstruct_in_steps(
        movie,
        outputs=outputs,
        pixel_size_nm=pixel_size_nm,
        known=known,
        upsampling=upsampling,
        network=network,
        frames=frames,
        region=region,
        localizations=localizations,
        windows=windows,
        device=device,
        engine=engine,
        overwrite=overwrite,
        resume=resume,
    )
    try:
        while True:
            on_progress(next(steps))
    except StopIteration as end:
        result: Reconstruction = end.value
        return result
    finally:
        steps.close()


def reconstruct_in_steps(
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
    resume: bool | None = None,
) -> Generator[Update, None, Reconstruction]:
    """Do what :func:`reconstruct` does, step by step; the parameters are the same.

    Yields
    ------
    Update
        After each block of frames, or, in a field that is done in pieces, after each piece of one.
        Whoever stops iterating, or closes the generator, has cancelled the run: no file, thread or
        lock is left.

    Returns
    -------
    Reconstruction
        As :func:`reconstruct`: the value of the generator.
    """
    began = time.perf_counter()
    with (
        destination(outputs, overwrite=overwrite, inputs=[movie, network], resume=resume) as to,
        opened_movie(
            movie, frames=frames, region=region, pixel_size_nm=pixel_size_nm, known=known
        ) as (selected, pixel_nm),
    ):
        file = InputFile.of(movie)
        _check_windows(windows, outputs, selected.shape[0])
        reconstructor, of_network = _open_network(network, pixel_nm, device, upsampling, engine)
        planned = time.perf_counter()
        localize = localizations if outputs is None else outputs.localizations is not None
        job = reconstructor.plan(
            selected, pixel_nm, known=known, windows=windows, localize=localize
        )
        about = {
            "settings": _settings_record(
                job, selected.frames if frames is not None else None, region
            ),
            "network": of_network,
            "input": file.record(selected),
            "versions": package_versions(),
        }
        standing = to.begin(reconstructor, job, selected.shape[0], about)
        for update in reconstructor.updates(job, selected, standing):
            to.take(update)
            yield update
        result = reconstructor.finish(job, standing.partial)
        odd = [Caution("odd-file", f"{note}.") for note in selected.notes]
        cautions = (*result.warnings, *file.warnings(), *odd)
        record = {
            **result.record,
            **recorded_warnings(cautions),
            "reconstruction_s": time.perf_counter() - planned,
            "calibration": calibration_record(job.fitted.calibration),
            **about,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "total_s": time.perf_counter() - began,
        }
        result = to.complete(replace(result, record=record, warnings=cautions))
    return result


def _open_network(
    network: PathLike,
    pixel_nm: float,
    device: DeviceName,
    upsampling: int | None,
    engine: EngineName,
) -> tuple[Reconstructor, dict[str, str]]:
    """Load a network that fits the pixel size; return it ready to run, and what to record of it."""
    from deepstorm.models.zoo import open_network
    from deepstorm.reconstruction.reconstructor import Reconstructor

    trained = open_network(network)
    check_validity(trained.name, trained.card.validity, pixel_nm)
    record = {"name": trained.name, "sha256": trained.checksum}
    return Reconstructor(trained, device, upsampling, engine), record


def _settings_record(job: Job, frames: range | None, region: Region | None) -> dict[str, Any]:
    """Return what was asked for, ready for JSON."""
    return {
        "pixel_size_nm": job.pixel_size_nm,
        "upsampling": job.upsampling,
        "frames": [frames.start, frames.stop] if frames is not None else None,
        "region": asdict(region) if region is not None else None,
        "windows": asdict(job.windows) if job.windows is not None else None,
    }


def _check_windows(windows: Windows | None, outputs: Outputs | None, total_frames: int) -> None:
    """Refuse windows longer than the movie, without a file, or a file without windows."""
    if windows is not None:
        windows.starts(total_frames)
    if outputs is not None and (windows is None) != (outputs.time_lapse is None):
        raise InputError(
            "windows make a time lapse, which needs a file: give both 'windows' and "
            "'outputs.time_lapse', or neither"
        )


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
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
