"""Movies that begin with all molecules on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, IntArray
from deepstorm.structures import Calibration, Estimate

# So many emitters in the area of one spot, 4 pi sigma², are not to be told apart in a frame.
CROWDED = 3.0
# The start has this many times the light of the second half of a movie, above the dark.
BRIGHTER = 2.0
# Sample frames that say how much light there is at a time, and those that a start needs.
SMOOTHED_FRAMES, FEWEST_FRAMES = 3, 12


@dataclass(frozen=True, slots=True)
class DenseStart:
    """The first frames of a movie, in which more emitters are on than can be told apart.

    Parameters
    ----------
    frames : int
        How many frames that are.
    per_spot : Estimate
        Emitters that share the area of a spot in the first of them, if all of the light is theirs.
    """

    frames: int
    per_spot: Estimate


def find_dense_start(
    frames: AnyArray, numbers: IntArray, lit: BoolArray, calibration: Calibration
) -> DenseStart | None:
    """Find out whether a movie begins with far more light than it goes on with.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Sample frames that say something, in the order of time.
    numbers : ndarray of int, shape (frame,)
        Where in the movie they are from.
    lit : ndarray of bool, shape (y, x)
        Pixels that get light.
    calibration : Calibration
        Of those frames.

    Returns
    -------
    DenseStart or None
        Nothing where the light hardly falls, or where it all lies on emitters that can be told
        apart.
    """
    brightness = calibration.signal_photons
    if len(frames) < FEWEST_FRAMES or not brightness.uncertainty < brightness.value:
        return None
    slope, zero = calibration.adu_per_photon.value, calibration.zero_adu.value
    light = (frames[:, lit].mean(axis=1, dtype=np.float64) - zero) / slope
    light = ndimage.median_filter(light, SMOOTHED_FRAMES, mode="nearest")
    settled = float(np.median(light[len(light) // 2 :]))
    added = np.maximum(light - settled, 0.0)
    usual = calibration.density_per_px.value
    spot_px = 4 * math.pi * calibration.sigma_px.value**2
    per_spot = spot_px * (usual + added / brightness.value)
    if light[0] < BRIGHTER * settled or per_spot[0] <= CROWDED or per_spot[-1] > CROWDED:
        return None
    first = int(np.flatnonzero(per_spot <= CROWDED)[0])
    error = per_spot[0] * brightness.uncertainty / brightness.value
    return DenseStart(int(numbers[first]), Estimate(float(per_spot[0]), float(error)))
