"""Where in a frame an emitter may be: peaks that stand out of the noise."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import ndimage

from deepstorm.arrays import BoolArray, Float64Array, Int64Array, IntArray
from deepstorm.localization.noise import CameraNoise

# Width of the surroundings that are taken off, in units of the spot's own.
SURROUNDINGS = 2.0
# Variance, in effective photons, below which that of a pixel is not believed.
LEAST_VARIANCE = 0.05


@dataclass(frozen=True, slots=True)
class Peaks:
    """Pixels that stand out.

    Parameters
    ----------
    frame, row, column : ndarray of int64, shape (n,)
        Frame and camera pixel, from 0, in ascending order.
    significance : ndarray of float64, shape (n,)
        Height of the peak in the filtered frame in standard deviations of its noise.
    """

    frame: Int64Array
    row: Int64Array
    column: Int64Array
    significance: Float64Array

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, keep: BoolArray | IntArray) -> Peaks:
        """Return some of the peaks."""
        return Peaks(self.frame[keep], self.row[keep], self.column[keep], self.significance[keep])

    def later(self, frames: int) -> Peaks:
        """Return the same peaks a number of frames later."""
        return replace(self, frame=self.frame + frames)

    @classmethod
    def concatenate(cls, parts: list[Peaks]) -> Peaks:
        """Join lists end to end."""
        names = [entry.name for entry in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def find_peaks(
    photons: Float64Array,
    noise: CameraNoise,
    sigma_px: float,
    threshold: float,
    expected: Float64Array | None = None,
) -> Peaks:
    """Find local maxima of the frames less their surroundings, in units of their own noise.

    The filter is a difference of Gaussians whose narrow one is the PSF: the matched filter of a
    spot on uneven background. Its noise follows in each pixel from the light around it and the
    camera's noise, so that the threshold means the same at any density of emitters, where the
    spread of the filtered frame would be that of the emitters.

    Parameters
    ----------
    photons : ndarray, shape (frame, y, x)
        Frames in photons.
    noise : CameraNoise
    sigma_px : float
        Standard deviation of the PSF in camera pixels.
    threshold : float
        Smallest significance.
    expected : ndarray, shape (frame, y, x), optional
        Light in photons that makes the noise, where it is not that of the surroundings: for frames
        from which light was taken away.

    Returns
    -------
    Peaks
        In the order of the frames.
    """
    significance = significance_map(photons, noise, sigma_px, expected)
    highest = ndimage.maximum_filter(significance, size=(1, 3, 3), mode="nearest")
    frame, row, column = np.nonzero((significance >= threshold) & (significance == highest))
    return Peaks(
        frame.astype(np.int64),
        row.astype(np.int64),
        column.astype(np.int64),
        significance[frame, row, column],
    )


def significance_map(
    photons: Float64Array, noise: CameraNoise, sigma_px: float, expected: Float64Array | None = None
) -> Float64Array:
    """Return the filtered frames in standard deviations of their noise, shape (frame, y, x).

    See :func:`find_peaks` for the parameters.
    """
    light = photons / noise.excess_factor
    around = _blurred(light, SURROUNDINGS * sigma_px)
    filtered = _blurred(light, sigma_px) - around
    squared = difference_of_gaussians(sigma_px) ** 2
    read = ndimage.convolve(noise.own_light(photons.shape[1:]), squared, mode="nearest")
    # The square of the filter is all but a Gaussian of its narrow one's width over √2.
    source = (
        around
        if expected is None
        else _blurred(expected / noise.excess_factor, sigma_px / np.sqrt(2))
    )
    variance = np.maximum(source, LEAST_VARIANCE) * squared.sum() + read
    result: Float64Array = filtered / np.sqrt(variance)
    return result


def difference_of_gaussians(sigma_px: float) -> Float64Array:
    """Return the filter itself, shape (pixel, pixel)."""
    reach = int(np.ceil(4 * SURROUNDINGS * sigma_px))
    impulse = np.zeros((1, 2 * reach + 1, 2 * reach + 1))
    impulse[0, reach, reach] = 1.0
    difference = _blurred(impulse, sigma_px) - _blurred(impulse, SURROUNDINGS * sigma_px)
    result: Float64Array = difference[0]
    return result


def _blurred(frames: Float64Array, sigma_px: float) -> Float64Array:
    """Blur each frame by itself; beyond the border it goes on as it ends."""
    along_x = ndimage.gaussian_filter1d(frames, sigma_px, axis=2, mode="nearest")
    result: Float64Array = ndimage.gaussian_filter1d(along_x, sigma_px, axis=1, mode="nearest")
    return result
