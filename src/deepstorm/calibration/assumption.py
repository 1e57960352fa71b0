"""What goes into a calibration and comes out of it, and what is assumed where nothing is seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array, IntArray
from deepstorm.calibration.camera_maps import CameraMaps
from deepstorm.calibration.spectrum import PRIOR_SIGMA_PX
from deepstorm.errors import InputError
from deepstorm.structures import Calibration, Estimate

TOO_EVEN = "The frames are too small or too even to measure anything: all values are guesses."
NO_NOISE = (
    "The frames have no noise, which alone tells the photons from the counts: all values are "
    "guesses. Give the movie as the camera wrote it."
)


@dataclass(frozen=True, slots=True)
class KnownValues:
    """What the user knows and need not be measured.

    Parameters
    ----------
    adu_per_photon, zero_adu, sigma_px : float, optional
        See :class:`~deepstorm.structures.Instrument`.
    offset_adu : float, optional
        Counts of a dark frame; tells the read noise.
    adu_per_electron : float, optional
        Counts per photoelectron, the gain; tells the excess noise factor.
    pixel_size_nm : float, optional
        Size of a camera pixel in the sample.
    maps : CameraMaps, optional
        Offset, gain and read noise of each pixel of the camera, of the movie's whole field.

    Raises
    ------
    InputError
        If a value is not finite, or not positive where it has to be.
    """

    adu_per_photon: float | None = None
    zero_adu: float | None = None
    sigma_px: float | None = None
    offset_adu: float | None = None
    adu_per_electron: float | None = None
    pixel_size_nm: float | None = None
    maps: CameraMaps | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("adu_per_photon", "sigma_px", "adu_per_electron", "pixel_size_nm"):
            _check(name, getattr(self, name), above=0)
        for name in ("zero_adu", "offset_adu"):
            _check(name, getattr(self, name), above=-math.inf)


def _check(name: str, value: float | None, *, above: float) -> None:
    if value is not None and not above < value < math.inf:
        expected = "a positive number" if above == 0 else "a finite number"
        raise InputError(f"`{name}={value:g}` cannot be used; expected {expected}")


@dataclass(frozen=True, slots=True)
class Examination:
    """A calibration with the curves that it was read from.

    Parameters
    ----------
    calibration : Calibration
    transfer_adu : ndarray, shape (bin, 3)
        Photon-transfer curve: mean counts, variance of the noise, and the same less light that
        passed the filter.
    frequency, power, model : ndarray, shape (bin,)
        Spectrum of the fluctuations in effective photons squared, by radians per pixel, and fit.
    mean_photons : ndarray, shape (y, x)
        Mean of the frames.
    background : ndarray, shape (tile row, tile column)
        Background in photons per pixel; a single number where frames are few.
    course_photons : ndarray, shape (frame,)
        Mean light of each frame.
    frame_numbers : ndarray of int, shape (frame,)
        Where in the movie the frames are from.
    """

    calibration: Calibration
    transfer_adu: Float64Array
    frequency: Float64Array
    power: Float64Array
    model: Float64Array
    mean_photons: Float64Array
    background: Float64Array
    course_photons: Float64Array
    frame_numbers: IntArray


def assumed_examination(
    frames: AnyArray, given: KnownValues, frame_numbers: IntArray, note: str = TOO_EVEN
) -> Examination:
    """Return what is given, and guesses that are infinitely uncertain for the rest.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
    given : KnownValues
    frame_numbers : ndarray of int, shape (frame,)
    note : str
        Why nothing was measured.
    """
    values = frames.astype(np.float64)
    spread, level = float(values.std()), float(np.median(values))
    # Ten photons of background have a standard deviation of about three.
    slope = _given_or(given.adu_per_photon, spread / 3 if spread > 0 else 1.0)
    zero = _given_or(given.zero_adu, level - 10 * slope.value if spread > 0 else level)
    photons = (values - zero.value) / slope.value
    background = float(np.median(photons))
    calibration = Calibration(
        adu_per_photon=slope,
        zero_adu=zero,
        sigma_px=_given_or(given.sigma_px, PRIOR_SIGMA_PX),
        background_photons=_given_or(None, background),
        background_unevenness=_given_or(None, 0.0),
        signal_photons=_given_or(None, 0.0),
        density_per_px=_given_or(None, 0.0),
        drift_px=_given_or(None, 0.0),
        hot_pixels=np.zeros(frames.shape[1:], bool),
        dead_pixels=np.zeros(frames.shape[1:], bool),
        frames=len(frames),
        pixel_size_nm=given.pixel_size_nm,
        notes=(note,),
    )
    nothing = np.empty(0)
    return Examination(
        calibration=calibration,
        transfer_adu=np.empty((0, 3)),
        frequency=nothing,
        power=nothing,
        model=nothing,
        mean_photons=photons.mean(axis=0),
        background=np.full((1, 1), background),
        course_photons=photons.mean(axis=(1, 2)),
        frame_numbers=frame_numbers,
    )


def _given_or(value: float | None, guess: float) -> Estimate:
    return Estimate(guess, float("inf")) if value is None else Estimate(value, 0.0)
