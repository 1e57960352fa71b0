"""Faulty pixels of a camera, found in a raw movie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.stats import chi2

from deepstorm.structures import BoolArray, FloatArray, IntArray

# The brightest neighbour of any real spot's centre has at least half of its light.
NEIGHBOUR_RATIO = 3.0
# At a border the neighbourhood is one-sided and may be bright as a whole; in a corner the flank of
# a spot beyond it falls steeply along both sides.
BORDER_RATIO = 6.0
CORNER_RATIO = 20.0
NOISE_MULTIPLE = 10.0
# With fewer frames, time alone does not tell a fault from a photon or two.
FEW_FRAMES = 8
# A dead pixel has less than this part of its steadiest neighbour's variance, and chance gives less
# variance than that with this probability only.
DEAD_RATIO = 0.1
DEAD_CHANCE = 1e-8

_RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)


@dataclass(frozen=True, slots=True)
class HotPixels:
    """Pixels that are bright in every frame without their neighbours being so.

    Parameters
    ----------
    mask : ndarray of bool, shape (y, x)
    """

    mask: BoolArray

    def repair(self, frames: FloatArray | IntArray) -> npt.NDArray[np.float32]:
        """Replace hot pixels by the median of the good pixels among the 24 around them.

        Parameters
        ----------
        frames : ndarray, shape (frame, y, x)
            Left as they are.

        Returns
        -------
        ndarray of float32, shape (frame, y, x)
        """
        repaired = np.array(frames, dtype=np.float32)
        good = ~self.mask
        for y, x in np.argwhere(self.mask):
            near = (slice(max(y - 2, 0), y + 3), slice(max(x - 2, 0), x + 3))
            if good[near].any():
                repaired[:, y, x] = np.median(repaired[:, near[0], near[1]][:, good[near]], axis=1)
        return repaired


def find_hot_pixels(frames: FloatArray | IntArray) -> HotPixels:
    """Find pixels that stand out of their neighbourhood on average over frames.

    Light reaches a camera through optics and never falls on one pixel alone, nor does its mean over
    frames: a pixel several times as far above the background as its brightest neighbour, by more
    than chance explains, is a fault of the camera. Two faulty pixels side by side pass for light.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames of a movie; with a few frames alone, cosmic rays are found too.
    """
    mean, error = _mean_light(frames)
    neighbourhood = ndimage.median_filter(mean, size=5, mode="mirror")
    # Nothing lies beyond the border: extending it would make a pixel there its own neighbour.
    brightest = ndimage.maximum_filter(mean, footprint=_RING, mode="constant", cval=-np.inf)
    excess = mean - neighbourhood
    noise = np.hypot(error, _spatial_noise(excess, few=len(frames) < FEW_FRAMES))
    if np.asarray(frames).dtype.kind in "ui":
        noise = np.hypot(noise, np.sqrt(1 / 12))  # of rounding to whole counts
    ratio = np.full(mean.shape, BORDER_RATIO)
    ratio[1:-1, 1:-1] = NEIGHBOUR_RATIO
    ratio[np.ix_([0, -1], [0, -1])] = CORNER_RATIO
    from_neighbours = ratio * np.clip(brightest - neighbourhood, 0, None)
    return HotPixels(excess > from_neighbours + NOISE_MULTIPLE * noise)


def find_dead_pixels(frames: FloatArray | IntArray) -> BoolArray:
    """Find pixels that do not respond: darker and far steadier than all of their neighbours.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        With fewer than eight, none are found.

    Returns
    -------
    ndarray of bool, shape (y, x)
    """
    count = len(frames)
    if count < FEW_FRAMES:
        return np.zeros(frames.shape[1:], bool)
    mean, variance = frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)
    darkest = ndimage.minimum_filter(mean, footprint=_RING, mode="constant", cval=np.inf)
    steadiest = ndimage.minimum_filter(variance, footprint=_RING, mode="constant", cval=np.inf)
    by_chance = chi2.ppf(DEAD_CHANCE, count - 1) / (count - 1)
    limit = min(DEAD_RATIO, float(by_chance)) * steadiest
    return np.asarray((mean < darkest) & (variance < limit) & np.isfinite(limit))


def _mean_light(frames: FloatArray | IntArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard error of each pixel above the median of its frame, (y, x) each.

    The error is large where the mean is due to few frames: a cosmic ray or a blink.
    """
    count = len(frames)
    total, squares = np.zeros(frames.shape[1:]), np.zeros(frames.shape[1:])
    for frame in frames:
        light = np.asarray(frame, np.float64) - np.median(frame)
        total += light
        squares += light**2
    mean = total / count
    variance = np.clip(squares / count - mean**2, 0, None) / max(count - 1, 1)
    return mean, np.sqrt(variance)


def _spatial_noise(excess: FloatArray, *, few: bool) -> float:
    """Return the standard deviation between neighbouring pixels.

    Where frames are few it is taken from the largest hundredth of them, because few photons are not
    distributed normally.
    """
    percentile, deviations = (99.0, 2.576) if few else (50.0, 0.6745)
    spread = float(np.percentile(np.abs(excess), percentile)) / deviations
    return max(spread, 1e-6 * float(np.abs(excess).max(initial=0.0)))
