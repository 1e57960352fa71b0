"""Emitters that are certainly alone, and the places of all light that is not certainly theirs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.spatial import cKDTree

from deepstorm.arrays import AnyArray, BoolArray, Float64Array, IntArray
from deepstorm.config import Settings
from deepstorm.evaluation.checks import check_length
from deepstorm.localization.detection import Peaks, find_peaks
from deepstorm.localization.localize import camera_and_width
from deepstorm.localization.noise import CameraNoise
from deepstorm.localization.spots import (
    PIXELS_PER_BLOCK,
    Spots,
    fit_spots,
    nearest_distance_px,
)
from deepstorm.simulation.psf import render_emitters
from deepstorm.structures import Localizations

# Light within so many standard deviations of a doubtful spot is that spot's.
DOUBTFUL_SIGMA = 4.0


class Doubt(IntEnum):
    """Why light is not taken for that of one isolated emitter; the first that applies."""

    FAINT = 1
    """Too faint to be certain that it is an emitter."""
    BORDER = 2
    """So close to the border of the frame that a part of the spot may be missing."""
    CROWDED = 3
    """So close to another spot that their light overlaps."""
    UNFITTED = 4
    """The fit did not converge."""
    WIDTH = 5
    """Narrower or wider than the PSF: a faulty pixel, emitters that overlap, or out of focus."""
    ELONGATED = 6
    """Longer than wide: emitters that overlap, or one that moved."""
    MISFIT = 7
    """The light is not that of one Gaussian spot."""
    RESIDUE = 8
    """Light that is left when the accepted emitters are taken away."""


class IsolationSettings(Settings):
    """What makes an emitter certain.

    Parameters
    ----------
    threshold : float
        Smallest significance of an emitter, in standard deviations of the filtered frame's noise.
    doubt_threshold : float
        Significance from which light is doubtful. By chance a frame of 10,000 pixels passes 4
        about every tenth time, and 4.5 hardly ever.
    reach_sigma : float
        How far the fitted window reaches to each side, in standard deviations of the PSF.
    apart_sigma : float
        Smallest distance of an emitter to any other light, in standard deviations of the PSF.
    least_p_value, most_misfit : float
        An emitter has at least this p-value or at most this misfit
        (:class:`~deepstorm.localization.quality.Quality`): bright spots deviate significantly from
        a Gaussian in any microscope.
    most_width_deviation : float
        Largest relative deviation of the width from the PSF's.
    most_elongation : float
        Largest difference over sum of the spot's two variances, or three standard errors of it
        where these are larger.
    """

    threshold: float = Field(default=8.0, gt=0)
    doubt_threshold: float = Field(default=4.0, gt=0)
    reach_sigma: float = Field(default=3.0, ge=2, le=10)
    apart_sigma: float = Field(default=6.0, ge=1)
    least_p_value: float = Field(default=1e-3, ge=0, le=1)
    most_misfit: float = Field(default=0.12, ge=0)
    most_width_deviation: float = Field(default=0.2, gt=0, lt=0.6)
    most_elongation: float = Field(default=0.08, gt=0)


@dataclass(frozen=True, slots=True)
class IsolatedEmitters:
    """What :func:`isolated` returns.

    Parameters
    ----------
    emitters : Localizations
        Accepted emitters, in the order of the frames.
    doubtful : Localizations
        Places (frame, x, y) of all other light that stands out of the noise.
    doubt : ndarray of int8, shape (n,)
        Why, for each of ``doubtful``: values of :class:`Doubt`.
    sigma_px : float
        Standard deviation of the PSF in camera pixels, given or measured.
    noise : CameraNoise
        Given or measured.
    """

    emitters: Localizations
    doubtful: Localizations
    doubt: npt.NDArray[np.int8]
    sigma_px: float
    noise: CameraNoise


def isolated(
    frames: AnyArray,
    pixel_size_nm: float,
    noise: CameraNoise | None = None,
    *,
    sigma_px: float | None = None,
    settings: IsolationSettings | None = None,
) -> IsolatedEmitters:
    """Find the emitters of sparse frames that are certainly alone.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts of the camera; real and finite.
    pixel_size_nm : float
        Size of a camera pixel in the sample.
    noise : CameraNoise, optional
        By default measured from the frames, so that photons are effective ones.
    sigma_px : float, optional
        Standard deviation of the PSF in camera pixels; by default measured from the frames.
    settings : IsolationSettings, optional

    Returns
    -------
    IsolatedEmitters

    Raises
    ------
    InputError
        If a value is out of range, or frames, maps and windows do not fit together.
    """
    chosen = settings if settings is not None else IsolationSettings()
    check_length(pixel_size_nm, "pixel size")
    camera, width_px = camera_and_width(frames, noise, sigma_px)
    spots = fit_spots(
        frames,
        camera,
        width_px,
        threshold=min(chosen.doubt_threshold, chosen.threshold),
        reach_sigma=chosen.reach_sigma,
        free_width=True,
    )
    doubt = _doubts(spots, width_px, chosen)
    residue = _residue(frames, camera, spots, width_px, chosen)
    residue = residue.select(_is_unexplained(residue, spots, doubt, width_px, chosen))
    spoilt = _is_near(spots, residue, chosen.apart_sigma * width_px) & (doubt == 0)
    doubt[spoilt] = Doubt.CROWDED
    places = spots.select(doubt > 0).localizations(pixel_size_nm)
    return IsolatedEmitters(
        spots.select(doubt == 0).localizations(pixel_size_nm),
        Localizations.concatenate([places, _places(residue, pixel_size_nm)]),
        np.concatenate([doubt[doubt > 0], np.full(len(residue), Doubt.RESIDUE, np.int8)]),
        width_px,
        camera,
    )


def _doubts(spots: Spots, sigma_px: float, settings: IsolationSettings) -> npt.NDArray[np.int8]:
    """Return the first reason against each spot, 0 where there is none."""
    quality = spots.quality
    deviation = np.abs(spots.sigma_px / sigma_px - 1)
    longest = np.maximum(settings.most_elongation, 3 * quality.elongation_error)
    unlikely = quality.p_value < settings.least_p_value
    reasons = {
        Doubt.FAINT: spots.significance < settings.threshold,
        Doubt.BORDER: spots.at_border,
        Doubt.CROWDED: nearest_distance_px(spots) < settings.apart_sigma * sigma_px,
        Doubt.UNFITTED: ~spots.converged,
        Doubt.WIDTH: deviation > settings.most_width_deviation,
        Doubt.ELONGATED: quality.elongation > longest,
        Doubt.MISFIT: unlikely & (quality.misfit > settings.most_misfit),
    }
    return np.select(list(reasons.values()), list(reasons.keys()), 0).astype(np.int8)


def _residue(
    frames: AnyArray,
    noise: CameraNoise,
    spots: Spots,
    sigma_px: float,
    settings: IsolationSettings,
) -> Peaks:
    """Find what stands out when all fitted spots are taken away."""
    block = max(PIXELS_PER_BLOCK // (frames.shape[1] * frames.shape[2]), 1)
    parts = []
    for start in range(0, len(frames), block):
        photons = noise.to_photons(frames[start : start + block])
        first, last = np.searchsorted(spots.frame, [start, start + block])
        part = spots.select(np.arange(first, last))
        fitted = render_emitters(
            part.frame - start, part.x_px, part.y_px, part.photons, part.sigma_px, photons.shape
        )
        found = find_peaks(
            photons - fitted, noise, sigma_px, settings.doubt_threshold, expected=photons
        )
        parts.append(found.later(start))
    return Peaks.concatenate(parts)


def _is_unexplained(
    residue: Peaks,
    spots: Spots,
    doubt: npt.NDArray[np.int8],
    sigma_px: float,
    settings: IsolationSettings,
) -> BoolArray:
    """Tell light of its own from what a fit leaves of a spot's light.

    That is anything where the spot is doubtful already, and of an accepted one what is small
    against it.
    """
    limit = np.where(doubt == 0, settings.most_misfit * spots.significance, np.inf)
    near = np.where(doubt == 0, settings.apart_sigma, DOUBTFUL_SIGMA) * sigma_px
    unexplained = np.ones(len(residue), np.bool_)
    peak, spot, distance = _neighbours(residue, spots, settings.apart_sigma * sigma_px)
    explained = (distance <= near[spot]) & (residue.significance[peak] <= limit[spot])
    unexplained[peak[explained]] = False
    return unexplained


def _is_near(spots: Spots, residue: Peaks, radius_px: float) -> BoolArray:
    near = np.zeros(len(spots), np.bool_)
    near[_neighbours(residue, spots, radius_px)[1]] = True
    return near


def _neighbours(
    residue: Peaks, spots: Spots, radius_px: float
) -> tuple[IntArray, IntArray, Float64Array]:
    """Return all pairs of a residue and a spot of one frame within a radius, and the distances."""
    height = 2 * radius_px
    peaks = np.column_stack([residue.column + 0.5, residue.row + 0.5, residue.frame * height])
    others = np.column_stack([spots.x_px, spots.y_px, spots.frame * height])
    pairs = cKDTree(peaks).sparse_distance_matrix(cKDTree(others), radius_px, output_type="ndarray")
    return pairs["i"].astype(np.int64), pairs["j"].astype(np.int64), pairs["v"]


def _places(residue: Peaks, pixel_size_nm: float) -> Localizations:
    return Localizations(
        residue.frame,
        (residue.column + 0.5) * pixel_size_nm,
        (residue.row + 0.5) * pixel_size_nm,
    )
