"""Square windows of frames around peaks, as what a fit needs of data and camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import BoolArray, Float64Array, IntArray
from deepstorm.errors import InputError
from deepstorm.localization.detection import Peaks
from deepstorm.localization.noise import CameraNoise


@dataclass(frozen=True, slots=True)
class SpotWindows:
    """Light of n windows; the variance of ``light`` is its mean, ``own_light`` included.

    Parameters
    ----------
    light : ndarray, shape (n, width · width)
        Effective photons.
    own_light : ndarray, shape (n, width · width)
        The part of them that stands for the read noise.
    first_row, first_column : ndarray of int, shape (n,)
        Pixel of the frame that is the window's first.
    peak_x_px, peak_y_px : ndarray, shape (n,)
        Middle of the peak's pixel, from the outer corner of the window's first pixel.
    width : int
        Pixels along each axis.
    """

    light: Float64Array
    own_light: Float64Array
    first_row: IntArray
    first_column: IntArray
    peak_x_px: Float64Array
    peak_y_px: Float64Array
    width: int

    def __len__(self) -> int:
        return len(self.light)

    def select(self, keep: BoolArray | IntArray) -> SpotWindows:
        """Return some of the windows."""
        return SpotWindows(
            self.light[keep],
            self.own_light[keep],
            self.first_row[keep],
            self.first_column[keep],
            self.peak_x_px[keep],
            self.peak_y_px[keep],
            self.width,
        )


def cut_windows(
    photons: Float64Array, peaks: Peaks, noise: CameraNoise, reach_px: int
) -> SpotWindows:
    """Cut the surroundings of peaks; near the border the window is moved inwards.

    Parameters
    ----------
    photons : ndarray, shape (frame, y, x)
        Frames in photons.
    peaks : Peaks
    noise : CameraNoise
    reach_px : int
        Pixels of the window to each side of the peak's.

    Raises
    ------
    InputError
        If the frames are smaller than a window.
    """
    width = 2 * reach_px + 1
    height, breadth = photons.shape[1:]
    if min(height, breadth) < width:
        raise InputError(
            f"the frames are {breadth} × {height} pixels but a spot needs {width} × {width}; give "
            "larger frames"
        )
    first_row = np.clip(peaks.row - reach_px, 0, height - width)
    first_column = np.clip(peaks.column - reach_px, 0, breadth - width)
    rows = first_row[:, None, None] + np.arange(width)[:, None]
    columns = first_column[:, None, None] + np.arange(width)
    own = noise.own_light((height, breadth))[rows, columns]
    light = photons[peaks.frame[:, None, None], rows, columns] / noise.excess_factor + own
    return SpotWindows(
        light.reshape(len(peaks), width**2),
        own.reshape(len(peaks), width**2),
        first_row,
        first_column,
        (peaks.column - first_column).astype(np.float64) + 0.5,
        (peaks.row - first_row).astype(np.float64) + 0.5,
        width,
    )
