"""Background, brightness and density of emitters from the distribution of pixel values.

Emitters that are on at random add up as shot noise. For the light y of a smoothed pixel, whose own
noise is known from the camera,

    log E[exp(-s y)] = -s b - density · ∫ (1 - E[exp(-s N h(x))]) dx,

with background b, photons N and the PSF h: small s measure mean and variance ("number and
brightness"), large s weigh the darkest pixels, in which few emitters overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import ndtr

from deepstorm.arrays import Float32Array, Float64Array
from deepstorm.calibration.moments import (
    PRIOR_LOG_SPREAD,
    PRIOR_SPREAD,
    brighter_by_moments,
    estimate_of,
    spread_factor,
)
from deepstorm.structures import Estimate

_SMOOTHING = np.array([0.25, 0.5, 0.25])
SMOOTHING_VARIANCE = 0.5
# Variance of the smoothed noise over that of a pixel.
NOISE_GAIN = float((_SMOOTHING**2).sum()) ** 2
NOISE_CUBE = float((_SMOOTHING**3).sum()) ** 2
# Third cumulant of the noise over its variance: 1 for photons, 1.5 for an EMCCD.
NOISE_SKEWNESS = 1.25
# Pixels are grouped by mean and variance, into this many levels of each.
LEVELS = 5
# Pixels above this multiple of the dark ones do not tell the background.
BRIGHT_RATIO = 3.0
# Relative spread of the background within a group, which looks like emitters.
UNEVENNESS = 0.05
# Part of the background that may pass for light of emitters.
BACKGROUND_ERROR = 0.02
# Largest relative variance of a mean of exponentials that is used.
MOST_CHANCE = 0.05
STEPS = 9
SPREADS = np.array([0.1, 0.3, 0.5, 0.75, 1.0, 1.4])
BRIGHTNESSES = 90
# Light without which there would be no noise in the dark.
LEAST_BACKGROUND = 0.01
# How far the noise that the camera's calibration predicts may be off, and the model of the light.
NOISE_ERROR, MODEL_ERROR = 0.01, 0.01
FEW_FRAMES = 8
UNKNOWN = Estimate(0.0, float("inf"))


@dataclass(frozen=True, slots=True)
class MeasuredBrightness:
    """What the distribution of pixel values says; photons are effective ones.

    Parameters
    ----------
    background_photons, signal_photons, density_per_px : Estimate
    squared_brightness : Estimate
        E[N²] / E[N] of the emitters' photons N.
    """

    background_photons: Estimate
    signal_photons: Estimate
    density_per_px: Estimate
    squared_brightness: Estimate


@dataclass(frozen=True, slots=True)
class _Curve:
    """Excess D(s) = s m + log E[exp(-s y)] of fluctuations over their own noise."""

    s: Float64Array
    effective_s: Float64Array
    excess: Float64Array
    covariance: Float64Array
    mean: float


def measure_brightness(photons: Float32Array, sigma_px: float) -> MeasuredBrightness:
    """Measure background, brightness and density.

    Parameters
    ----------
    photons : ndarray of float32, shape (patch, frame, y, x)
        Frames in effective photons.
    sigma_px : float
        Width of the PSF.
    """
    few = photons.shape[1] < FEW_FRAMES
    light = _as_frames(_smoothed(photons)) if few else _smoothed(photons)
    shape = _SpotShape.of(sigma_px)
    amplitude, skewness = _cumulants(light, shape, few)
    mean = float(light.mean(dtype=np.float64))
    mean_error = float(light.mean(axis=(0, 2, 3)).std() / np.sqrt(light.shape[1]))
    ratio = UNKNOWN if few else _mean_over_variance(light, sigma_px)
    background = _background(_excess_curve(light, few), shape, mean, amplitude, ratio)
    errors = background.uncertainty, mean_error, BACKGROUND_ERROR * background.value
    background = Estimate(background.value, float(np.linalg.norm(errors)))
    if amplitude.value < 2 * amplitude.uncertainty:
        return MeasuredBrightness(background, UNKNOWN, UNKNOWN, UNKNOWN)
    signal = max(mean - background.value, 1e-9)
    signal_error = background.uncertainty / signal
    squared_brightness = _combined(
        Estimate(amplitude.value / signal, 0.0),
        float(np.hypot(signal_error, amplitude.uncertainty / max(amplitude.value, 1e-12))),
        Estimate(1 / max(ratio.value * shape.squared, 1e-9), 0.0),
        ratio.uncertainty / max(ratio.value, 1e-12),
    )
    third = Estimate(skewness.value / shape.cubed, skewness.uncertainty / shape.cubed)
    brighter = brighter_by_moments(squared_brightness, third, shape.squared)
    if brighter is not None:
        squared_brightness = brighter
        relative = brighter.uncertainty / brighter.value
        signal = min(amplitude.value / brighter.value, mean - LEAST_BACKGROUND)
        signal_error = max(relative, signal_error)
        dark = mean - signal
        errors = signal * relative, mean_error, BACKGROUND_ERROR * dark
        background = Estimate(dark, float(np.linalg.norm(errors)))
    spread = spread_factor(third, squared_brightness, shape.squared)
    photons_each = squared_brightness.value / spread.value
    error = float(
        np.hypot(
            squared_brightness.uncertainty / squared_brightness.value,
            spread.uncertainty / spread.value,
        )
    )
    density = signal / photons_each
    density_error = float(np.hypot(error, signal_error))
    return MeasuredBrightness(
        background,
        Estimate(photons_each, _told(error) * photons_each),
        Estimate(density, _told(density_error) * density),
        squared_brightness,
    )


def _told(relative_error: float) -> float:
    """Return a relative error, infinite where it is as large as the value."""
    return relative_error if relative_error < 1 else float("inf")


def _combined(first: Estimate, first_error: float, other: Estimate, other_error: float) -> Estimate:
    """Return the weighted mean of two values with relative errors, on a logarithmic scale."""
    weights = 1 / (np.array([first_error, other_error]) ** 2 + 0.04**2)
    values = np.log(np.maximum([first.value, other.value], 1e-9))
    mean = float(np.exp((weights * values).sum() / weights.sum()))
    apart = float((weights * (values - np.log(mean)) ** 2).sum())
    return Estimate(mean, mean * float(np.sqrt(max(apart, 1.0) / weights.sum())))


def _background(
    curve: _Curve, shape: _SpotShape, mean: float, amplitude: Estimate, ratio: Estimate
) -> Estimate:
    """Weigh every brightness of emitters, and return the background that goes with it."""
    sizes = np.geomspace(0.05 / curve.s[-1], 1e3 / curve.s[0], BRIGHTNESSES)[:, None]
    log_density, density = _posterior(curve, shape, sizes[:, 0])
    background = curve.mean - density * sizes
    squared = sizes * (1 + SPREADS**2)
    error = np.hypot(amplitude.uncertainty, 0.03 * amplitude.value) + 1e-12
    light = np.clip(mean - background, 0, None)
    log_density = log_density - 0.5 * ((light * squared - amplitude.value) / error) ** 2
    expected = 1 / (squared * shape.squared)
    log_density = log_density - 0.5 * ((ratio.value - expected) / ratio.uncertainty) ** 2
    log_density = log_density - np.where(background < 0, 20.0, 0.0)
    probability = np.exp(log_density - log_density.max())
    return estimate_of(probability / probability.sum(), background)


def _cumulants(light: Float32Array, shape: _SpotShape, few: bool) -> tuple[Estimate, Estimate]:
    """Return density times squared brightness, and the third cumulant over the second.

    Both are of the light over time, less what its noise adds.
    """
    frames = light.shape[1]
    rest = light - light.mean(axis=(1, 2, 3) if few else 1, keepdims=True)
    count = rest[0].size if few else frames
    level = max(float(light.mean(dtype=np.float64)), 0.0)
    third = (rest**3).mean(axis=(0, 2, 3), dtype=np.float64)
    second = (rest**2).mean(axis=(0, 2, 3), dtype=np.float64) * count / max(count - 1, 1)
    second = second - NOISE_GAIN * level
    third = third * count**2 / max((count - 1) * (count - 2), 1)
    third = third - 3 * NOISE_GAIN * second - NOISE_SKEWNESS * NOISE_CUBE * level
    value = max(float(second.mean()), 1e-9)
    error = float(second.std() / np.sqrt(frames)) if frames > 1 else value
    error = float(np.hypot(error, NOISE_ERROR * NOISE_GAIN * level))
    amplitude = Estimate(value / shape.squared, error / shape.squared)
    return amplitude, UNKNOWN if few else _jackknife_ratio(third, second)


def _smoothed(photons: Float32Array) -> Float32Array:
    once = ndimage.correlate1d(photons, _SMOOTHING, axis=-1, mode="nearest")
    return ndimage.correlate1d(once, _SMOOTHING, axis=-2, mode="nearest")[..., 1:-1, 1:-1]


def _as_frames(light: Float32Array) -> Float32Array:
    """Cut patches into quarters of quarters that stand for frames where there are hardly any."""
    height, width = (max(length // 4, 1) for length in light.shape[2:])
    tiles = [
        light[:, :, y : y + height, x : x + width].reshape(-1, height, width)
        for y in range(0, light.shape[2] - height + 1, height)
        for x in range(0, light.shape[3] - width + 1, width)
    ]
    return np.concatenate(tiles)[None]


def _excess_curve(light: Float32Array, few: bool) -> _Curve:
    """Measure D(s); every frame is a sample for its covariance."""
    s = _steps(light)
    effective = s - s**2 * NOISE_GAIN / 2 + NOISE_SKEWNESS * s**3 * NOISE_CUBE / 6
    if few:
        whole = np.zeros((light.shape[0], *light.shape[2:]), np.intp)
        parts = [_grouped_excess(light, whole, s, effective)]
    else:
        # Groups are chosen by one half of the frames and looked at in the other: by the same half,
        # they would be groups of chance.
        halves = slice(0, None, 2), slice(1, None, 2)
        parts = [
            _grouped_excess(light[:, seen], _groups(light[:, chosen]), s, effective)
            for seen, chosen in (halves, halves[::-1])
        ]
    mean = float(np.mean([part[0] for part in parts]))
    excess = np.mean([part[1] for part in parts], axis=0)
    chance = np.mean([part[2] for part in parts], axis=0)
    influence = np.concatenate([part[3] for part in parts])
    frames = len(influence)
    above = np.flatnonzero(chance > MOST_CHANCE)
    kept = np.arange(STEPS) < max(int(above[0]) if len(above) else STEPS, 3)
    covariance = influence.T @ influence / max(frames - 1, 1) / frames
    noise = NOISE_ERROR * s**2 * NOISE_GAIN / 2 * max(mean, 0.0)
    uneven = s**2 * (UNEVENNESS * max(float(np.percentile(light, 5)), 0.0)) ** 2 / 2
    covariance = covariance + np.outer(noise, noise) + np.outer(uneven, uneven)
    covariance = covariance + np.diag((MODEL_ERROR * excess) ** 2 + 1e-12)
    return _Curve(
        s[kept], effective[kept], excess[kept], covariance[np.ix_(kept, kept)], float(mean)
    )


def _grouped_excess(
    light: Float32Array, groups: npt.NDArray[np.intp], s: Float64Array, effective: Float64Array
) -> tuple[float, Float64Array, Float64Array, Float64Array]:
    """Return mean, D(s), the relative variance behind it, and what each frame adds to D.

    The brightest pixels are left out where there are much darker ones: in those hardly a frame
    shows the background.
    """
    by_frame = light.swapaxes(0, 1)
    insides = [groups == number for number in np.unique(groups)]
    levels = [float(by_frame[:, inside].mean(dtype=np.float64)) for inside in insides]
    limit = BRIGHT_RATIO * max(np.percentile(levels, 10), 0.5)
    chosen = [pair for pair in zip(insides, levels, strict=True) if pair[1] <= limit]
    total = sum(int(inside.sum()) for inside, _ in chosen)
    mean, excess, chance = 0.0, np.zeros(len(s)), np.zeros(len(s))
    influence = np.zeros((light.shape[1], len(s)))
    for inside, level in chosen:
        logs, each = _log_means(by_frame[:, inside], level, s)
        weight = int(inside.sum()) / total
        variance = (each**2).sum(axis=0) / len(each) ** 2
        mean += weight * level
        # The logarithm of a mean is too small by half of the relative variance of that mean.
        excess += weight * (logs + variance / 2 + (effective - s) * level)
        chance += weight * variance
        influence += weight * each
    return mean, excess, chance, influence


def _log_means(
    values: Float32Array, level: float, s: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return log E[exp(-s (y - level))], and what each frame adds to it."""
    darkest = float(values.min())
    above = values - np.float32(darkest)
    each = np.stack([np.exp(-value * above).mean(axis=1, dtype=np.float64) for value in s], axis=1)
    average = each.mean(axis=0)
    return np.log(average) + s * (level - darkest), each / average - 1


