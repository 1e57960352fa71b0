"""From sums over frames to an image."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import Float32Array, IntArray
from deepstorm.fit import Fit
from deepstorm.reconstruction.assessing import assess
from deepstorm.reconstruction.explaining import explain
from deepstorm.reconstruction.job import Job
from deepstorm.reconstruction.partial import Partial
from deepstorm.reconstruction.predictor import Predictor
from deepstorm.reconstruction.sums import MovieSums
from deepstorm.structures import Caution, Reconstruction, recorded_warnings


def finish(job: Job, partial: Partial, predictor: Predictor) -> Reconstruction:
    """Make the image of what some or all frames of a movie come to.

    Parameters
    ----------
    job : Job
    partial : Partial
        Of at least one block of frames; it is not changed.
    predictor : Predictor
        Of the job's network.

    Returns
    -------
    Reconstruction
        With the localizations that the partial holds, if the job is to seek any. The record holds
        ``warnings`` and ``notes``, sentences on how the movie suits the network.
    """
    fine = tuple(length * predictor.upsampling for length in job.field)
    image, posterior = np.zeros(fine, np.float32), np.zeros(fine, np.float32)
    emitters = 0.0
    for index, piece in enumerate(predictor.pieces(*job.field)):
        sums = partial.pieces[index].sums
        within = tuple(span.core_within(predictor.fine_upsampling) for span in piece)
        here = tuple(span.core(predictor.upsampling) for span in piece)
        image[here] = predictor.coarser(predictor.image(sums)[within])
        posterior[here] = predictor.coarser(sums.posterior[within])
        emitters += float(sums.gathered[within].sum())
    _give_total(image, emitters)
    findings, fit = job.fitted.findings, _fit(job, partial, emitters)
    warnings = (*findings.warnings, *_explained(job, fit))
    return Reconstruction(
        image=image,
        posterior=posterior,
        pixel_size_nm=job.pixel_size_nm / job.upsampling,
        widefield=(partial.light / max(partial.count - len(partial.empty), 1)).astype(np.float32),
        localizations=partial.localizations if job.localize else None,
        warnings=warnings,
        fit=fit,
        record={
            "frames": partial.count,
            "expected_emitters": emitters,
            "frames_left_out": said_ranges(partial.empty),
            "hot_pixels": int(job.fitted.cleaning.faulty.mask.sum()),
            "photons": job.fitted.kind_of_photons,
            **recorded_warnings(warnings),
            "notes": [*findings.notes, *_left_out(job, partial)],
            "fit": None if fit is None else fit.figures,
            "engine": predictor.engine.name,
        },
    )


def _fit(job: Job, partial: Partial, emitters: float) -> Fit | None:
    """Return how well the frames are explained, where any were looked at."""
    if partial.fit is None:
        return None
    used, fitted = max(partial.count - len(partial.empty), 1), job.fitted
    mean = partial.light / used
    return assess(partial.fit, fitted.calibration, mean, emitters, used, fitted.cleaning.left_out)


def _explained(job: Job, fit: Fit | None) -> list[Caution]:
    """Return what is to be said of that."""
    if fit is None:
        return []
    fitted = job.fitted
    warned = [caution.code for caution in fitted.findings.warnings]
    return explain(fit, fitted.calibration, fitted.known, warned)


def _left_out(job: Job, partial: Partial) -> list[str]:
    """Say which frames and parts of the field were taken to say nothing."""
    said = []
    if len(partial.empty):
        which = f"{len(partial.empty)} of {partial.count} frames are empty, all of one value"
        said.append(f"{which}: {said_ranges(partial.empty)}. They were left out.")
    unlit = job.fitted.cleaning.unlit
    if unlit is not None:
        said.append(
            f"{100 * unlit.mean():.2g} % of the field gets no light: no emitters were sought "
            "there. Choose the rest with `region` to work on it alone."
        )
    return said


def said_ranges(numbers: IntArray) -> str:
    """Write ascending numbers as people do: ``31, 40-59``."""
    if not len(numbers):
        return ""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def window_image(predictor: Predictor, sums: MovieSums) -> Float32Array:
    """Return the image of a field in one piece from the sums over a window."""
    image = predictor.coarser(predictor.image(sums))
    _give_total(image, sums.emitters)
    return image


def _give_total(image: Float32Array, total: float) -> None:
    """Give an image its total, in place.

    A refiner moves about as much light out of the field as into it.
    """
    found = image.sum(dtype=np.float64)
    if found > 0:
        image *= np.float32(total / found)
