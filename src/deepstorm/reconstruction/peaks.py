"""From expected emitters per pixel to a table of localizations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from deepstorm.config import Settings
from deepstorm.structures import Localizations


class PeakSettings(Settings):
    """How peaks are told from the rest.

    Parameters
    ----------
    smoothing_px : float
        Standard deviation of the Gaussian under which maxima are sought, in super-resolution
        pixels; it joins the scattered probability of one emitter.
    reach_px : int
        Half side of the square around a maximum that belongs to it.
    min_confidence : float
        Expected emitters within the square below which a maximum is left out.
    """

    smoothing_px: float = Field(1.5, ge=0)
    reach_px: int = Field(3, ge=1, le=20)
    min_confidence: float = Field(0.3, ge=0)


def find_peaks(
    expected: npt.NDArray[np.float32],
    pixel_size_nm: float,
    first_frame: int = 0,
    settings: PeakSettings | None = None,
) -> Localizations:
    """Find local maxima, and their centroids below the pixel.

    Parameters
    ----------
    expected : ndarray of float32, shape (frame, y, x)
        Expected emitters per super-resolution pixel.
    pixel_size_nm : float
        Size of a super-resolution pixel.
    first_frame : int
        Index of the first frame.
    settings : PeakSettings, optional

    Returns
    -------
    Localizations
        With ``confidence`` (expected emitters around the peak) and ``uncertainty_nm`` (spread of
        the expectation around the centroid, per axis), ordered by frame.
    """
    chosen = settings or PeakSettings()
    frame, row, column = _maxima(expected, chosen)
    reach = chosen.reach_px
    offset = np.arange(-reach, reach + 1)
    padded = np.pad(expected, ((0, 0), (reach, reach), (reach, reach)))
    windows = padded[
        frame[:, None, None],
        (row[:, None] + reach + offset)[:, :, None],
        (column[:, None] + reach + offset)[:, None, :],
    ].astype(np.float64)
    mass = windows.sum(axis=(1, 2))
    keep = mass >= max(chosen.min_confidence, 1e-6)
    windows, mass = windows[keep] / mass[keep, None, None], mass[keep]
    over_y, over_x = windows.sum(axis=2), windows.sum(axis=1)
    dy, dx = over_y @ offset, over_x @ offset
    spread = over_y @ offset**2 - dy**2 + over_x @ offset**2 - dx**2
    # Even a certain emitter lies anywhere in its pixel: a variance of 1/12 per axis.
    uncertainty = np.sqrt(np.clip(spread, 0, None) / 2 + 1 / 12)
    return Localizations(
        frame=frame[keep] + first_frame,
        x_nm=(column[keep] + 0.5 + dx) * pixel_size_nm,
        y_nm=(row[keep] + 0.5 + dy) * pixel_size_nm,
        uncertainty_nm=uncertainty * pixel_size_nm,
        confidence=mass,
    )


def _maxima(
    expected: npt.NDArray[np.float32], settings: PeakSettings
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return (frame, row, column) of the local maxima, the first of equal neighbours."""
    found = []
    side = 2 * settings.reach_px - 1
    for index, image in enumerate(expected):
        smooth = ndimage.gaussian_filter(image, settings.smoothing_px, mode="constant")
        is_peak = (smooth == ndimage.maximum_filter(smooth, side)) & (smooth > 1e-4)
        labels, _ = ndimage.label(is_peak, np.ones((3, 3)))
        first = np.sort(np.unique(labels[is_peak], return_index=True)[1])
        places = np.argwhere(is_peak)[first]
        found.append(np.column_stack([np.full(len(places), index), places]))
    table = np.concatenate(found) if found else np.empty((0, 3), np.int64)
    return table[:, 0], table[:, 1], table[:, 2]
