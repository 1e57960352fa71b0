"""Spots of whole movies: found, fitted, and told in the frame's pixels and camera's photons."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.spatial import cKDTree

from deepstorm.arrays import AnyArray, BoolArray, Float64Array, Int64Array, IntArray
from deepstorm.errors import InputError
from deepstorm.localization.detection import Peaks, find_peaks
from deepstorm.localization.fitting import Fits, fit_windows
from deepstorm.localization.noise import CameraNoise
from deepstorm.localization.quality import Quality
from deepstorm.localization.spot_model import BACKGROUND, PHOTONS, SIGMA, X, Y
from deepstorm.localization.windows import SpotWindows, cut_windows
from deepstorm.structures import Localizations

# Frames are handled in blocks of so many pixels.
PIXELS_PER_BLOCK = 2**21


@dataclass(frozen=True, slots=True)
class Spots:
    """Fitted spots, all of shape (n,), in the order of the frames.

    Parameters
    ----------
    frame : ndarray of int64
    x_px, y_px : ndarray
        Position in camera pixels from the outer corner of the top-left pixel.
    error_px : ndarray
        Standard error of the position along one axis.
    photons, photons_error, background_photons : ndarray
        In photons of the camera (:class:`~deepstorm.localization.noise.CameraNoise`).
    sigma_px : ndarray
    significance : ndarray
        Of the peak; see :func:`~deepstorm.localization.detection.find_peaks`.
    converged : ndarray of bool
    at_border : ndarray of bool
        Whether the window would have gone beyond the frame.
    quality : Quality
    """

    frame: Int64Array
    x_px: Float64Array
    y_px: Float64Array
    error_px: Float64Array
    photons: Float64Array
    photons_error: Float64Array
    background_photons: Float64Array
    sigma_px: Float64Array
    significance: Float64Array
    converged: BoolArray
    at_border: BoolArray
    quality: Quality

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, keep: BoolArray | IntArray) -> Spots:
        """Return some of the spots."""
        columns = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        quality = columns.pop("quality").select(keep)
        return Spots(**{name: column[keep] for name, column in columns.items()}, quality=quality)

    @classmethod
    def concatenate(cls, parts: list[Spots]) -> Spots:
        """Join tables end to end."""
        names = [entry.name for entry in fields(cls) if entry.name != "quality"]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
            quality=Quality.concatenate([part.quality for part in parts]),
        )

    def localizations(self, pixel_size_nm: float) -> Localizations:
        """Return the table of emitters, with the uncertainty along one axis."""
        return Localizations(
            frame=self.frame,
            x_nm=self.x_px * pixel_size_nm,
            y_nm=self.y_px * pixel_size_nm,
            photons=self.photons,
            sigma_nm=self.sigma_px * pixel_size_nm,
            background_photons=self.background_photons,
            uncertainty_nm=self.error_px * pixel_size_nm,
        )


def fit_spots(
    frames: AnyArray,
    noise: CameraNoise,
    sigma_px: float,
    *,
    threshold: float,
    reach_sigma: float,
    free_width: bool,
) -> Spots:
    """Find and fit the spots of a movie, block by block.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts of the camera; real and finite.
    noise : CameraNoise
    sigma_px : float
        Standard deviation of the PSF in camera pixels.
    threshold : float
        Smallest significance of a peak.
    reach_sigma : float
        How far windows reach to each side, in standard deviations of the PSF.
    free_width : bool
        Whether each spot's own width is fitted.

    Raises
    ------
    InputError
        If the frames, the camera's maps and the window do not fit together.
    """
    check_frames(frames, noise)
    block = max(PIXELS_PER_BLOCK // (frames.shape[1] * frames.shape[2]), 1)
    reach_px = max(int(np.ceil(reach_sigma * sigma_px)), 2)
    parts = []
    for start in range(0, len(frames), block):
        photons = noise.to_photons(frames[start : start + block])
        peaks = find_peaks(photons, noise, sigma_px, threshold)
        windows = cut_windows(photons, peaks, noise, reach_px)
        fits = fit_windows(
            windows, sigma_px, free_width=free_width, fourth_cumulant=noise.fourth_cumulant
        )
        parts.append(_spots(peaks, windows, fits, start, noise.excess_factor, reach_px))
    return Spots.concatenate(parts)


def check_frames(frames: AnyArray, noise: CameraNoise) -> None:
    """Refuse what is not a movie, and maps of another size.

    Parameters
    ----------
    frames : ndarray
    noise : CameraNoise
    """
    if frames.ndim != 3 or frames.size == 0:
        raise InputError(
            f"the frames have shape {frames.shape}; at least one frame in the form (frame, y, x) "
            "is expected"
        )
    if not np.isfinite(frames).all():
        raise InputError("some pixels of the frames are not finite; replace them or leave them out")
    noise.check_field(frames.shape[1:])


def nearest_distance_px(spots: Spots) -> Float64Array:
    """Return each spot's distance to the next one of its frame, infinite where it is alone."""
    if len(spots) < 2:
        return np.full(len(spots), np.inf)
    height = _frame_height(spots)
    distances = cKDTree(_points(spots, height)).query(_points(spots, height), k=2)[0]
    nearest = np.asarray(distances, np.float64)[:, 1]
    return np.where(nearest < height, nearest, np.inf)


def without_duplicates(spots: Spots, radius_px: float) -> Spots:
    """Keep the more significant of any two spots of a frame that are within a radius."""
    pairs = cKDTree(_points(spots, _frame_height(spots))).query_pairs(
        radius_px, output_type="ndarray"
    )
    first, second = pairs[:, 0], pairs[:, 1]
    weaker = np.where(spots.significance[first] < spots.significance[second], first, second)
    keep = np.ones(len(spots), np.bool_)
    keep[weaker] = False
    return spots.select(keep)


def _frame_height(spots: Spots) -> float:
    """Return a length beyond any distance within a frame."""
    reach = max(np.abs(spots.x_px).max(initial=0.0), np.abs(spots.y_px).max(initial=0.0))
    return 10.0 * (float(reach) + 1.0)


def _points(spots: Spots, frame_height: float) -> Float64Array:
    return np.column_stack([spots.x_px, spots.y_px, spots.frame * frame_height])


def _spots(
    peaks: Peaks, windows: SpotWindows, fits: Fits, first_frame: int, excess: float, reach_px: int
) -> Spots:
    found, errors = fits.parameters, fits.errors
    middle = reach_px + 0.5
    return Spots(
        frame=peaks.frame + first_frame,
        x_px=found[:, X] + windows.first_column,
        y_px=found[:, Y] + windows.first_row,
        error_px=np.sqrt((errors[:, X] ** 2 + errors[:, Y] ** 2) / 2),
        photons=found[:, PHOTONS] * excess,
        photons_error=errors[:, PHOTONS] * excess,
        background_photons=found[:, BACKGROUND] * excess,
        sigma_px=found[:, SIGMA],
        significance=peaks.significance,
        converged=fits.converged,
        at_border=(windows.peak_x_px != middle) | (windows.peak_y_px != middle),
        quality=fits.quality,
    )
