"""What is fitted to a movie once and holds for all of its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from deepstorm.arrays import BoolArray, Float32Array, IntArray
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.cleaning import Cleaning
from deepstorm.calibration.inspection import inspect_frames
from deepstorm.calibration.sampling import FrameSample
from deepstorm.models.card import NetworkCard
from deepstorm.models.scaling import Scaling
from deepstorm.reconstruction.emitters.photometry import Light, measure_light
from deepstorm.reconstruction.goodness import FitSums
from deepstorm.reconstruction.leveling import Leveling
from deepstorm.reconstruction.residuals import Explained, residual_sums
from deepstorm.reconstruction.suitability import Findings, judge
from deepstorm.structures import Calibration, Instrument, Localizations


@dataclass(frozen=True, slots=True)
class FittedMovie:
    """What holds for all frames of a movie.

    Parameters
    ----------
    known : KnownValues
        What was given.
    calibration : Calibration
    cleaning : Cleaning
        What is done to frames before they are scaled.
    scaling : Leveling
    findings : Findings
    """

    known: KnownValues
    calibration: Calibration
    cleaning: Cleaning
    scaling: Leveling
    findings: Findings

    @property
    def kind_of_photons(self) -> Literal["detected", "effective"]:
        """Which photons localizations have."""
        return "effective" if self.known.adu_per_electron is None else "detected"

    def with_light(
        self, found: Localizations, frames: Float32Array, numbers: IntArray, pixel_size_nm: float
    ) -> tuple[Localizations, Explained]:
        """Add photons, background and PSF width to the localizations of a block of frames.

        Returns the frames with what is expected of them, too.

        Parameters
        ----------
        found : Localizations
            Of those frames alone.
        frames : ndarray of float32, shape (frame, y, x)
            Counts.
        numbers : ndarray of int, shape (frame,)
            Index of each frame in the movie, ascending.
        pixel_size_nm : float
            Size of a camera pixel.
        """
        instrument = self.calibration.instrument
        lit, explained = _with_light(found, frames, numbers, pixel_size_nm, instrument)
        return in_detected_photons(lit, instrument, self.known), explained

    def checked(self, explained: Explained) -> FitSums:
        """Return how well some of the frames of a block are explained."""
        sigma_px = self.calibration.sigma_px.value
        return residual_sums(explained.checked(), sigma_px, self.cleaning.left_out)


def fit_movie(
    sample: FrameSample,
    calibration: Calibration,
    known: KnownValues,
    card: NetworkCard,
    upsampling: int,
) -> FittedMovie:
    """Fit a network's scaling to a movie, and compare the movie with the network's card.

    Parameters
    ----------
    sample : FrameSample
        Frames spread over the movie.
    calibration : Calibration
        Of these frames.
    known : KnownValues
        What was given to it.
    card : NetworkCard
    upsampling : int
        Pixels of the image per camera pixel.
    """
    cleaning = Cleaning.of(calibration, sample.frames)
    cleaned = cleaning.clean(sample.frames)
    movie = inspect_frames(sample.frames, calibration, upsampling, sample.numbers, sample.pairs)
    scaling = _leveling(cleaned, card.scaling, calibration, cleaning.unlit)
    return FittedMovie(
        known=known,
        calibration=calibration,
        cleaning=cleaning,
        scaling=scaling,
        findings=judge(card.name, card.validity, movie, scaling.times_brighter),
    )


def _leveling(
    cleaned: Float32Array, scaling: Scaling, calibration: Calibration, dark: BoolArray | None
) -> Leveling:
    """Fit a scaling to the frames and the part of the field that say most of the movie."""
    screening = calibration.screening
    if screening is None:
        nowhere = np.zeros(cleaned.shape[1:], bool)
        return Leveling.of(scaling.fit(cleaned, calibration.instrument), cleaned, nowhere, nowhere)
    sound = cleaned[~screening.left_out]
    unlit = screening.unlit if dark is None else dark
    main = ~screening.darker & ~unlit
    within = sound if main.all() else sound[:, main][:, None]
    fitted = scaling.fit(within, calibration.instrument)
    return Leveling.of(fitted, sound, screening.darker & ~unlit, unlit, calibration.signal_photons)


def in_detected_photons(
    lit: Localizations, instrument: Instrument, known: KnownValues
) -> Localizations:
    """Turn effective photons into detected ones, where the camera's gain is known.

    Counts over counts per electron are photoelectrons, whatever the excess noise. Where the
    camera's offset is known too, the read noise is taken off the background, of which it is a part
    otherwise.

    Parameters
    ----------
    lit : Localizations
        With effective photons.
    instrument : Instrument
    known : KnownValues
    """
    if known.adu_per_electron is None or lit.photons is None or lit.background_photons is None:
        return lit
    factor = instrument.adu_per_photon / known.adu_per_electron
    dark_adu = instrument.zero_adu if known.offset_adu is None else known.offset_adu
    read_noise = (dark_adu - instrument.zero_adu) / instrument.adu_per_photon
    return replace(
        lit,
        photons=lit.photons * factor,
        background_photons=np.maximum(lit.background_photons - read_noise, 0) * factor,
    )


def _with_light(
    found: Localizations,
    frames: Float32Array,
    numbers: IntArray,
    pixel_size_nm: float,
    instrument: Instrument,
) -> tuple[Localizations, Explained]:
    """Do :meth:`FittedMovie.with_light`, in effective photons."""
    beyond = np.array(frames.shape[:0:-1]) * (1 - 1e-9)  # a centroid may lie on the far border
    x_px, y_px = (
        np.clip(np.asarray(position) / pixel_size_nm, 0, limit)
        for position, limit in zip((found.x_nm, found.y_nm), beyond, strict=True)
    )
    photons = (frames - np.float32(instrument.zero_adu)) / np.float32(instrument.adu_per_photon)
    within = np.searchsorted(numbers, found.frame)
    if len(frames):
        light = measure_light(photons, within, x_px, y_px, instrument.sigma_px, found.confidence)
    else:  # all frames of a block may be empty
        light = Light(np.empty(0), np.empty(0), np.zeros(frames.shape[1:]), photons)
    lit = replace(
        found,
        photons=light.photons,
        background_photons=light.background_photons,
        sigma_nm=np.full(len(found), instrument.sigma_px * pixel_size_nm),
    )
    return lit, Explained(
        numbers=numbers,
        photons=photons,
        expected=light.expected,
        background=light.background_image,
        frame=within,
        x_px=x_px,
        y_px=y_px,
        emitter_photons=light.photons,
    )
