"""The brightness of emitters by the skewness of their light, which no background has a part in.

Where the background differs from place to place, the distribution of values takes it for the light
of many dim emitters. What it fluctuates by is noise alone, though, and is known.
"""

from __future__ import annotations

import math

import numpy as np

from deepstorm.arrays import Float64Array
from deepstorm.structures import Estimate

# Relative spread of brightness between emitters and frames, before the movie is seen.
PRIOR_SPREAD, PRIOR_LOG_SPREAD = 0.3, 0.5
# What not knowing that spread adds to the relative error of a brightness by moments.
SPREAD_ERROR = 0.15
# Logarithm by which emitters may be brighter by moments than by the distribution of values, and
# by which moments alone are believed. A spread of 1 makes 0.33.
UNEVEN = 0.15, 0.4
# An error that leaves a value without any weight.
NO_WEIGHT = 1e9


def brighter_by_moments(
    distribution: Estimate, third: Estimate, spot_squared: float
) -> Estimate | None:
    """Return E[N²] / E[N] of the emitters' photons N, if the moments say it is higher than thought.

    Parameters
    ----------
    distribution : Estimate
        What the distribution of values says; above 0.
    third : Estimate
        Third cumulant of the light over its variance and over the integral of the cubed spot.
    spot_squared : float
        Integral of the squared spot.

    Returns
    -------
    Estimate or None
        Nearer to what the moments say the farther the two are apart.
    """
    if not 0 < third.value < math.inf or not math.isfinite(third.uncertainty):
        return None
    # E[N³] / E[N²] of a gamma distribution is E[N²] / E[N] but for this factor.
    usual = (1 + PRIOR_SPREAD**2) / (1 + 2 * PRIOR_SPREAD**2)
    moments = third.value * spot_squared * usual
    apart = math.log(moments / distribution.value)
    if apart <= UNEVEN[0]:
        return None
    share = min((apart - UNEVEN[0]) / (UNEVEN[1] - UNEVEN[0]), 1.0)
    value = distribution.value * math.exp(share * apart)
    chance = third.uncertainty / third.value
    relative = math.hypot(chance, SPREAD_ERROR, (1 - share) * apart)
    return Estimate(value, value * relative)


def spread_factor(third: Estimate, brightness: Estimate, spot_squared: float) -> Estimate:
    """Return 1 + spread² of the photons between emitters.

    The third cumulant over the variance is N (1 + 2 spread²) ∫h³ / ∫h² for a gamma distribution.

    Parameters
    ----------
    third : Estimate
        As in :func:`brighter_by_moments`.
    brightness : Estimate
        E[N²] / E[N].
    spot_squared : float
    """
    spreads = np.linspace(0.05, 1.6, 100)
    factor = 1 + spreads**2
    expected = (1 + 2 * spreads**2) / factor
    scale = spot_squared / brightness.value
    found = third.value * scale
    is_known = math.isfinite(third.uncertainty)
    error = math.hypot(
        third.uncertainty * scale if is_known else NO_WEIGHT,
        found * brightness.uncertainty / brightness.value,
    )
    log_density = -0.5 * (np.log(spreads / PRIOR_SPREAD) / PRIOR_LOG_SPREAD) ** 2
    log_density = log_density - 0.5 * ((expected - found) / math.hypot(error, 0.05)) ** 2
    probability = np.exp(log_density - log_density.max())
    return estimate_of(probability / probability.sum(), factor)


def estimate_of(probability: Float64Array, values: Float64Array) -> Estimate:
    """Return mean and standard deviation of values, which is a hundredth at least."""
    mean = float((probability * values).sum())
    spread = float(np.sqrt((probability * (values - mean) ** 2).sum()))
    return Estimate(mean, max(spread, 0.01 * abs(mean)))
