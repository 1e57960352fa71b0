"""Frames without what their camera did to them, and without frames that say nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, Float32Array, Float64Array
from deepstorm.calibration.background import SteadyLight
from deepstorm.calibration.faults import HotPixels
from deepstorm.calibration.field_parts import continued
from deepstorm.calibration.frame_faults import EmptyFrames, steadied
from deepstorm.calibration.spikes import without_spikes
from deepstorm.structures import Calibration, Instrument

# So many faulty pixels side by side hide what falls on them.
SEVERAL = 4
# Dark parts have a rim at most so wide, where less of the light comes than this, and less by so
# many times what pixels inside of it differ by.
RIM_PX, DIM, CERTAIN = 3, 0.95, 3.0
# Where the light of emitters is less certain, they are taken to be off most of the time.
SURE = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Beyond:
    """What would be seen where no light comes.

    Parameters
    ----------
    unlit : ndarray of bool, shape (y, x)
    background_adu : ndarray of float64, shape (y, x)
        How the background goes on there.
    usual_adu : float
        Background of the usual pixel.
    instrument : Instrument
    """

    unlit: BoolArray
    background_adu: Float64Array
    usual_adu: float
    instrument: Instrument

    def fill(self, frames: Float32Array) -> None:
        """Let the light of spots at the edge fall off beyond it, into background, in place.

        A spot that is cut off passes for several emitters along the edge, and whatever is smoother
        than background, or more alike, or on another level, for structure.
        """
        unlit, instrument = self.unlit, self.instrument
        nearest = ndimage.distance_transform_edt(unlit, return_distances=False, return_indices=True)
        here = np.argwhere(unlit).T
        row, column = np.asarray(nearest)[:, unlit]
        squared_px = ((here - (row, column)) ** 2).sum(axis=0)
        fall_off = np.exp(-0.5 * squared_px / instrument.sigma_px**2)
        for frame in frames:
            # Frames are lit more or less than the usual one.
            usual = float(np.median(frame[~unlit])) - instrument.zero_adu
            light = self.background_adu[unlit] - instrument.zero_adu
            light *= max(usual, 0.0) / max(self.usual_adu - instrument.zero_adu, 1e-9)
            rng = np.random.default_rng(int(abs(frame).sum(dtype=np.float64)))
            spread = np.sqrt(instrument.adu_per_photon * light * (1 - fall_off**2))
            level = instrument.zero_adu + light
            noise = rng.normal(0.0, spread)
            frame[unlit] = level + (frame[row, column] - level) * fall_off + noise


@dataclass(frozen=True, slots=True, eq=False)
class Cleaning:
    """What is done to all frames of a movie alike.

    Parameters
    ----------
    faulty : HotPixels
        Pixels that are filled in.
    unlit : ndarray of bool, shape (y, x), optional
        Parts of the field in which no emitter can be seen.
    silent : ndarray of bool, shape (y, x), optional
        Pixels in which no emitter is sought.
    noise_adu : float, optional
        Usual standard deviation of a pixel; without it, no spikes are taken out.
    beyond : Beyond, optional
        What those parts are filled with.
    empty : EmptyFrames, optional
        How empty frames are told.
    """

    faulty: HotPixels
    unlit: BoolArray | None = None
    silent: BoolArray | None = None
    noise_adu: float | None = None
    beyond: Beyond | None = None
    empty: EmptyFrames | None = None

    @classmethod
    def of(cls, calibration: Calibration, frames: AnyArray) -> Cleaning:
        """Return what follows from what a calibration left out.

        Parameters
        ----------
        calibration : Calibration
        frames : ndarray, shape (frame, y, x)
            Those that it is of.
        """
        faulty = HotPixels(calibration.hot_pixels | calibration.dead_pixels)
        screening = calibration.screening
        if screening is None:
            return cls(faulty, silent=_silent(faulty.mask, None))
        unlit = beyond = None
        if screening.unlit.any() and not screening.unlit.all():
            sound = faulty.repair(frames[~screening.left_out])
            unlit, beyond = _dark_part(calibration, sound, screening.unlit)
        return cls(
            faulty=faulty,
            unlit=unlit,
            silent=_silent(faulty.mask, unlit),
            noise_adu=screening.noise_adu,
            beyond=beyond,
            empty=EmptyFrames(screening.most_alike),
        )

    @property
    def left_out(self) -> BoolArray:
        """Pixels whose counts are not the camera's, or tell nothing of emitters, shape (y, x)."""
        return self.faulty.mask if self.silent is None else self.faulty.mask | self.silent

    def clean(self, frames: AnyArray) -> Float32Array:
        """Return frames in which faults are filled in; those given are left as they are.

        Parameters
        ----------
        frames : ndarray, shape (frame, y, x)
        """
        cleaned = self.faulty.repair(frames)
        if self.beyond is not None:
            self.beyond.fill(cleaned)
        return cleaned if self.noise_adu is None else without_spikes(cleaned, self.noise_adu)

    def empty_ones(self, frames: AnyArray) -> BoolArray:
        """Return which frames, as the camera gave them, say nothing, shape (frame,)."""
        if self.empty is None:
            return np.zeros(len(frames), bool)
        return self.empty.find(frames)


def _silent(faulty: BoolArray, unlit: BoolArray | None) -> BoolArray | None:
    """Return the pixels in which no emitter is sought; nothing if one may be anywhere.

    They get no light, or lie at the edge of those: of a spot that is cut off too little is left to
    say where it is. Nor is an emitter sought on faulty lines and blocks, where all that is known of
    it comes from beside them; if they are wide, not even that.
    """
    groups, _ = ndimage.label(faulty)
    silent = (np.bincount(groups.ravel()) >= SEVERAL)[groups] & faulty
    wide = ndimage.binary_opening(silent, np.ones((2, 2), bool))
    silent |= ndimage.binary_dilation(wide if unlit is None else wide | unlit)
    return silent if silent.any() else None


def _dark_part(
    calibration: Calibration, frames: AnyArray, unlit: BoolArray
) -> tuple[BoolArray, Beyond]:
    """Return where it is dark with the dim rim of the rest, and what would be seen there."""
    instrument = calibration.instrument
    photons = (np.asarray(steadied(frames), np.float32) - instrument.zero_adu) / np.float32(
        instrument.adu_per_photon
    )
    steady = usual = np.median(photons, axis=0)
    brightness = calibration.signal_photons
    if brightness.uncertainty < SURE * brightness.value:
        steady = SteadyLight.of(photons, instrument.sigma_px, brightness).photons
    near = ndimage.binary_dilation(unlit, iterations=RIM_PX) & ~unlit
    lit, squared = (continued(each, ~(unlit | near)) for each in (steady, steady**2))
    differs = np.sqrt(np.maximum(squared - lit**2, 0))
    unlit = unlit | near & (steady < np.minimum(DIM * lit, lit - CERTAIN * differs))
    light = np.maximum(continued(steady, ~unlit), 0)
    background = instrument.zero_adu + instrument.adu_per_photon * light
    usual_adu = instrument.zero_adu + instrument.adu_per_photon * float(np.median(usual[~unlit]))
    return unlit, Beyond(unlit, background, usual_adu, instrument)
