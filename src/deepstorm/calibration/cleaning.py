"""Frames without what their camera did to them, and without frames that say nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deepstorm.arrays import AnyArray, BoolArray, Float32Array
from deepstorm.calibration.faults import HotPixels
from deepstorm.calibration.frame_faults import EmptyFrames
from deepstorm.calibration.spikes import without_spikes
from deepstorm.structures import Calibration

# So many faulty pixels side by side hide what falls on them.
SEVERAL = 4


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
    sigma_px : float
        Width of the PSF.
    noise_adu : float, optional
        Usual standard deviation of a pixel; without it, no spikes are taken out.
    empty : EmptyFrames, optional
        How empty frames are told.
    """

    faulty: HotPixels
    unlit: BoolArray | None = None
    silent: BoolArray | None = None
    sigma_px: float = 1.2
    noise_adu: float | None = None
    empty: EmptyFrames | None = None

    @classmethod
    def of(cls, calibration: Calibration) -> Cleaning:
        """Return what follows from what a calibration left out."""
        faulty = HotPixels(calibration.hot_pixels | calibration.dead_pixels)
        screening = calibration.screening
        if screening is None:
            return cls(faulty, silent=_silent(faulty.mask, None))
        unlit = screening.unlit if screening.unlit.any() else None
        return cls(
            faulty=faulty,
            sigma_px=calibration.sigma_px.value,
            unlit=unlit,
            silent=_silent(faulty.mask, unlit),
            noise_adu=screening.noise_adu,
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
        if self.unlit is not None:
            _fill(cleaned, self.unlit, self.sigma_px)
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


def _fill(frames: Float32Array, unlit: BoolArray, sigma_px: float) -> None:
    """Let the light of spots at the edge fall off beyond it, into background, in place.

    A spot that is cut off passes for several emitters along the edge, and whatever is smoother
    than background, or more alike, for structure.
    """
    nearest = ndimage.distance_transform_edt(unlit, return_distances=False, return_indices=True)
    here = np.argwhere(unlit).T
    row, column = np.asarray(nearest)[:, unlit]
    squared_px = ((here - (row, column)) ** 2).sum(axis=0)
    fall_off = np.exp(-0.5 * squared_px / sigma_px**2)
    for frame in frames:
        dark, level = np.percentile(frame[~unlit], [16, 50])
        rng = np.random.default_rng(int(abs(frame).sum(dtype=np.float64)))
        noise = rng.normal(0.0, level - dark, len(row)) * np.sqrt(1 - fall_off**2)
        frame[unlit] = level + (frame[row, column] - level) * fall_off + noise
