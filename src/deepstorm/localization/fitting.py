"""Maximum likelihood of a Gaussian integrated over pixels, for thousands of spots at a time.

Light is counted in effective photons, whose variance is their mean: an excess noise factor divides
it, and the read noise's variance is added to data and model alike. The likelihood then is that of
Poisson noise, and for other noise a quasi-likelihood with the right variance, which is as efficient
up to the skewness of the noise. It is climbed by Fisher scoring, damped as by Levenberg and
Marquardt where a step would lower it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import BoolArray, Float64Array, IntArray
from deepstorm.localization.bounds import covariance, fisher_information
from deepstorm.localization.quality import Quality, judge
from deepstorm.localization.spot_model import (
    BACKGROUND,
    PARAMETERS,
    PHOTONS,
    SIGMA,
    X,
    Y,
    expected_light,
    light_and_slopes,
    light_profile,
)
from deepstorm.localization.windows import SpotWindows

# Windows that are fitted together: few enough to stay in the processor's cache.
WINDOWS_PER_PORTION = 512
MOST_STEPS = 40
# A fit has converged when a step is below this many standard errors, all parameters together.
TOLERANCE = 3e-3
# Nor does a step that lowers the deviance by less than this change anything: where emitters overlap
# the likelihood is climbed slowly.
LEAST_GAIN = 3e-4
# An emitter is within so many standard deviations, and at least pixels, of its peak.
FARTHEST_SIGMA, FARTHEST_PX = 1.5, 1.5
# Least effective photons of an emitter, and of the background of a pixel.
LEAST_PHOTONS, LEAST_BACKGROUND = 1.0, 0.01
# Widths that a free fit may take, in units of the one it starts with.
NARROWEST, WIDEST = 0.4, 3.0
# The longest step in units of the spot: its width for the position, itself for the rest.
LONGEST_STEP = 0.7
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-7, 1e7
# Deviances within rounding are the same.
ROUNDING = 1e-10


@dataclass(frozen=True, slots=True)
class Fits:
    """What was fitted to n windows, in effective photons and pixels of the window.

    Parameters
    ----------
    parameters, errors : ndarray, shape (n, 5)
        x, y, photons, background and sigma (:mod:`deepstorm.localization.spot_model`) and their
        standard errors; 0 for what was held.
    converged : ndarray of bool, shape (n,)
        Whether the maximum was reached away from the limits of position and width.
    quality : Quality
    """

    parameters: Float64Array
    errors: Float64Array
    converged: BoolArray
    quality: Quality

    def __len__(self) -> int:
        return len(self.parameters)

    def select(self, keep: BoolArray | IntArray) -> Fits:
        """Return some of the fits."""
        return Fits(
            self.parameters[keep],
            self.errors[keep],
            self.converged[keep],
            self.quality.select(keep),
        )


def fit_windows(
    windows: SpotWindows, sigma_px: float, *, free_width: bool, fourth_cumulant: float = 1.0
) -> Fits:
    """Fit one emitter to each window.

    Parameters
    ----------
    windows : SpotWindows
    sigma_px : float
        Standard deviation of the PSF in camera pixels: the first guess, or the value that is held.
    free_width : bool
        Whether each spot's own width is fitted.
    fourth_cumulant : float
        Of the noise, over its mean; see :class:`~deepstorm.localization.noise.CameraNoise`.
    """
    starts = range(0, max(len(windows), 1), WINDOWS_PER_PORTION)
    parts = [
        _fit(
            windows.select(np.arange(start, min(start + WINDOWS_PER_PORTION, len(windows)))),
            sigma_px,
            free_width,
            fourth_cumulant,
        )
        for start in starts
    ]
    return Fits(
        np.concatenate([part.parameters for part in parts]),
        np.concatenate([part.errors for part in parts]),
        np.concatenate([part.converged for part in parts]),
        Quality.concatenate([part.quality for part in parts]),
    )


@dataclass(slots=True)
class _Climb:
    """A portion of windows on the way to the maximum of their likelihood."""

    windows: SpotWindows
    lowest: Float64Array
    highest: Float64Array
    parameters: Float64Array
    deviance: Float64Array
    damping: Float64Array
    done: BoolArray

    @classmethod
    def start(cls, windows: SpotWindows, sigma_px: float, free_width: bool) -> _Climb:
        parameters = _first_guess(windows, sigma_px)
        lowest, highest = _limits(windows, sigma_px, free_width)
        parameters = np.clip(parameters, lowest, highest)
        return cls(
            windows,
            lowest,
            highest,
            parameters,
            _deviance(windows.light, expected_light(parameters, windows.width) + windows.own_light),
            np.full(len(windows), FIRST_DAMPING),
            np.zeros(len(windows), np.bool_),
        )

    def step(self) -> None:
        """Take one step with each window that has not arrived."""
        active = np.flatnonzero(~self.done)
        data, own = self.windows.light[active], self.windows.own_light[active]
        now, lowest, highest = self.parameters[active], self.lowest[active], self.highest[active]
        light, slopes = light_and_slopes(now, self.windows.width)
        expected = light + own
        information = fisher_information(slopes, expected)
        score = (slopes @ (data / expected - 1)[:, :, None])[:, :, 0]
        held = _held(now, score, lowest, highest)
        step = _damped_step(information, score, held, self.damping[active])
        trial = np.clip(now + _shortened(step, now), lowest, highest)
        taken = trial - now
        length = np.einsum("ni,nij,nj->n", taken, information, taken)
        deviance = _deviance(data, expected_light(trial, self.windows.width) + own)
        before = self.deviance[active]
        better = deviance <= before + ROUNDING * np.abs(before)
        self.parameters[active[better]] = trial[better]
        self.deviance[active[better]] = deviance[better]
        factor = np.where(better, 0.1, 10.0)
        self.damping[active] = np.clip(self.damping[active] * factor, LEAST_DAMPING, MOST_DAMPING)
        slow = better & (before - deviance < LEAST_GAIN)
        self.done[active] = (length < TOLERANCE**2) | slow


def _fit(windows: SpotWindows, sigma_px: float, free_width: bool, fourth_cumulant: float) -> Fits:
    climb = _Climb.start(windows, sigma_px, free_width)
    for _ in range(MOST_STEPS):
        if climb.done.all():
            break
        climb.step()
    found = climb.parameters
    light, slopes = light_and_slopes(found, windows.width)
    expected = light + windows.own_light
    information = fisher_information(slopes, expected)
    fixed = np.broadcast_to(climb.lowest == climb.highest, found.shape)
    errors = np.sqrt(np.diagonal(covariance(_without(information, fixed)), axis1=1, axis2=2))
    limited = [X, Y, SIGMA] if free_width else [X, Y]
    inside = (found > climb.lowest) & (found < climb.highest)
    return Fits(
        found,
        np.where(fixed, 0.0, errors),
        climb.done & inside[:, limited].all(axis=1),
        judge(windows, found, expected, PARAMETERS - int(not free_width), fourth_cumulant),
    )


def _first_guess(windows: SpotWindows, sigma_px: float) -> Float64Array:
    """Start in the middle of the peak's pixel, with the light that fits a spot there best."""
    n, width = len(windows), windows.width
    light = windows.light - windows.own_light
    square = light.reshape(n, width, width)
    border = np.concatenate(
        [square[:, 0], square[:, -1], square[:, 1:-1, 0], square[:, 1:-1, -1]], axis=1
    )
    background = np.maximum(np.median(border, axis=1), LEAST_BACKGROUND)
    sigma = np.full(n, sigma_px)
    along_x = light_profile(windows.peak_x_px, sigma, width)
    along_y = light_profile(windows.peak_y_px, sigma, width)
    spot = (along_y[:, :, None] * along_x[:, None, :]).reshape(n, width**2)
    above = light - background[:, None]
    photons = (spot * above).sum(axis=1) / (spot**2).sum(axis=1)
    return np.stack([windows.peak_x_px, windows.peak_y_px, photons, background, sigma], axis=1)


