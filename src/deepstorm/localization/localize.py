"""Localize the emitters of a movie one by one: the everyday way, for any density."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from deepstorm.arrays import AnyArray, BoolArray
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.config import Settings
from deepstorm.evaluation.checks import check_length
from deepstorm.localization.bounds import check_width
from deepstorm.localization.noise import CameraNoise
from deepstorm.localization.spots import Spots, check_frames, fit_spots, without_duplicates
from deepstorm.localization.width import MOST_FRAMES, estimate_sigma_px
from deepstorm.structures import Localizations


class LocalizationSettings(Settings):
    """How single emitters are found and which fits are kept.

    Parameters
    ----------
    threshold : float
        Smallest significance of a peak, in standard deviations of the filtered frame's noise.
    reach_sigma : float
        How far the fitted window reaches to each side, in standard deviations of the PSF. Wider
        windows are more precise where emitters are sparse, narrower ones where they are dense.
    free_width : bool
        Whether the width of each spot is fitted, or held at that of the PSF.
    narrowest, widest : float
        Range of fitted widths that are kept, in units of the PSF's.
    least_snr : float
        Smallest number of photons that is kept, in units of their standard error.
    same_sigma : float
        Distance, in standard deviations of the PSF, within which two fits are the same emitter.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range.
    """

    threshold: float = Field(default=4.5, gt=0)
    reach_sigma: float = Field(default=3.0, ge=1.5, le=10)
    free_width: bool = True
    narrowest: float = Field(default=0.6, gt=0, lt=1)
    widest: float = Field(default=1.8, gt=1)
    least_snr: float = Field(default=3.0, ge=0)
    same_sigma: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        if self.widest > 3 or self.narrowest < 0.4:
            raise ValueError("fits are sought between 0.4 and 3 times the PSF's width")
        return self


def localize_frames(
    frames: AnyArray,
    pixel_size_nm: float,
    noise: CameraNoise | None = None,
    *,
    sigma_px: float | None = None,
    settings: LocalizationSettings | None = None,
) -> Localizations:
    """Find spots and fit a Gaussian to each by maximum likelihood.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Counts of the camera; real and finite.
    pixel_size_nm : float
        Size of a camera pixel in the sample.
    noise : CameraNoise, optional
        By default measured from the frames, so that photons are effective ones.
    sigma_px : float, optional
        Standard deviation of the PSF in camera pixels; by default measured from the frames.
    settings : LocalizationSettings, optional

    Returns
    -------
    Localizations
        With photons, width, background and the uncertainty along one axis: the Cramér-Rao bound at
        the fitted values.

    Raises
    ------
    InputError
        If a value is out of range, or frames, maps and windows do not fit together.
    """
    chosen = settings if settings is not None else LocalizationSettings()
    camera, width_px = camera_and_width(frames, noise, sigma_px)
    check_length(pixel_size_nm, "pixel size")
    spots = fit_spots(
        frames,
        camera,
        width_px,
        threshold=chosen.threshold,
        reach_sigma=chosen.reach_sigma,
        free_width=chosen.free_width,
    )
    kept = spots.select(_acceptable(spots, frames.shape, width_px, chosen))
    return without_duplicates(kept, chosen.same_sigma * width_px).localizations(pixel_size_nm)


def camera_and_width(
    frames: AnyArray, noise: CameraNoise | None, sigma_px: float | None
) -> tuple[CameraNoise, float]:
    """Return the camera's noise and the PSF's width in pixels, measured where they are not given.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
    noise : CameraNoise, optional
    sigma_px : float, optional
    """
    camera = noise if noise is not None else CameraNoise()
    check_frames(frames, camera)
    if sigma_px is not None:
        check_width(sigma_px)
    if noise is not None:
        return camera, sigma_px or estimate_sigma_px(frames, camera).value
    calibration = calibrate_frames(frames[:: max(len(frames) // MOST_FRAMES, 1)])
    camera = CameraNoise.from_calibration(calibration)
    guess_px = calibration.sigma_px.value
    return camera, sigma_px or estimate_sigma_px(frames, camera, guess_px).value


def _acceptable(
    spots: Spots, shape: tuple[int, ...], sigma_px: float, settings: LocalizationSettings
) -> BoolArray:
    inside = (spots.x_px >= 0) & (spots.x_px <= shape[2])
    inside &= (spots.y_px >= 0) & (spots.y_px <= shape[1])
    bright = spots.photons >= settings.least_snr * spots.photons_error
    narrow_enough = spots.sigma_px <= settings.widest * sigma_px
    wide_enough = spots.sigma_px >= settings.narrowest * sigma_px
    return spots.converged & inside & bright & narrow_enough & wide_enough
