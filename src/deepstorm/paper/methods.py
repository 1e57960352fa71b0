"""Every method of the comparison as one kind of thing: frames in, image on the fine grid out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepstorm.api.calibrate import calibrate
from deepstorm.api.reconstruct import reconstruct
from deepstorm.arrays import Float32Array, Int64Array
from deepstorm.models.devices import DeviceName
from deepstorm.paper.context import Context, short_name
from deepstorm.structures import Localizations, histogram_image

CEL0, FALCON, FIT, DECONVOLUTION = "CEL0", "FALCON", "single-emitter fit", "Richardson–Lucy"
FINE = 8

Counts = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Imaged:
    """What a method made of frames.

    Parameters
    ----------
    method : str
    image : ndarray of float32, shape (y, x)
    frames : ndarray of int
        Which frames of the movie were used.
    seconds : float
        Time for these frames; a network's holds calibration and loading.
    emitters : float, optional
        Emitters that were found or are expected.
    """

    method: str
    image: Float32Array
    frames: Int64Array
    seconds: float
    emitters: float | None = None


def spread_frames(total: int, wanted: int | None) -> Int64Array:
    """Return indices of frames spread over a movie, all where ``wanted`` is ``None``."""
    count = total if wanted is None else min(wanted, total)
    return np.unique(np.linspace(0, total - 1, count).round().astype(np.int64))


def by_network(
    network: str,
    frames: Counts,
    pixel_nm: float,
    which: Int64Array | None = None,
    device: DeviceName = "auto",
) -> Imaged:
    """Reconstruct by a network, which is told nothing but the pixel size."""
    used = spread_frames(len(frames), None) if which is None else which
    began = time.perf_counter()
    result = reconstruct(
        frames[used], pixel_size_nm=pixel_nm, network=network, localizations=False, device=device
    )
    seconds = time.perf_counter() - began
    emitters = float(result.record["expected_emitters"])
    return Imaged(short_name(network), result.image, used, seconds, emitters)


def by_localization(
    method: str,
    frames: Counts,
    pixel_nm: float,
    which: Int64Array,
) -> Imaged:
    """Draw the histogram of the emitters that CEL0, FALCON or single-emitter fits find."""
    localize = _localizer(method, frames, pixel_nm)
    began = time.perf_counter()
    found = localize(frames[which])
    seconds = time.perf_counter() - began
    shape = (FINE * frames.shape[1], FINE * frames.shape[2])
    image = histogram_image(found, shape, pixel_nm / FINE)
    return Imaged(method, image, which, seconds, float(len(found)))


def _localizer(method: str, frames: Counts, pixel_nm: float) -> Callable[[Counts], Localizations]:
    """Return what localizes; it is told what the whole movie says of its camera and optics."""
    from deepstorm.baselines.cel0 import Cel0
    from deepstorm.baselines.falcon import Falcon
    from deepstorm.baselines.imaging import ImagingConditions
    from deepstorm.localization.localize import localize_frames
    from deepstorm.localization.noise import CameraNoise

    measured = calibrate(frames, pixel_size_nm=pixel_nm)
    conditions = ImagingConditions.from_calibration(measured, pixel_nm)
    if method == CEL0:
        return Cel0(conditions).localize
    if method == FALCON:
        return Falcon(conditions).localize
    noise = CameraNoise.from_calibration(measured)
    sigma_px = measured.sigma_px.value
    return lambda some: localize_frames(some, pixel_nm, noise, sigma_px=sigma_px)


def by_deconvolution(frames: Counts, pixel_nm: float, iterations: int) -> Imaged:
    """Deconvolve the mean frame, which uses no blinking at all."""
    from deepstorm.baselines.imaging import ImagingConditions
    from deepstorm.baselines.richardson_lucy import RichardsonLucySettings, deconvolve_mean

    conditions = ImagingConditions.from_calibration(
        calibrate(frames, pixel_size_nm=pixel_nm), pixel_nm
    )
    began = time.perf_counter()
    image = deconvolve_mean(
        frames, conditions, RichardsonLucySettings(upsampling=FINE, iterations=iterations)
    )
    seconds = time.perf_counter() - began
    return Imaged(DECONVOLUTION, image, spread_frames(len(frames), None), seconds)


def all_methods(
    frames: Counts,
    pixel_nm: float,
    context: Context,
    *,
    slow_frames: int | None,
    iterations: int,
    label: str,
) -> list[Imaged]:
    """Reconstruct by every method, those that take long on frames spread over the movie.

    Where these are not all frames, our network is run on the same ones, too, for comparison.

    Parameters
    ----------
    frames : ndarray of uint16, shape (frame, y, x)
    pixel_nm : float
    context : Context
    slow_frames : int, optional
        Frames for CEL0 and FALCON; all where absent.
    iterations : int
        Of Richardson–Lucy.
    label : str
        Of the part, for messages.
    """
    which = spread_frames(len(frames), slow_frames)
    found = []
    for network in context.networks:
        context.say(f"{label}: {short_name(network)}")
        found.append(by_network(network, frames, pixel_nm))
    if len(which) < len(frames):
        found.append(by_network(context.ours, frames, pixel_nm, which))
    context.say(f"{label}: {DECONVOLUTION}")
    found.append(by_deconvolution(frames, pixel_nm, iterations))
    every = spread_frames(len(frames), None)
    for method, used in ((FIT, every), (CEL0, which), (FALCON, which)):
        context.say(f"{label}: {method}")
        found.append(by_localization(method, frames, pixel_nm, used))
    return found
