"""The microscope as a linear map from a fine grid to camera pixels, and what a camera recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deepstorm.arrays import AnyArray
from deepstorm.errors import InputError
from deepstorm.simulation.psf import integrated_gaussian
from deepstorm.structures import Calibration, Instrument, Localizations


class Baseline(Protocol):
    """A method that finds emitters frame by frame.

    The result does not depend on how a movie is cut into blocks, and is the same every time.
    """

    def localize(self, frames: AnyArray, first_frame: int = 0) -> Localizations:
        """Find the emitters of each frame.

        Parameters
        ----------
        frames : ndarray, shape (frame, y, x)
            Camera counts.
        first_frame : int
            Index of the first frame.

        Returns
        -------
        Localizations
            With ``photons`` (effective ones), ordered by frame.
        """


@dataclass(frozen=True, slots=True)
class ImagingConditions:
    """What a method has to be told of a movie.

    Parameters
    ----------
    instrument : Instrument
        Camera and PSF.
    pixel_size_nm : float
        Size of a camera pixel in the sample.
    background_photons : float
        Effective photons per camera pixel and frame that do not come from emitters.
    """

    instrument: Instrument
    pixel_size_nm: float
    background_photons: float

    @classmethod
    def from_calibration(cls, calibration: Calibration, pixel_size_nm: float) -> ImagingConditions:
        """Take what a movie says of itself."""
        background = calibration.background_photons.value
        return cls(calibration.instrument, pixel_size_nm, background)

    def photons(self, frames: AnyArray, device: torch.device) -> Tensor:
        """Return effective photons, background included, as float32, (frame, y, x).

        Raises
        ------
        InputError
            If the frames are not three-dimensional, empty or not finite.
        """
        counts = np.asarray(frames, np.float32)
        if counts.ndim != 3 or counts.size == 0 or not np.isfinite(counts).all():
            raise InputError(
                f"frames of shape {counts.shape} cannot be searched: three axes (frame, y, x), at "
                "least one pixel and only finite numbers were expected; a single frame is "
                "frames[None], and a number belongs where there is NaN or infinity"
            )
        zero, slope = self.instrument.zero_adu, self.instrument.adu_per_photon
        return torch.from_numpy((counts - np.float32(zero)) / np.float32(slope)).to(device)


@dataclass(frozen=True, slots=True)
class Imaging:
    """Convolution with a separable PSF and summation over camera pixels: two small matrices.

    Parameters
    ----------
    rows, columns : Tensor, shape (camera pixel, fine pixel)
        Fraction of the light of a fine pixel's row (column) in each row (column) of the camera.
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def gaussian(
        cls, shape: tuple[int, int], sigma_px: float, upsampling: int, device: torch.device
    ) -> Imaging:
        """Image through a Gaussian PSF, integrated over each camera pixel.

        Parameters
        ----------
        shape : tuple of int
            Size (y, x) of the camera.
        sigma_px : float
            Standard deviation of the PSF in camera pixels.
        upsampling : int
            Fine pixels per camera pixel along each axis; an emitter is in a fine pixel's middle.
        device : torch.device
        """
        profiles = [_profiles(length, sigma_px, upsampling).to(device) for length in shape]
        return cls(profiles[0], profiles[1])

    def forward(self, emitters: Tensor) -> Tensor:
        """Image emitters, (frame, fine y, fine x), on the camera, (frame, y, x)."""
        return (self.rows @ emitters) @ self.columns.T

    def adjoint(self, pixels: Tensor) -> Tensor:
        """Apply the transposed map, (frame, y, x) to (frame, fine y, fine x)."""
        return (self.rows.T @ pixels) @ self.columns

    def norms(self) -> Tensor:
        """Return the norm of a spot of one photon in each fine pixel, (fine y, fine x)."""
        return torch.outer(self.rows.norm(dim=0), self.columns.norm(dim=0))

    def squared_norm(self) -> float:
        """Return the largest eigenvalue of the adjoint after the map."""
        largest = [torch.linalg.matrix_norm(part, 2) for part in (self.rows, self.columns)]
        return float(largest[0] * largest[1]) ** 2


def _profiles(length: int, sigma_px: float, upsampling: int) -> Tensor:
    """Return the light of each fine pixel along one axis, (camera pixel, fine pixel)."""
    middle = (np.arange(length * upsampling) + 0.5) / upsampling
    widths, first = np.full(len(middle), sigma_px), np.zeros(len(middle), np.int64)
    light = integrated_gaussian(middle, widths, first, length)
    return torch.from_numpy(np.ascontiguousarray(light.T, np.float32))
