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
    error_of_unit_width, error_growth : float
        The standard deviation of a position's error per axis, in super-resolution pixels, is the
        one times the width of its peak to the power of the other. Measured with the default network
        on simulated movies of 35 conditions: a narrow peak is more certain than it looks, because
        pixels widen it; a wide one less, because what lies beyond the square is not seen.
    """

    smoothing_px: float = Field(1.5, ge=0)
    reach_px: int = Field(3, ge=1, le=20)
    min_confidence: float = Field(0.3, ge=0)
    error_of_unit_width: float = Field(0.7, gt=0)
    error_growth: float = Field(2.3, ge=0)


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
        With ``confidence`` (expected emitters around the peak) and ``uncertainty_nm`` (standard
        deviation of the error per axis, from the area that the peak covers), ordered by frame.
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
    # A Gaussian covers an area of 4 pi sigma², by its sum of squares. Second moments would follow
    # the faint haze around a peak, where other emitters may be, more than the peak.
    width_px = np.sqrt(1 / np.square(windows).sum(axis=(1, 2)) / (4 * np.pi))
    uncertainty = chosen.error_of_unit_width * width_px**chosen.error_growth
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
