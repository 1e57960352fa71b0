"""``evaluate``: scores of an image or a table of localizations."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, replace

import numpy as np

from deepstorm.api.doubts import notes_on_images, notes_on_rings, notes_on_tables
from deepstorm.api.scored_part import ScoredPart, scored_part
from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.evaluation.checks import checked_image
from deepstorm.evaluation.emitters import EmitterScores, score_emitters
from deepstorm.evaluation.images import ImageScores, RegisteredNmse, registered_nmse, score_image
from deepstorm.evaluation.resolution import (
    FourierRingCorrelation,
    fourier_ring_correlation,
    fwhm_nm,
    line_profile,
)
from deepstorm.io.checking import require_pixel_size
from deepstorm.io.images import read_image
from deepstorm.io.movies.selection import Region
from deepstorm.io.tables.localizations import is_table, read_localizations
from deepstorm.structures import Localizations, Reconstruction, histogram_image

# What writers of TIFF may round off a pixel size.
_SAME_PIXEL = 1e-3


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a result; those that were not asked for are ``None``.

    Parameters
    ----------
    image : ImageScores, optional
        An image against the truth, unregistered.
    registered : RegisteredNmse, optional
        The same with the truth moved to the best place.
    emitters : EmitterScores, optional
        A table against truth.
    fwhm_nm : float, optional
        Width of a line.
    ring_correlation : FourierRingCorrelation, optional
        Agreement of two halves.
    notes : tuple of str
        What makes the scores doubtful, and which part of the truth they are about, as sentences.
    """

    image: ImageScores | None = None
    registered: RegisteredNmse | None = None
    emitters: EmitterScores | None = None
    fwhm_nm: float | None = None
    ring_correlation: FourierRingCorrelation | None = None
    notes: tuple[str, ...] = ()

    def figures(self) -> dict[str, float | int | str | None]:
        """Return all figures by name, flat, ready for a table or for JSON."""
        found: dict[str, float | int | str | None] = {}
        if self.image is not None:
            found |= asdict(self.image)
        if self.registered is not None:
            found |= {
                "registered_nmse_percent": self.registered.nmse_percent,
                "registered_dx_nm": self.registered.dx_nm,
                "registered_dy_nm": self.registered.dy_nm,
            }
        if self.emitters is not None:
            found |= asdict(self.emitters)
        if self.fwhm_nm is not None:
            found["fwhm_nm"] = self.fwhm_nm
        if self.ring_correlation is not None:
            found["frc_resolution_nm"] = self.ring_correlation.resolution_nm
            found["frc_outcome"] = self.ring_correlation.outcome
        return found


Line = tuple[tuple[float, float], tuple[float, float]]
ImageSource = PathLike | AnyArray | Reconstruction


