"""CEL0: sparse deconvolution on a fine grid with the exact continuous relaxation of ℓ0."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from deepstorm.arrays import AnyArray, Float32Array
from deepstorm.baselines.imaging import Imaging, ImagingConditions
from deepstorm.config import Settings
from deepstorm.models.devices import find_device
from deepstorm.structures import Localizations

# A frame is brought to a highest pixel of 1, but not by dividing by less than this.
LEAST_PHOTONS = 1.0


class Cel0Settings(Settings):
    """How CEL0 deconvolves.

    Parameters
    ----------
    upsampling : int
        Fine pixels per camera pixel along each axis; 8 in the paper's comparison.
    penalty : float
        λ, for a frame whose highest pixel above the background is 1. An emitter that is alone is
        kept where its photons exceed sqrt(2 λ) / ‖a‖, in that unit. Published values belong to
        other scalings.
    outer_iterations : int
        Times that the weights of the ℓ1 norm are computed anew.
    inner_iterations : int
        FISTA iterations for each set of weights.
    tolerance : float
        Outer iterations end early where no value changes by more than this fraction of the
        largest one.
    join_touching : bool
        Whether fine pixels that touch each other are one emitter at their centre of light; an
        emitter is rarely in the middle of a fine pixel. Otherwise each is an emitter.
    frames_at_once : int
        Frames that are handled together; changes memory and speed alone.
    """

    upsampling: int = Field(default=8, ge=1, le=32)
    penalty: float = Field(default=0.01, gt=0)
    outer_iterations: int = Field(default=10, ge=1)
    inner_iterations: int = Field(default=50, ge=1)
    tolerance: float = Field(default=1e-4, ge=0)
    join_touching: bool = True
    frames_at_once: int = Field(default=1, ge=1)


class Cel0:
    """Localize by minimising the CEL0 functional in each frame [1]_.

    ½‖A x − y‖² + Σᵢ φ(‖aᵢ‖, λ; xᵢ) over x ≥ 0, with
    φ = λ − ½‖aᵢ‖² (x − sqrt(2 λ)/‖aᵢ‖)² up to x = sqrt(2 λ)/‖aᵢ‖ and λ beyond [2]_.

    Parameters
    ----------
    conditions : ImagingConditions
    settings : Cel0Settings, optional
    device : str
        As :func:`deepstorm.models.devices.find_device`.

    References
    ----------
    .. [1] Gazagnes, Soubies, Blanc-Féraud, "High density molecule localization for
       super-resolution microscopy using CEL0 based sparse approximation", ISBI 2017,
       doi 10.1109/ISBI.2017.7950460.
    .. [2] Soubies, Blanc-Féraud, Aubert, "A continuous exact ℓ0 penalty (CEL0) for least squares
       regularized problem", SIAM J. Imaging Sci. 8, 1607 (2015), doi 10.1137/151003714.
    """

    def __init__(
        self,
        conditions: ImagingConditions,
        settings: Cel0Settings | None = None,
        device: str = "cpu",
    ) -> None:
        self.conditions = conditions
        self.settings = settings or Cel0Settings()
        self.device = find_device(device)

    def localize(self, frames: AnyArray, first_frame: int = 0) -> Localizations:
        """Find the emitters of each frame; see :class:`deepstorm.baselines.imaging.Baseline`."""
        parts = [Localizations.concatenate([])]
        for start in range(0, len(frames), self.settings.frames_at_once):
            block = frames[start : start + self.settings.frames_at_once]
            parts.append(self._emitters(self.deconvolve(block), first_frame + start))
        return Localizations.concatenate(parts[1:] or parts)

    def deconvolve(self, frames: AnyArray) -> Float32Array:
        """Return effective photons on the fine grid, (frame, fine y, fine x).

        Raises
        ------
        InputError
            If the frames are not three-dimensional, empty or not finite.
        """
        light = self.conditions.photons(frames, self.device)
        light -= self.conditions.background_photons
        sigma_px, upsampling = self.conditions.instrument.sigma_px, self.settings.upsampling
        shape = (light.shape[1], light.shape[2])
        imaging = Imaging.gaussian(shape, sigma_px, upsampling, self.device)
        highest = light.amax(dim=(1, 2), keepdim=True).clamp(min=LEAST_PHOTONS)
        found = minimise_cel0(light / highest, imaging, self.settings) * highest
        return np.asarray(found.cpu().numpy(), np.float32)

    def _emitters(self, photons: Float32Array, first_frame: int) -> Localizations:
        """Turn fine pixels that are not zero into emitters."""
        found = [self._of_frame(image, first_frame + i) for i, image in enumerate(photons)]
        return Localizations.concatenate(found)

    def _of_frame(self, photons: Float32Array, frame: int) -> Localizations:
        row, column = np.nonzero(photons)
        light = photons[row, column].astype(np.float64)
        group = np.arange(len(light))
        if self.settings.join_touching:
            labels, _ = ndimage.label(photons > 0, np.ones((3, 3)))
            group = labels[row, column].astype(np.int64) - 1
        total = np.bincount(group, light).astype(np.float64)
        fine_nm = self.conditions.pixel_size_nm / self.settings.upsampling
        return Localizations(
            frame=np.full(len(total), frame, np.int64),
            x_nm=np.bincount(group, light * (column + 0.5)) / total * fine_nm,
            y_nm=np.bincount(group, light * (row + 0.5)) / total * fine_nm,
            photons=total,
        )


def minimise_cel0(light: Tensor, imaging: Imaging, settings: Cel0Settings) -> Tensor:
    """Minimise the CEL0 functional by iteratively reweighted ℓ1 from zero.

    Parameters
    ----------
    light : Tensor, shape (frame, y, x)
        Each frame without its background, its highest pixel 1 if ``penalty`` shall have its
        published meaning.
    imaging : Imaging
    settings : Cel0Settings

    Returns
    -------
    Tensor, shape (frame, fine y, fine x)
        0 or more.
    """
    norms = imaging.norms()
    edge = math.sqrt(2 * settings.penalty)
    step = 1 / imaging.squared_norm()
    photons = torch.zeros_like(imaging.adjoint(light))
    for _ in range(settings.outer_iterations):
        weights = norms * (edge - norms * photons).clamp_(min=0)
        before, photons = photons, _fista(light, imaging, weights, photons, step, settings)
        change, largest = (photons - before).abs_().amax((1, 2)), photons.amax((1, 2))
        if (change <= settings.tolerance * largest).all():
            break
    return photons


def _fista(
    light: Tensor,
    imaging: Imaging,
    weights: Tensor,
    start: Tensor,
    step: float,
    settings: Cel0Settings,
) -> Tensor:
    """Minimise ½‖A x − y‖² + Σ wᵢ xᵢ over x ≥ 0 (Beck and Teboulle 2009, eq. 4.1 to 4.3)."""
    threshold = weights * step
    now, ahead, momentum = start, start, 1.0
    for _ in range(settings.inner_iterations):
        descent = imaging.adjoint(light - imaging.forward(ahead))
        following = torch.add(ahead, descent, alpha=step).sub_(threshold).clamp_(min=0)
        grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = torch.lerp(now, following, 1 + (momentum - 1) / grown)
        now, momentum = following, grown
    return now
