"""Everything that a raw movie says of its camera, optics and emitters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deepstorm.arrays import AnyArray, Float32Array, Float64Array, FloatArray, IntArray
from deepstorm.calibration.assumption import (
    NO_NOISE,
    Examination,
    KnownValues,
    assumed_examination,
)
from deepstorm.calibration.background import background_map, unevenness
from deepstorm.calibration.brightness import MeasuredBrightness, measure_brightness
from deepstorm.calibration.drift import measure_drift
from deepstorm.calibration.sample import Sample, cut_patches
from deepstorm.calibration.screening import screen, sound_frames
from deepstorm.calibration.spectrum import Spectrum, SpectrumFit, fit_spectrum, fluctuation_spectrum
from deepstorm.calibration.steady import covered, find_steady_spots
from deepstorm.calibration.transfer import (
    TransferCurve,
    TransferFit,
    fit_transfer,
    has_noise,
    transfer_curve,
)
from deepstorm.calibration.zero import ZeroPrior
from deepstorm.errors import InputError
from deepstorm.structures import Calibration, Estimate

# Smaller fields than this hold hardly a whole spot.
SMALLEST_FIELD_PX = 8
STILL = "All frames are the same: they were looked at as a single one."


def calibrate_frames(
    frames: AnyArray,
    *,
    known: KnownValues | None = None,
    frame_numbers: IntArray | None = None,
) -> Calibration:
    """Estimate camera, optics and emitters from raw frames alone.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Real numbers, finite: frames of one movie, spread over it; some 200 do. If all are the same,
        they say no more than one of them; if they have no noise at all, nothing.
    known : KnownValues, optional
        What need not be measured.
    frame_numbers : ndarray of int, shape (frame,), optional
        Where in the movie the frames are from, ascending; consecutive ones where absent.

    Returns
    -------
    Calibration
        Always usable: finite, with positive ``adu_per_photon`` and ``sigma_px``. What could not be
        measured is an assumption with a large uncertainty.

    Raises
    ------
    InputError
        If the zero that is known is above the counts.
    """
    return examine_frames(frames, known=known, frame_numbers=frame_numbers).calibration


def examine_frames(
    frames: AnyArray,
    *,
    known: KnownValues | None = None,
    frame_numbers: IntArray | None = None,
) -> Examination:
    """Do as :func:`calibrate_frames`, and return the curves as well."""
    given = known if known is not None else KnownValues()
    _check_zero(frames, given)
    numbers = frame_numbers if frame_numbers is not None else np.arange(len(frames))
    if min(frames.shape[1:]) < SMALLEST_FIELD_PX or frames.min() == frames.max():
        return assumed_examination(frames, given, numbers)
    if len(frames) > 1 and (frames == frames[0]).all():
        return _still(frames, given, numbers)
    screening = screen(frames)
    whole, numbers = frames[~screening.left_out], numbers[~screening.left_out]
    sound = sound_frames(frames, screening)
    examination = _measured(sound, whole, given, numbers)
    calibration = replace(
        examination.calibration,
        hot_pixels=screening.hot,
        dead_pixels=screening.dead,
        screening=screening,
    )
    zero, slope = calibration.zero_adu.value, calibration.adu_per_photon.value
    seen = examination.mean_photons
    if seen.shape != frames.shape[1:]:
        seen = (whole.mean(axis=0, dtype=np.float64) - zero) / slope
    return replace(examination, calibration=calibration, mean_photons=seen)


def _measured(
    sound: AnyArray, whole: AnyArray, given: KnownValues, numbers: IntArray
) -> Examination:
    """Examine frames without faults, where ``whole`` are the same ones as the camera gave them."""
    if min(sound.shape[1:]) < SMALLEST_FIELD_PX or sound.min() == sound.max():
        return assumed_examination(sound, given, numbers)
    sample = Sample.cut(sound)
    curve = transfer_curve(sample)
    if not has_noise(sample, curve):
        return assumed_examination(sound, given, numbers, NO_NOISE)
    rng = np.random.default_rng(0)
    spectrum = fluctuation_spectrum(sample)
    optics = fit_spectrum(spectrum, given.sigma_px, rng)
    slope, zero = _in_sample_units(given, sample)
    prior = ZeroPrior.of(whole, sample, curve.darkest)
    camera = fit_transfer(curve, optics.sigma_px.value, slope, zero, rng, prior)
    sigma_px = optics.sigma_px.value
    scaled = (np.asarray(sound, np.float32) - np.float32(sample.level_adu)) / sample.scale_adu
    photons = _in_photons(scaled.astype(np.float32), camera)
    blinking = covered(photons, find_steady_spots(photons, sigma_px))
    bright = measure_brightness(cut_patches(blinking), sigma_px)
    calibration = Calibration(
        adu_per_photon=_scaled(camera.slope, sample.scale_adu),
        zero_adu=_scaled(camera.zero, sample.scale_adu, sample.level_adu),
        sigma_px=optics.sigma_px,
        background_photons=_with_camera_error(bright.background_photons, camera),
        background_unevenness=unevenness(blinking, sigma_px, bright),
        signal_photons=_with_relative_error(bright.signal_photons, camera.slope),
        density_per_px=bright.density_per_px,
        drift_px=measure_drift(photons, numbers),
        hot_pixels=np.zeros(sound.shape[1:], bool),
        dead_pixels=np.zeros(sound.shape[1:], bool),
        frames=len(sound),
        pixel_size_nm=given.pixel_size_nm,
    )
    calibration = _with_noise(calibration, given)
    calibration = replace(calibration, notes=_notes(calibration, camera, given))
    return _examination(
        calibration,
        sample,
        photons,
        numbers,
        (curve, camera),
        (spectrum, optics),
        _background(blinking, sigma_px, bright),
    )


def _check_zero(frames: AnyArray, given: KnownValues) -> None:
    """Refuse a zero above the counts: less than no light there cannot be."""
    mean = float(frames.mean(dtype=np.float64))
    if given.zero_adu is not None and given.zero_adu > mean + 1:
        raise InputError(
            f"`zero_adu={given.zero_adu:g}` says how many counts there are without light, but the "
            f"frames have only {mean:.4g} on average; give the value of this camera and its "
            "settings, or leave it out"
        )


def _background(blinking: FloatArray, sigma_px: float, bright: MeasuredBrightness) -> Float64Array:
    """Return the background over the field; a single number where frames are few."""
    if len(blinking) < 2:
        return np.full((1, 1), bright.background_photons.value)
    return background_map(blinking, sigma_px, bright.squared_brightness.value)


def _still(frames: AnyArray, given: KnownValues, numbers: IntArray) -> Examination:
    """Examine one frame in place of its copies, which nothing changes between: not even noise."""
    single = examine_frames(frames[:1], known=given, frame_numbers=numbers[:1])
    calibration, screening = single.calibration, single.calibration.screening
    if screening is not None:
        screening = replace(screening, left_out=np.zeros(len(frames), bool))
    told = replace(
        calibration,
        frames=len(frames),
        notes=(STILL, *calibration.notes),
        screening=screening,
    )
    return replace(single, calibration=told)


def _in_sample_units(given: KnownValues, sample: Sample) -> tuple[float | None, float | None]:
    slope, zero = given.adu_per_photon, given.zero_adu
    return (
        None if slope is None else slope / sample.scale_adu,
        None if zero is None else (zero - sample.level_adu) / sample.scale_adu,
    )


def _in_photons(values: Float32Array, camera: TransferFit) -> Float32Array:
    return (values - np.float32(camera.zero.value)) / np.float32(camera.slope.value)


def _scaled(estimate: Estimate, factor: float, shift: float = 0.0) -> Estimate:
    return Estimate(estimate.value * factor + shift, estimate.uncertainty * factor)


def _with_camera_error(background: Estimate, camera: TransferFit) -> Estimate:
    """Add what the camera's uncertainty means for the background.

    The background is (dark - zero) / slope, and an error of the slope turns the line around its
    pivot, so that the zero goes along.
    """
    slope, zero = camera.slope, camera.zero
    at_pivot = (camera.pivot - zero.value) / slope.value if zero.uncertainty > 0 else 0.0
    by_slope = (background.value + at_pivot) * slope.uncertainty / slope.value
    turned = at_pivot * slope.uncertainty
    moved = np.sqrt(max(zero.uncertainty**2 - turned**2, 0.0)) / slope.value
    parts = np.array([background.uncertainty, by_slope, moved])
    return Estimate(background.value, float(np.sqrt((parts**2).sum())))


def _with_relative_error(estimate: Estimate, slope: Estimate) -> Estimate:
    error = np.hypot(estimate.uncertainty, slope.uncertainty / slope.value * estimate.value)
    return Estimate(estimate.value, float(error))


def _with_noise(calibration: Calibration, given: KnownValues) -> Calibration:
    """Add read noise and excess noise, as far as given values let them be known."""
    slope, zero = calibration.adu_per_photon, calibration.zero_adu
    read = excess = None
    if given.offset_adu is not None:
        variance = (given.offset_adu - zero.value) / slope.value
        error = float(np.hypot(zero.uncertainty, variance * slope.uncertainty)) / slope.value
        noise = float(np.sqrt(max(variance, 0.0)))
        read = Estimate(noise, float(min(error / (2 * max(noise, 1e-12)), np.sqrt(error))))
    if given.adu_per_electron is not None:
        excess = _scaled(slope, 1 / given.adu_per_electron)
    return replace(calibration, read_noise_photons=read, excess_noise_factor=excess)


def _notes(calibration: Calibration, camera: TransferFit, given: KnownValues) -> tuple[str, ...]:
    """Say what was assumed."""
    sigma, signal = calibration.sigma_px, calibration.signal_photons
    background = calibration.background_photons
    said = {
        "The brightness hardly varies, so that the photons per count are a guess: give "
        "adu_per_photon or zero_adu.": not camera.is_measured,
        "The emitters are too faint for the width of the PSF: sigma_px is mostly what microscopes "
        "usually have.": sigma.uncertainty > 0.2 * sigma.value,
        "The emitters' brightness and density cannot be told apart.": signal.uncertainty
        > 0.5 * signal.value,
        "The background is not to be told from the emitters' light.": background.uncertainty
        > 0.5 * abs(background.value),
        "The movie is too short or too even for drift.": not np.isfinite(
            calibration.drift_px.uncertainty
        ),
        "An excess noise factor is part of adu_per_photon; give the gain in counts per electron to "
        "know it.": given.adu_per_electron is None,
        "Read noise is part of zero_adu and the background; give the camera's offset to know it.": (
            given.offset_adu is None
        ),
    }
    return tuple(sentence for sentence, holds in said.items() if holds)


def _examination(
    calibration: Calibration,
    sample: Sample,
    photons: FloatArray,
    numbers: IntArray,
    transfer: tuple[TransferCurve, TransferFit],
    optics: tuple[Spectrum, SpectrumFit],
    background: Float64Array,
) -> Examination:
    """Collect the curves, in units for people."""
    curve, camera = transfer
    spectrum, fit = optics
    counts = curve.counts.sum(axis=0)
    kept = counts > 0
    mean, variance = (
        sums.sum(axis=0)[kept] / counts[kept] for sums in (curve.mean, curve.variance)
    )
    scale = sample.scale_adu
    per_photon = camera.slope.value**2
    return Examination(
        calibration=calibration,
        transfer_adu=np.stack(
            [
                mean * scale + sample.level_adu,
                variance * scale**2,
                (variance - camera.extra) * scale**2,
            ],
            axis=1,
        ),
        frequency=spectrum.frequency,
        power=spectrum.power.mean(axis=0) / per_photon,
        model=fit.model / per_photon,
        mean_photons=photons.mean(axis=0, dtype=np.float64),
        background=background,
        course_photons=photons.mean(axis=(1, 2), dtype=np.float64),
        frame_numbers=numbers,
    )
