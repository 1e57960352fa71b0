"""``calibrate``: what a raw movie says of its camera, optics and emitters."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.calibration.assumption import Examination, KnownValues
from deepstorm.calibration.calibrate import examine_frames
from deepstorm.calibration.faults import FEW_FRAMES
from deepstorm.errors import InputError
from deepstorm.files import OutputSet, output_set
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import Region, SelectedMovie
from deepstorm.reports.drawing import Curve, Panel, draw_panels
from deepstorm.structures import Calibration, Estimate

MovieSource = PathLike | AnyArray | Movie

# More than these hardly make it better.
SAMPLE_FRAMES = 200
SAMPLE_VALUES = 2**24
ESTIMATES = (
    "adu_per_photon",
    "zero_adu",
    "sigma_px",
    "sigma_nm",
    "background_photons",
    "background_unevenness",
    "signal_photons",
    "density_per_px",
    "density_per_um2",
    "drift_px",
    "drift_nm",
    "read_noise_photons",
    "excess_noise_factor",
)


@dataclass(frozen=True, slots=True)
class CalibrationOutputs:
    """Files that a calibration leaves.

    Parameters
    ----------
    record : path-like, optional
        All values with their uncertainties, JSON.
    picture : path-like, optional
        One page of the curves that they were read from, PNG.
    """

    record: PathLike | None = None
    picture: PathLike | None = None

    def reserved(
        self, *, overwrite: bool, inputs: Iterable[object] = ()
    ) -> contextlib.AbstractContextManager[OutputSet]:
        """Return the files as one set; see :func:`~deepstorm.files.output_set`."""
        for path, suffix in ((self.record, ".json"), (self.picture, ".png")):
            if path is not None and Path(path).suffix.lower() != suffix:
                raise InputError(f"'{path}' cannot be written; end its name in {suffix}")
        return output_set([self.picture, self.record], overwrite=overwrite, inputs=inputs)


def calibrate(
    movie: MovieSource,
    *,
    pixel_size_nm: float | None = None,
    adu_per_photon: float | None = None,
    zero_adu: float | None = None,
    offset_adu: float | None = None,
    adu_per_electron: float | None = None,
    sigma_px: float | None = None,
    frames: slice | None = None,
    region: Region | None = None,
    outputs: CalibrationOutputs | None = None,
    overwrite: bool = False,
) -> Calibration:
    """Measure camera, optics and emitters from a raw movie alone.

    Parameters
    ----------
    movie : path-like, ndarray of shape (frame, y, x), or Movie
        Counts as the camera gave them: neither filtered nor resampled.
    pixel_size_nm : float, optional
        Size of a camera pixel in the sample; from the file where absent, and not needed but for
        values in nm and µm².
    adu_per_photon, zero_adu, sigma_px : float, optional
        Known values, which are not measured then; see :class:`~deepstorm.structures.Instrument`.
    offset_adu : float, optional
        Counts of a dark frame, which tell the read noise.
    adu_per_electron : float, optional
        The camera's gain, which tells the excess noise factor.
    frames : slice, optional
        Frames to use, from 0.
    region : Region, optional
        Camera pixels to use.
    outputs : CalibrationOutputs, optional
        Files to write.
    overwrite : bool
        Whether existing files may be replaced.

    Returns
    -------
    Calibration
        Of up to 200 frames, spread over the movie.

    Raises
    ------
    InputError
        If the movie or a value cannot be used, or a file not be written.
    """
    known = KnownValues(
        adu_per_photon=_positive("adu_per_photon", adu_per_photon),
        zero_adu=_finite("zero_adu", zero_adu),
        sigma_px=_positive("sigma_px", sigma_px),
        offset_adu=_finite("offset_adu", offset_adu),
        adu_per_electron=_positive("adu_per_electron", adu_per_electron),
        pixel_size_nm=_positive("pixel_size_nm", pixel_size_nm),
    )
    wanted = outputs or CalibrationOutputs()
    with wanted.reserved(overwrite=overwrite, inputs=[movie]) as files:
        with open_movie(movie) as whole, SelectedMovie(whole, frames, region) as selected:
            examination = _examine(selected, known)
            name = selected.name
        if wanted.picture is not None:
            draw_panels(files.staged(wanted.picture), _panels(examination), title=name)
        if wanted.record is not None:
            text = json.dumps(calibration_record(examination.calibration), indent=2)
            files.staged(wanted.record).write_text(text + "\n", encoding="utf-8")
    return examination.calibration


def _examine(movie: Movie, known: KnownValues) -> Examination:
    """Calibrate frames that are spread over a movie."""
    total, height, width = movie.shape
    most = max(SAMPLE_VALUES // (height * width), FEW_FRAMES)
    count = min(total, SAMPLE_FRAMES, most)
    numbers = np.linspace(0, total - 1, count).round().astype(np.int64)
    frames = np.concatenate([movie.read(int(n), int(n) + 1) for n in numbers])
    if known.pixel_size_nm is None:
        known = replace(known, pixel_size_nm=movie.pixel_size_nm)
    return examine_frames(frames, known=known, frame_numbers=numbers)


def _finite(name: str, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise InputError(f"{name} is {value:g}; a finite number was expected")
    return value


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value:g}; a positive number was expected")
    return value


def calibration_record(calibration: Calibration) -> dict[str, Any]:
    """Return all values, plain and by name, ready for JSON.

    Each estimate becomes ``{"value": …, "uncertainty": …}``, an infinite uncertainty ``null``.
    Faulty pixels are listed as [x, y].
    """
    found: dict[str, Any] = {}
    for name in ESTIMATES:
        estimate: Estimate | None = getattr(calibration, name)
        found[name] = None if estimate is None else _plain(estimate)
    faults = {"hot_pixels": calibration.hot_pixels, "dead_pixels": calibration.dead_pixels}
    for name, mask in faults.items():
        found[name] = np.argwhere(mask)[:, ::-1].tolist()
    return found | {
        "frames": calibration.frames,
        "pixel_size_nm": calibration.pixel_size_nm,
        "notes": list(calibration.notes),
    }


def calibration_table(calibration: Calibration) -> dict[str, str | int]:
    """Return all values by name, as people read them."""
    names = {name: getattr(calibration, name) for name in ESTIMATES}
    table: dict[str, str | int] = {
        name: said(estimate) if estimate is not None else "not known"
        for name, estimate in names.items()
    }
    return table | {
        "hot_pixels": int(calibration.hot_pixels.sum()),
        "dead_pixels": int(calibration.dead_pixels.sum()),
        "frames": calibration.frames,
    }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    known = math.isfinite(estimate.uncertainty)
    return {"value": estimate.value, "uncertainty": estimate.uncertainty if known else None}


def _panels(examination: Examination) -> list[Panel]:
    """Return the curves and maps of a calibration, as a page shows them."""
    calibration = examination.calibration
    mean, raw, variance = examination.transfer_adu.T
    line = calibration.adu_per_photon.value * (mean - calibration.zero_adu.value)
    faults = np.argwhere(calibration.hot_pixels | calibration.dead_pixels)[:, ::-1]
    height, width = examination.mean_photons.shape
    return [
        Panel(
            title=f"{said(calibration.adu_per_photon)} counts per photon",
            x_label="mean [counts]",
            y_label="variance of the noise [counts²]",
            curves=(
                Curve(mean, raw, "measured", is_line=False),
                Curve(mean, variance, "less light that leaks", is_line=False),
                Curve(mean, line, f"line from {said(calibration.zero_adu)} counts"),
            ),
        ),
        Panel(
            title=f"PSF sigma {said(calibration.sigma_px)} px",
            x_label="spatial frequency [rad/px]",
            y_label="power of fluctuations [photons²]",
            is_logarithmic=True,
            curves=(
                Curve(examination.frequency, examination.power, "measured", is_line=False),
                Curve(examination.frequency, examination.model, "fit"),
            ),
        ),
        Panel(
            title=f"background {said(calibration.background_photons)} photons",
            image=examination.background,
            unit="photons",
            field=(height, width),
        ),
        Panel(
            title=f"mean of the frames, {len(faults)} faulty pixels",
            image=examination.mean_photons,
            unit="photons",
            marks=faults + 0.5,
        ),
        Panel(
            title=f"signal {said(calibration.signal_photons)} photons",
            x_label="frame",
            y_label="mean of a frame [photons/px]",
            curves=(Curve(examination.frame_numbers, examination.course_photons, ""),),
        ),
    ]


def said(estimate: Estimate) -> str:
    """Write an estimate with its uncertainty, to as many digits as that warrants."""
    value, error = estimate.value, estimate.uncertainty
    if error == 0:
        return f"{value:.4g} (given)"
    if not math.isfinite(error):
        return f"{value:.2g} (not measured)"
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f}"
