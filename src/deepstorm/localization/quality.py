"""Whether a window holds one round spot and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import gammaincc

from deepstorm.arrays import BoolArray, Float64Array, IntArray
from deepstorm.localization.spot_model import BACKGROUND, SIGMA, elongation_slopes
from deepstorm.localization.windows import SpotWindows


@dataclass(frozen=True, slots=True)
class Quality:
    """How well one round spot describes each window, all of shape (n,).

    Parameters
    ----------
    chi_square : ndarray
        Sum of the squared deviations over their expected variance, per degree of freedom.
    p_value : ndarray
        Probability of at least this chi-square by chance.
    misfit : ndarray
        Root of what the squared deviations are above their expected variance, over that of the
        squared light of the spot: the part of the light that is not where it should be. It tells
        a second emitter from small deviations of the PSF, which bright spots show significantly.
    elongation, elongation_error : ndarray
        Difference over sum of the spot's largest and smallest variance, 0 for a round spot, and the
        standard error of each of its two components.
    """

    chi_square: Float64Array
    p_value: Float64Array
    misfit: Float64Array
    elongation: Float64Array
    elongation_error: Float64Array

    def select(self, keep: BoolArray | IntArray) -> Quality:
        """Return some of the entries."""
        return Quality(*(getattr(self, entry.name)[keep] for entry in fields(self)))

    @classmethod
    def concatenate(cls, parts: list[Quality]) -> Quality:
        """Join records end to end."""
        return cls(
            *(
                np.concatenate([getattr(part, entry.name) for part in parts])
                for entry in fields(cls)
            )
        )


def judge(
    windows: SpotWindows,
    parameters: Float64Array,
    expected: Float64Array,
    fitted: int,
    fourth_cumulant: float,
) -> Quality:
    """Compare windows with what was fitted to them.

    Parameters
    ----------
    windows : SpotWindows
    parameters : ndarray, shape (n, 5)
    expected : ndarray, shape (n, pixel)
        Fitted light with that of the read noise, in effective photons.
    fitted : int
        Number of fitted parameters.
    fourth_cumulant : float
        Of the noise, over its mean; see :class:`~deepstorm.localization.noise.CameraNoise`.
    """
    deviation = windows.light - expected
    chi_square = (deviation**2 / expected).sum(axis=1)
    freedom = expected.shape[1] - fitted
    shot = expected - windows.own_light
    # Of a squared deviation over its variance: 2 for a normal one, more for few photons.
    spread = (2 + fourth_cumulant * shot / expected**2).mean(axis=1) * freedom
    spot = shot - parameters[:, BACKGROUND, None]
    above = (deviation**2).sum(axis=1) - expected.sum(axis=1) * freedom / expected.shape[1]
    elongation, error = _elongation(parameters, windows, expected, deviation)
    return Quality(
        chi_square=chi_square / freedom,
        # A gamma distribution of the same mean and variance.
        p_value=gammaincc(freedom**2 / spread, chi_square * freedom / spread),
        misfit=np.sqrt(np.maximum(above, 0.0) / (spot**2).sum(axis=1)),
        elongation=elongation,
        elongation_error=error,
    )


def _elongation(
    parameters: Float64Array, windows: SpotWindows, expected: Float64Array, deviation: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the elongation by one step of Fisher scoring from the round spot.

    By its symmetry the elongation hardly correlates with what was fitted.
    """
    slopes = elongation_slopes(parameters, windows.width)
    information = (slopes**2 / expected[:, None, :]).sum(axis=2)
    information = np.maximum(information, np.finfo(np.float64).tiny)
    components = (slopes * (deviation / expected)[:, None, :]).sum(axis=2) / information
    variance = parameters[:, SIGMA] ** 2
    error = np.sqrt((1 / information).mean(axis=1)) / variance
    return np.hypot(components[:, 0], components[:, 1]) / variance, error
