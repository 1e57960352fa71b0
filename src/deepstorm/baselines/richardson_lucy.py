"""Richardson-Lucy deconvolution of the mean frame: what is had without any blinking."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from deepstorm.arrays import AnyArray, Float32Array
from deepstorm.baselines.imaging import Imaging, ImagingConditions
from deepstorm.config import Settings
from deepstorm.models.devices import find_device

# Light below which a pixel is taken for this much, so that no division is by zero.
LEAST_PHOTONS = 1e-6


class RichardsonLucySettings(Settings):
    """How the mean frame is deconvolved.

    Parameters
    ----------
    upsampling : int
        Fine pixels per camera pixel along each axis.
    iterations : int
        More bring finer structure, and noise.
    """

    upsampling: int = Field(default=8, ge=1, le=32)
    iterations: int = Field(default=3000, ge=1)


def deconvolve_mean(
    frames: AnyArray,
    conditions: ImagingConditions,
    settings: RichardsonLucySettings | None = None,
    device: str = "cpu",
) -> Float32Array:
    """Deconvolve the mean of a movie by maximum likelihood for Poisson noise [1]_, [2]_.

    No frame is looked at by itself, so that a method that uses blinking has to do better than
    this to show that it gains anything by it.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Camera counts.
    conditions : ImagingConditions
    settings : RichardsonLucySettings, optional
    device : str
        As :func:`deepstorm.models.devices.find_device`.

    Returns
    -------
    ndarray of float32, shape (fine y, fine x)
        Effective photons per fine pixel and frame.

    Raises
    ------
    InputError
        If the frames are not three-dimensional, empty or not finite.

    References
    ----------
    .. [1] Richardson, J. Opt. Soc. Am. 62, 55 (1972), doi 10.1364/JOSA.62.000055.
    .. [2] Lucy, Astron. J. 79, 745 (1974), doi 10.1086/111605.
    """
    chosen, where = settings or RichardsonLucySettings(), find_device(device)
    mean = conditions.photons(frames, where).mean(dim=0, keepdim=True)
    light = mean.clamp(min=0)
    shape = (light.shape[1], light.shape[2])
    imaging = Imaging.gaussian(shape, conditions.instrument.sigma_px, chosen.upsampling, where)
    reaching = imaging.adjoint(light.new_ones(light.shape))
    background = max(conditions.background_photons, LEAST_PHOTONS)
    photons = light.mean() / chosen.upsampling**2 + reaching * 0
    for _ in range(chosen.iterations):
        photons *= imaging.adjoint(light / (imaging.forward(photons) + background)) / reaching
    return np.asarray(photons[0].cpu().numpy(), np.float32)