def _limits(
    windows: SpotWindows, sigma_px: float, free_width: bool
) -> tuple[Float64Array, Float64Array]:
    """Return the smallest and largest value of each parameter, shape (n, 5) each."""
    lowest = np.empty((len(windows), PARAMETERS))
    highest = np.empty_like(lowest)
    farthest = max(FARTHEST_PX, FARTHEST_SIGMA * sigma_px)
    for column, peak in ((X, windows.peak_x_px), (Y, windows.peak_y_px)):
        lowest[:, column], highest[:, column] = peak - farthest, peak + farthest
    lowest[:, PHOTONS], highest[:, PHOTONS] = LEAST_PHOTONS, np.inf
    lowest[:, BACKGROUND], highest[:, BACKGROUND] = LEAST_BACKGROUND, np.inf
    lowest[:, SIGMA] = sigma_px * (NARROWEST if free_width else 1.0)
    highest[:, SIGMA] = sigma_px * (WIDEST if free_width else 1.0)
    return lowest, highest


def _deviance(data: Float64Array, expected: Float64Array) -> Float64Array:
    """Return -2 log likelihood of Poisson noise, up to a constant, of each window."""
    result: Float64Array = 2 * (expected - data * np.log(expected)).sum(axis=1)
    return result


def _held(
    now: Float64Array, score: Float64Array, lowest: Float64Array, highest: Float64Array
) -> BoolArray:
    """Return the parameters that are at a limit beyond which the likelihood would grow."""
    held: BoolArray = ((now <= lowest) & (score <= 0)) | ((now >= highest) & (score >= 0))
    held |= lowest == highest
    return held


def _without(information: Float64Array, held: BoolArray) -> Float64Array:
    """Return information that does not link held parameters to others, with 1 for themselves."""
    free = ~held
    linked = information * free[:, :, None] * free[:, None, :]
    return linked + held[:, :, None] * np.eye(information.shape[1])


def _damped_step(
    information: Float64Array, score: Float64Array, held: BoolArray, damping: Float64Array
) -> Float64Array:
    free = _without(information, held)
    scale = 1 / np.sqrt(np.maximum(np.diagonal(free, axis1=1, axis2=2), 1e-30))
    alike = free * scale[:, :, None] * scale[:, None, :]
    alike += (damping + 1e-12)[:, None, None] * np.eye(alike.shape[1])
    solved = np.linalg.solve(alike, (np.where(held, 0.0, score) * scale)[:, :, None])
    return solved[:, :, 0] * scale


def _shortened(step: Float64Array, now: Float64Array) -> Float64Array:
    """Return steps that go nowhere farther than the spot's own size."""
    size = now.copy()
    size[:, X] = size[:, Y] = now[:, SIGMA]
    longest = LONGEST_STEP * size
    longest[:, PHOTONS] += 10.0
    longest[:, BACKGROUND] += 1.0 + 0.05 * now[:, PHOTONS]
    return np.clip(step, -longest, longest)