def parse_line(text: str) -> Line:
    """Read ``X0,Y0,X1,Y1``, the ends of a line in nm.

    Raises
    ------
    InputError
        If the text is anything else.
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"the line '{text}' is not understood; give X0,Y0,X1,Y1 in nm, for instance "
            "1000,500,1600,500"
        ) from None
    return (x0, y0), (x1, y1)


def evaluate(
    result: ImageSource | Localizations,
    truth: PathLike | Localizations | None = None,
    *,
    pixel_size_nm: float | None = None,
    camera_pixel_size_nm: float | None = None,
    radius_nm: float = 100.0,
    line: Line | None = None,
    line_width_nm: float = 200.0,
    other_half: ImageSource | None = None,
    frames: slice | None = None,
    region: Region | None = None,
    first_frame: int | None = None,
    truth_first_frame: int | None = None,
) -> Evaluation:
    """Score an image or a table of localizations.

    Parameters
    ----------
    result : path-like, ndarray, Reconstruction or Localizations
        A super-resolution image, or localizations; the content of a file says which.
    truth : path-like or Localizations, optional
        The true emitters.
    pixel_size_nm : float, optional
        Size of a pixel of the image, where the image does not say.
    camera_pixel_size_nm : float, optional
        Size of a camera pixel, for tables that count in camera pixels and do not say.
    radius_nm : float
        Largest distance at which localizations are matched.
    line : ((x, y), (x, y)), optional
        Ends in nm of a profile across a line, whose FWHM is measured.
    line_width_nm : float
        Over which the profile is averaged.
    other_half : path-like, ndarray or Reconstruction, optional
        Reconstruction of the other half of the movie, for the Fourier ring correlation.
    frames, region : slice and Region, optional
        The part of the movie that the result is of, counted from 0 and in camera pixels; the truth
        outside of it does not count. Where absent, the record beside the result decides.
    first_frame, truth_first_frame : int, optional
        The numbers that the files of result and truth give to the first frame of their movie, where
        they are not those of their formats.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If a file cannot be used, or nothing was asked for.
    """
    truth_table = None if truth is None else _table(truth, camera_pixel_size_nm, truth_first_frame)
    part = scored_part(result, frames, region, camera_pixel_size_nm)
    if isinstance(result, Localizations) or _is_table(result):
        if truth_table is None or line is not None or other_half is not None:
            raise InputError(
                "a table of localizations can only be scored against a truth; line and other "
                "half are for images"
            )
        table = _table(result, camera_pixel_size_nm, first_frame)  # type: ignore[arg-type]
        return _score_table(table, truth_table, part, radius_nm)
    if truth_table is None and line is None and other_half is None:
        raise InputError(
            "there is nothing to score against; give a truth, a line or the other half"
        )
    image, pixel_nm = _image(result, pixel_size_nm)
    found = (
        Evaluation() if truth_table is None else _score_image(image, pixel_nm, truth_table, part)
    )
    if line is not None:
        width_nm = fwhm_nm(*line_profile(image, line[0], line[1], line_width_nm, pixel_nm))
        found = replace(found, fwhm_nm=width_nm)
    if other_half is not None:
        other = _half(other_half, pixel_nm, pixel_size_nm)
        correlation = fourier_ring_correlation(image, other, pixel_nm)
        notes = notes_on_rings(correlation, min(image.shape) * pixel_nm)
        found = replace(found, ring_correlation=correlation, notes=(*found.notes, *notes))
    return found


def _score_table(
    found: Localizations, truth: Localizations, part: ScoredPart, radius_nm: float
) -> Evaluation:
    notes = [] if part.is_whole else [part.note()]
    found, truth = part.of_result(found), part.of_truth(truth)
    scores = score_emitters(found, truth, radius_nm=radius_nm)
    notes += notes_on_tables(found, truth, radius_nm)
    return Evaluation(emitters=scores, notes=tuple(notes))


def _score_image(
    image: AnyArray, pixel_nm: float, truth: Localizations, part: ScoredPart
) -> Evaluation:
    notes = [] if part.is_whole else [part.note()]
    truth = part.of_truth(truth)
    height_px, width_px = image.shape
    rendered = histogram_image(truth, (height_px, width_px), pixel_nm)
    registered = registered_nmse(image, truth, pixel_nm)
    notes += notes_on_images(registered, len(truth), float(rendered.sum()))
    return Evaluation(score_image(image, rendered), registered, notes=tuple(notes))


def _is_table(source: object) -> bool:
    return isinstance(source, str | os.PathLike) and is_table(source)


def _table(
    source: PathLike | Localizations, pixel_size_nm: float | None, first_frame: int | None
) -> Localizations:
    if isinstance(source, Localizations):
        return source
    return read_localizations(source, pixel_size_nm=pixel_size_nm, first_frame=first_frame)


def _half(source: ImageSource, pixel_nm: float, given_nm: float | None) -> AnyArray:
    """Return the other half, whose pixels have to be those of the first."""
    image, other_nm = _image(source, given_nm)
    if not math.isclose(other_nm, pixel_nm, rel_tol=_SAME_PIXEL):
        raise InputError(
            f"the pixels of the other half are {other_nm:g} nm, those of the image {pixel_nm:g} "
            "nm; give two images of the same scale"
        )
    return image


def _image(source: ImageSource, given_nm: float | None) -> tuple[AnyArray, float]:
    """Return an image and the size of its pixels."""
    pixel_nm: float | None
    if isinstance(source, Reconstruction):
        image, pixel_nm = source.image, source.pixel_size_nm
    else:
        image, known_nm = (source, None) if isinstance(source, np.ndarray) else read_image(source)
        pixel_nm = given_nm if given_nm is not None else known_nm
    if pixel_nm is None:
        raise InputError(
            "the image gives no credible size of its pixels; give the size of a pixel, for "
            "instance `pixel_size_nm=12.5` (in nm)"
        )
    return checked_image(image, "image"), require_pixel_size(pixel_nm)
