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

from deepstorm.api.inputs import MovieSource, pixel_size_of, selected_movie
from deepstorm.arrays import PathLike
from deepstorm.calibration.assumption import Examination, KnownValues
from deepstorm.calibration.calibrate import examine_frames
from deepstorm.calibration.sampling import sample_frames
from deepstorm.errors import InputError
from deepstorm.files import OutputSet, output_set
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.selection import Region
from deepstorm.reports.calibration import draw_calibration, said
from deepstorm.structures import Calibration, Estimate

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
    known: KnownValues | None = None,
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
        Size of a camera pixel in the sample; where absent, that of ``known``, or else the file's.
        Only values in nm and µm² need it.
    known : KnownValues, optional
        What need not be measured of camera and optics; see
        :func:`~deepstorm.api.known_values.known_values`. With ``offset_adu`` the read noise is
        found, with ``adu_per_electron`` the excess noise factor.
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
    wanted = outputs or CalibrationOutputs()
    with wanted.reserved(overwrite=overwrite, inputs=[movie]) as files:
        with selected_movie(movie, frames=frames, region=region, known=known) as selected:
            pixel_nm = pixel_size_of(selected, pixel_size_nm, known)
            given = replace(known or KnownValues(), pixel_size_nm=pixel_nm)
            examination = _with_notes(_examine(selected, given), selected)
            name = selected.name
        if wanted.picture is not None:
            draw_calibration(files.staged(wanted.picture), examination, name)
        if wanted.record is not None:
            text = json.dumps(calibration_record(examination.calibration), indent=2)
            files.staged(wanted.record).write_text(text + "\n", encoding="utf-8")
    return examination.calibration


def _examine(movie: Movie, known: KnownValues) -> Examination:
    """Calibrate frames that are spread over a movie."""
    sample = sample_frames(movie)
    return examine_frames(sample.frames, known=known, frame_numbers=sample.numbers)


def _with_notes(examination: Examination, movie: Movie) -> Examination:
    """Add what the movie's file says that is not believed."""
    calibration, notes = examination.calibration, list(movie.notes)
    if calibration.pixel_size_nm is None and movie.pixel_size_doubt:
        notes.append(f"The stated pixel size is not believed: {movie.pixel_size_doubt}")
    told = replace(calibration, notes=(*calibration.notes, *notes))
    return replace(examination, calibration=told)


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
