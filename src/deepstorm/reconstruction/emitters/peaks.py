"""From expected emitters per pixel to a table of localizations."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy import ndimage

from deepstorm.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from deepstorm.config import Settings
from deepstorm.reconstruction.emitters.crowding import blobs, own_shares, pairs
from deepstorm.structures import Localizations

# Where the smoothed expectation is lower than this, no maxima are sought.
LEAST_SMOOTHED = 1e-4


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
    crowded_reach_px, crowded_from : int, float
        A maximum stands for two emitters if so many are expected within this radius, nearer to it
        than to others; see :mod:`~deepstorm.reconstruction.emitters.crowding`. Between 1 and 2; the
        lower, the more emitters are found, and the more of them are false.
    error_of_unit_width, error_growth : float
        The standard deviation of a position's error per axis, in super-resolution pixels, is the
        one times the width of its peak to the power of the other. Measured with the default network
        on simulated movies of 35 conditions: a narrow peak is more certain than it looks, because
        pixels widen it; a wide one less, because what lies beyond the square is not seen.
    """

    smoothing_px: float = Field(1.5, ge=0)
    reach_px: int = Field(3, ge=1, le=20)
    min_confidence: float = Field(0.3, ge=0)
    crowded_reach_px: int = Field(9, ge=1, le=20)
    crowded_from: float = Field(1.75, gt=1)
    error_of_unit_width: float = Field(0.7, gt=0)
    error_growth: float = Field(2.3, ge=0)

    @property
    def smoothing_reach_px(self) -> int:
        """Where the Gaussian is cut off: four standard deviations from its middle."""
        return int(4 * self.smoothing_px + 0.5)

    @property
    def margin_px(self) -> int:
        """Pixels around a pixel on which it depends whether it is a maximum."""
        return self.smoothing_reach_px + self.reach_px - 1

    @property
    def context_px(self) -> int:
        """Pixels around a localization on which it depends.

        It may be half of what a maximum stands for, within a reach of that; what belongs to the
        maximum depends on others up to two reaches away, and these on what is around them.
        """
        return 3 * self.crowded_reach_px + self.margin_px


def find_peaks(
    expected: Float32Array,
    pixel_size_nm: float,
    first_frame: int = 0,
    settings: PeakSettings | None = None,
    maxima: BoolArray | None = None,
) -> Localizations:
    """Find local maxima, and their centroids below the pixel.

    A maximum that stands for two emitters gives two localizations.

    Parameters
    ----------
    expected : ndarray of float32, shape (frame, y, x)
        Expected emitters per super-resolution pixel.
    pixel_size_nm : float
        Size of a super-resolution pixel.
    first_frame : int
        Index of the first frame.
    settings : PeakSettings, optional
    maxima : ndarray of bool, shape (frame, y, x), optional
        Where the smoothed expectation has its local maxima, if an engine has sought them already
        with the same settings.

    Returns
    -------
    Localizations
        With ``confidence`` (expected emitters around the peak) and ``uncertainty_nm`` (standard
        deviation of the error per axis, from the area that the peak covers), ordered by frame.
    """
    chosen = settings or PeakSettings()
    places = _places(_maxima(expected, chosen) if maxima is None else maxima)
    windows = _windows(expected, places, chosen.reach_px)
    keep = windows.sum(axis=(1, 2)) >= max(chosen.min_confidence, 1e-6)
    places, windows = places[keep], windows[keep]
    own = own_shares(_windows(expected, places, chosen.crowded_reach_px), places)
    crowded, *halves = pairs(own, chosen.crowded_from)
    parts = np.concatenate([places[~crowded], places[crowded], places[crowded]])
    dy, dx, mass, width_px = np.concatenate([blobs(windows[~crowded]), *halves], axis=1)
    frame, row, column = parts.T
    # Halves of a crowd have more room than the square in which errors and widths were compared.
    width_px = np.minimum(width_px, (2 * chosen.reach_px + 1) / np.sqrt(4 * np.pi))
    uncertainty = chosen.error_of_unit_width * width_px**chosen.error_growth
    return Localizations(
        frame=frame + first_frame,
        x_nm=(column + 0.5 + dx) * pixel_size_nm,
        y_nm=(row + 0.5 + dy) * pixel_size_nm,
        uncertainty_nm=uncertainty * pixel_size_nm,
        confidence=mass,
    ).select(np.argsort(frame, kind="stable"))


def _windows(expected: Float32Array, places: Int64Array, reach: int) -> Float64Array:
    """Return what is expected in the square around each place, nothing beyond the border.

    Parameters
    ----------
    expected : ndarray of float32, shape (frame, y, x)
    places : ndarray of int, shape (place, 3)
        Frame, row, column.
    reach : int
        Half side of the squares.

    Returns
    -------
    ndarray of float64, shape (place, 2 · reach + 1, 2 · reach + 1)
    """
    (frame, row, column), (_, height, width) = places.T, expected.shape
    offset = np.arange(-reach, reach + 1)
    rows, columns = row[:, None] + offset, column[:, None] + offset
    y, x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    windows: Float64Array
    windows = expected[frame[:, None, None], y[:, :, None], x[:, None, :]].astype(np.float64)
    windows *= (y == rows)[:, :, None] & (x == columns)[:, None, :]
    return windows


def _maxima(expected: Float32Array, settings: PeakSettings) -> BoolArray:
    """Return where the smoothed expectation has its local maxima."""
    found = np.zeros(expected.shape, bool)
    for image, maxima in zip(expected, found, strict=True):
        smooth = ndimage.gaussian_filter(image, settings.smoothing_px, mode="constant")
        highest = ndimage.maximum_filter(smooth, 2 * settings.reach_px - 1)
        maxima[:] = (smooth == highest) & (smooth > LEAST_SMOOTHED)
    return found


def _places(maxima: BoolArray) -> Int64Array:
    """Return frame, row and column of maxima, (n, 3), of those that touch each other the first."""
    # Of one axis, which is many times faster to search than several.
    places = np.column_stack(np.unravel_index(np.flatnonzero(maxima), maxima.shape))
    keep = np.ones(len(places), bool)
    for index in _frames_with_touching(maxima, places):
        labels, _ = ndimage.label(maxima[index], np.ones((3, 3)))
        of_frame = np.flatnonzero(places[:, 0] == index)
        keep[of_frame] = False
        keep[of_frame[np.unique(labels[maxima[index]], return_index=True)[1]]] = True
    return places[keep]


def _frames_with_touching(maxima: BoolArray, places: Int64Array) -> Int64Array:
    """Return the frames in which maxima touch each other: few, and others need no look."""
    frame, row, column = places.T
    _, height, width = maxima.shape
    touching = np.zeros(len(places), bool)
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        y, x = row + down, column + right
        there = (y < height) & (x >= 0) & (x < width)
        touching[there] |= maxima[frame[there], y[there], x[there]]
    return np.unique(frame[touching])