def _groups(light: Float32Array) -> npt.NDArray[np.intp]:
    """Group the pixels of all patches by mean and variance over the frames, (patch, y, x)."""
    mean, variance = light.mean(axis=1), light.var(axis=1)
    levels = np.linspace(0, 100, LEVELS + 1)[1:-1]
    by_mean = np.searchsorted(np.percentile(mean, levels), mean)
    by_variance = np.searchsorted(np.percentile(variance, levels), variance)
    return np.asarray(by_mean * LEVELS + by_variance)


def _steps(light: Float32Array) -> Float64Array:
    """Return values of s from where the mean counts to where only the dark does."""
    spread = max(float((light - light.mean(axis=1, keepdims=True)).std()), 1e-9)
    noise = np.sqrt(NOISE_GAIN * max(float(np.percentile(light, 10)), 0.5))
    return np.geomspace(0.1 / spread, max(1.2 / noise, 0.5 / spread), STEPS)


@dataclass(frozen=True, slots=True)
class _SpotShape:
    """∫ (E[exp(-q n h(x))] - 1 + q h(x)) dx for photons n of mean 1, by log q and spread."""

    log_q: Float64Array
    log_excess: Float64Array
    squared: float
    cubed: float

    @classmethod
    def of(cls, sigma_px: float) -> _SpotShape:
        step = max(sigma_px / 8, 0.05)
        x = np.arange(step / 2, 6 * sigma_px + 2, step)
        edges = x[:, None] + np.array([-1.5, -0.5, 0.5, 1.5])
        pixels = np.diff(ndtr(edges / sigma_px), axis=1)
        profile = pixels @ _SMOOTHING
        height = np.outer(profile, profile).ravel()
        log_q = np.linspace(np.log(1e-4), np.log(1e7), 150)
        light = np.exp(log_q)[:, None] * height
        excess = [
            (np.expm1(-np.log1p(spread**2 * light) / spread**2) + light).sum(axis=1) * 4 * step**2
            for spread in SPREADS
        ]
        squared, cubed = (float((height**n).sum() * 4 * step**2) for n in (2, 3))
        return cls(log_q, np.log(np.stack(excess, axis=1)), squared, cubed)

    def excess(self, q: Float64Array) -> Float64Array:
        """Interpolate; the spreads make a last axis."""
        log_q = np.log(np.clip(q, 1e-4, 1e7))
        columns = [np.interp(log_q, self.log_q, column) for column in self.log_excess.T]
        return np.asarray(np.exp(np.stack(columns, axis=-1)))


