"""What some frames of a movie say of its fitness, besides their calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deepstorm.calibration.calibrate import SMALLEST_FIELD_PX
from deepstorm.calibration.faults import FEW_FRAMES, HotPixels
from deepstorm.models.scaling import stabilised
from deepstorm.models.validity import Conditions
from deepstorm.structures import BoolArray, Calibration, Estimate

DoubleArray = npt.NDArray[np.float64]

# A filament counts as a strip this wide, half a µm at usual pixels: see the density on a card.
STRIP_PX = 5
# How well a movie's two halves tell the ratio of local and mean density. Where filaments cross it
# is larger than by the card's definition, which knows strips alone; in narrow clusters, smaller.
CONCENTRATION_ERROR = 0.3
# A spot that is this many standard deviations of the noise above it is no chance.
NOISE_MULTIPLE = 8.0
# Fewer pixels than these at the highest counts are chance.
FEW_SATURATED = 10
# Of fewer steps from the lowest to the highest counts, each one holds many pixels.
FEWEST_STEPS = 16
# Counts within this part of the movie's range below the highest are near it.
NEAR_LIMIT = 0.02


def inspect_frames(
    frames: npt.NDArray[Any], calibration: Calibration, upsampling: int
) -> Conditions:
    """Return what is known of a movie.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        The frames that the calibration is of, as the camera gave them.
    calibration : Calibration
    upsampling : int
        Pixels of the image per camera pixel.
    """
    faulty = calibration.hot_pixels | calibration.dead_pixels
    return Conditions(
        calibration=calibration,
        local_density_per_px=local_density(frames, calibration),
        has_no_emitters=_has_no_emitters(frames, calibration),
        saturated_share=saturated_share(frames, faulty),
        highest_adu=float(frames.max()),
        upsampling=upsampling,
    )


def _has_no_emitters(frames: npt.NDArray[Any], calibration: Calibration) -> bool:
    """Tell whether the calibration looked for emitters and found none."""
    if frames.min() == frames.max():
        return True
    could_be_seen = len(frames) >= FEW_FRAMES and min(frames.shape[1:]) >= SMALLEST_FIELD_PX
    are_counted = np.isfinite(calibration.density_per_px.uncertainty)
    return could_be_seen and not are_counted and not _spots_stand_out(frames, calibration)


def _spots_stand_out(frames: npt.NDArray[Any], calibration: Calibration) -> bool:
    """Tell whether something of the size of a spot is brighter for a while than noise can be."""
    sigma_px = calibration.sigma_px.value
    instrument, whole = calibration.instrument, _repaired(frames, calibration)
    # Few photons alone are not distributed normally; their square root nearly is.
    light = stabilised(whole, instrument.zero_adu, instrument.adu_per_photon)
    light = ndimage.gaussian_filter(light, (0, sigma_px, sigma_px))
    light -= np.median(light, axis=0)
    noise = float(np.median(np.abs(light))) / 0.6745  # of a normal distribution
    return bool(light.max() > NOISE_MULTIPLE * noise)


def _repaired(frames: npt.NDArray[Any], calibration: Calibration) -> npt.NDArray[np.float32]:
    return HotPixels(calibration.hot_pixels | calibration.dead_pixels).repair(frames)


def local_density(frames: npt.NDArray[Any], calibration: Calibration) -> Estimate:
    """Return how many emitters are on per camera pixel where there are emitters.

    The variance over time that is beyond the noise's shows where emitters blink, whatever the
    background. Its product for two halves of the movie, over that of their means, is the mean
    density around an emitter over that of the field: noise of the halves averages out.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts.
    calibration : Calibration
        Of these frames.

    Returns
    -------
    Estimate
        The density of the whole field where the frames are too few to tell.
    """
    density = calibration.density_per_px
    if not np.isfinite(density.uncertainty) or len(frames) < 2 * FEW_FRAMES:
        return density
    whole = _repaired(frames, calibration)
    middle = len(whole) // 2
    halves = [_blinking(part, calibration) for part in (whole[:middle], whole[middle:])]
    means = [float(half.mean()) for half in halves]
    if min(means) <= 0:
        return density
    concentration = max(float((halves[0] * halves[1]).mean()) / (means[0] * means[1]), 1.0)
    value = density.value * concentration
    apart = abs(means[0] - means[1]) / (means[0] + means[1])
    relative = np.array([density.uncertainty / density.value, CONCENTRATION_ERROR, apart])
    return Estimate(value, value * float(np.sqrt((relative**2).sum())))


def _blinking(counts: npt.NDArray[np.float32], calibration: Calibration) -> DoubleArray:
    """Return the variance over time beyond that of the noise, averaged over a strip's width."""
    slope = calibration.adu_per_photon.value
    mean = (counts.mean(axis=0, dtype=np.float64) - calibration.zero_adu.value) / slope
    variance = counts.var(axis=0, ddof=1).astype(np.float64) / slope**2
    return np.asarray(ndimage.uniform_filter(variance - mean, STRIP_PX, mode="reflect"))


def saturated_share(frames: npt.NDArray[Any], faulty: BoolArray) -> float:
    """Return the part of the pixels that are at the camera's limit.

    Brightness has no upper end: if more pixels have the very highest counts than lie just below,
    something has cut them off, wherever that limit may be.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts.
    faulty : ndarray of bool, shape (y, x)
        Pixels to be left out.
    """
    good = frames[:, ~faulty]
    if not good.size:
        return 0.0
    lowest, highest = float(good.min()), float(good.max())
    below = good[good < highest]
    if not below.size:
        return 0.0
    at_limit = good.size - below.size
    span, next_highest = highest - lowest, float(below.max())
    # The next of a camera's steps is near the limit, however wide these are.
    near = min(highest - NEAR_LIMIT * span, next_highest)
    has_steps = span >= FEWEST_STEPS * (highest - next_highest)
    is_cut_off = at_limit >= max(FEW_SATURATED, int((below >= near).sum()))
    return at_limit / good.size if has_steps and is_cut_off else 0.0