def _posterior(
    curve: _Curve, shape: _SpotShape, sizes: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return log probability and best density for each (brightness, spread)."""
    q = sizes[:, None] * curve.effective_s
    # (size, step, spread) -> (size, spread, step)
    model = shape.excess(q).swapaxes(1, 2)
    inverse = np.linalg.inv(curve.covariance)
    projected = model @ inverse
    density = np.clip((projected @ curve.excess) / (projected * model).sum(axis=-1), 0, None)
    rest = curve.excess - density[..., None] * model
    misfit = ((rest @ inverse) * rest).sum(axis=-1)
    misfit /= max(float(misfit.min()) / max(len(curve.s) - 3, 1), 1.0)
    prior = -0.5 * (np.log(SPREADS / PRIOR_SPREAD) / PRIOR_LOG_SPREAD) ** 2
    return prior - misfit / 2, density


def _mean_over_variance(light: Float32Array, sigma_px: float) -> Estimate:
    """Return how much the mean grows with the variance over time from pixel to pixel.

    Where emitters are dense, both are high, by 1 / (N (1 + spread²) ∫h²), whatever the background.
    One half of the frames is the instrument for the other, so that chance does not count twice.
    """
    halves = [light[:, start::2] for start in (0, 1)]
    mean = [half.mean(axis=1, dtype=np.float64) for half in halves]
    # The variance follows the square of the PSF, which is narrower: blur it to the same width.
    blur = np.sqrt((sigma_px**2 + 1 / 12 + SMOOTHING_VARIANCE) / 2)
    variance = [
        ndimage.gaussian_filter(
            half.var(axis=1, ddof=1, dtype=np.float64) - NOISE_GAIN * level, (0, blur, blur)
        )
        for half, level in zip(halves, mean, strict=True)
    ]
    centred = [value - value.mean() for value in (*mean, *variance)]
    upper = centred[0] * centred[3] + centred[1] * centred[2]
    return _jackknife_ratio(_tiles(upper), _tiles(2 * centred[2] * centred[3]))


def _tiles(values: Float64Array) -> Float64Array:
    """Sum over 4 × 4 tiles of each patch, flat."""
    rows = np.array_split(values, 4, axis=1)
    tiles = [tile for row in rows for tile in np.array_split(row, 4, axis=2)]
    return np.array([tile.sum(axis=(1, 2)) for tile in tiles]).ravel()


def _jackknife_ratio(upper: Float64Array, lower: Float64Array) -> Estimate:
    """Return the ratio of two sums; infinitely uncertain where the lower one is chance."""
    total, chance = float(lower.sum()), float(np.sqrt((lower**2).sum()))
    if total <= 2 * chance:
        return UNKNOWN
    ratio = float(upper.sum()) / total
    scatter = float(np.sqrt(((upper - ratio * lower) ** 2).sum())) / total
    return Estimate(ratio, float(np.hypot(scatter, 0.05 * abs(ratio)) / (1 - 2 * chance / total)))
