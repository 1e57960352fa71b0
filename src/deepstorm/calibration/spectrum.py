"""The width of the PSF from the spectrum of a movie's fluctuations.

Emitters that blink at random are a point process, whatever structure they lie on: the spectrum of
their fluctuations is that of one emitter's image, so that

    P(k) = amplitude · exp(-sigma² |k|²) · sinc²(k_x / 2π) sinc²(k_y / 2π) + noise,

with the aliases that sampling by pixels adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Float32Array, Float64Array, FloatArray
from deepstorm.calibration.sample import FRAMES_PER_BLOCK, Sample
from deepstorm.structures import Estimate

SIGMAS_PX = np.geomspace(0.4, 5.0, 160)
# What is known of microscopes for single molecules before the movie is seen: log-normal.
PRIOR_SIGMA_PX, PRIOR_LOG_SPREAD = 1.2, 0.35
RADIAL_BINS = 28
# A real PSF is no Gaussian to more than this; without it the best-lit frequencies decide alone.
MODEL_ERROR = 0.03
# The lowest frequencies hold lamp flicker and bleaching, in units of one period per patch.
LOWEST_PERIODS = 1.6
RESAMPLES = 24


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Power of fluctuations by spatial frequency, one row for each cell of patch and block.

    Parameters
    ----------
    frequency : ndarray, shape (bin,)
        Mean of |k| in radians per pixel.
    power : ndarray, shape (cell, bin)
        Per pixel: white noise has its variance at every frequency.
    counts : ndarray, shape (bin,)
        Independent values that each number of the mean over cells stands for.
    templates : ndarray, shape (sigma, bin)
        Power of emitters of unit amplitude, one row for each of ``SIGMAS_PX``.
    model_error : float
        Relative error of the width that the model leaves: with a few frames, structure passes for
        fluctuation.
    """

    frequency: Float64Array
    power: Float64Array
    counts: Float64Array
    templates: Float64Array
    model_error: float


@dataclass(frozen=True, slots=True)
class SpectrumFit:
    """What the spectrum says.

    Parameters
    ----------
    sigma_px : Estimate
    amplitude : Estimate
        Mean over pixels of the emitters' squared brightness: density times mean square.
    noise : float
        Variance of the noise per pixel.
    model : ndarray, shape (bin,)
        Fitted power.
    """

    sigma_px: Estimate
    amplitude: Estimate
    noise: float
    model: Float64Array


def fluctuation_spectrum(sample: Sample) -> Spectrum:
    """Measure the spectrum of a sample's fluctuations, in its units squared."""
    values = sample.fluctuations()
    height, width = values.shape[2:]
    window = np.outer(_hann(height), _hann(width)).astype(np.float32)
    power = np.concatenate([_cells_power(values[:, block], window) for block in sample.blocks])
    ky = 2 * np.pi * np.fft.fftfreq(height)[:, None]
    kx = 2 * np.pi * np.fft.rfftfreq(width)[None, :]
    radius = np.hypot(ky, kx)
    lowest = LOWEST_PERIODS * 2 * np.pi / min(height, width)
    edges = np.linspace(min(lowest, np.pi / 2), np.pi * np.sqrt(2) + 1e-6, RADIAL_BINS + 1)
    index = np.digitize(radius, edges) - 1
    weight = np.where((kx == 0) | (np.abs(kx) >= np.pi), 1.0, 2.0) * np.ones_like(ky)
    weight[index < 0] = 0
    total = _binned(weight, index, np.ones_like(weight))
    kept = total > 0
    binned = np.stack([_binned(weight, index, cell)[kept] / total[kept] for cell in power])
    templates = _templates(ky[:, 0], kx[0], _window_spread(height), _window_spread(width))
    rows = np.stack([_binned(weight, index, row)[kept] / total[kept] for row in templates])
    # A Hann window correlates neighbouring frequencies; each pair (k, -k) is one value.
    independent = total[kept] / 2 / 2.1 * values.shape[0] * values.shape[1]
    frequency = _binned(weight, index, radius)[kept] / total[kept]
    model_error = 0.01 if sample.frames >= FRAMES_PER_BLOCK else 0.08 / sample.frames**0.5
    return Spectrum(frequency, binned, np.maximum(independent, 0.5), rows, model_error)


def _hann(length: int) -> Float64Array:
    return np.asarray(np.hanning(length + 2)[1:-1], np.float64)


def _window_spread(length: int) -> float:
    """Return the variance along one axis over which a Hann window blurs a spectrum."""
    window = np.concatenate([[0.0], _hann(length), [0.0]])
    return float((np.diff(window) ** 2).sum() / (window**2).sum())


def _cells_power(values: Float32Array, window: Float32Array) -> Float64Array:
    """Return the mean power over the frames of each patch, (patch, ky, kx)."""
    mean = (values * window).sum(axis=(2, 3), keepdims=True) / window.sum()
    spectrum = np.fft.rfft2((values - mean) * window)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(power.mean(axis=1) / (window.astype(np.float64) ** 2).sum())


def _binned(
    weight: Float64Array, index: npt.NDArray[np.intp], values: Float64Array
) -> Float64Array:
    inside = (index >= 0) & (index < RADIAL_BINS)
    products = (weight * values)[inside]
    sums = np.bincount(index[inside], weights=products, minlength=RADIAL_BINS)
    return np.asarray(sums, np.float64)


def _templates(ky: FloatArray, kx: FloatArray, spread_y: float, spread_x: float) -> Float64Array:
    """Return the power of unit emitters for every sigma, shape (sigma, ky, kx)."""
    rows = _axis_power(ky, spread_y)
    columns = _axis_power(kx, spread_x)
    return np.asarray(rows[:, :, None] * columns[:, None, :])


def _axis_power(k: FloatArray, spread: float) -> Float64Array:
    """Return the power along one axis, shape (sigma, k), with aliases and the window's blur."""
    variance = SIGMAS_PX[:, None] ** 2
    # A Gaussian of variance 1 / (2 sigma²) in k, convolved with one of variance ``spread``.
    factor = 1 / (1 + 2 * spread * variance)
    power = np.zeros((len(SIGMAS_PX), len(k)))
    for alias in (-1, 0, 1):
        shifted = k + 2 * np.pi * alias
        power += np.exp(-variance * factor * shifted**2) * np.sinc(shifted / (2 * np.pi)) ** 2
    return np.asarray(power * np.sqrt(factor))


def fit_spectrum(
    spectrum: Spectrum, known_sigma_px: float | None, rng: np.random.Generator
) -> SpectrumFit:
    """Fit width, amplitude and noise; the uncertainties are those of resampled cells."""
    mean = spectrum.power.mean(axis=0)
    prior = -0.5 * (np.log(SIGMAS_PX / PRIOR_SIGMA_PX) / PRIOR_LOG_SPREAD) ** 2
    if known_sigma_px is not None:
        prior = np.where(_nearest(known_sigma_px) == SIGMAS_PX, 0.0, -np.inf)
    model = np.maximum(mean, 1e-6 * mean.max() + 1e-30)
    for _ in range(4):
        weights = 1 / (model**2 * (1 / spectrum.counts + MODEL_ERROR**2))
        amplitude, noise, misfit = _profiles(mean[None], spectrum.templates, weights)
        best = int(np.argmax(prior - misfit[0] / 2))
        fitted = amplitude[0, best] * spectrum.templates[best] + noise[0, best]
        model = np.maximum(fitted, 1e-6 * mean.max() + 1e-30)
    # Where the model does not fit, the misfit itself says how little it can be trusted.
    excess = max(float(misfit[0].min()) / max(len(mean) - 3, 1), 1.0)
    posterior = _normalised(prior - misfit[0] / (2 * excess))
    sigma = float(posterior @ SIGMAS_PX)
    spread = float(np.sqrt(posterior @ (SIGMAS_PX - sigma) ** 2))
    level = float(posterior @ amplitude[0])
    level_spread = float(np.sqrt(posterior @ (amplitude[0] - level) ** 2))
    sigmas, levels = _resampled(spectrum, weights, prior, excess, rng)
    given = known_sigma_px is not None
    return SpectrumFit(
        sigma_px=Estimate(known_sigma_px, 0.0)
        if known_sigma_px is not None
        else Estimate(sigma, float(np.hypot(max(spread, sigmas), spectrum.model_error * sigma))),
        amplitude=Estimate(level, max(level_spread, levels) if not given else levels),
        noise=float(noise[0, best]),
        model=fitted,
    )


def _nearest(sigma_px: float) -> float:
    return float(SIGMAS_PX[np.argmin(np.abs(np.log(SIGMAS_PX / sigma_px)))])


def _profiles(
    power: Float64Array, templates: Float64Array, weights: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Fit amplitude and noise, neither negative, for each power (row) and sigma (column)."""
    w, wt = weights.sum(), templates @ weights
    wtt = (templates**2) @ weights
    wp, wtp = power @ weights, (power * weights) @ templates.T
    wpp = (power**2) @ weights
    determinant = np.maximum(w * wtt - wt**2, 1e-12 * w * wtt)
    amplitude = np.clip((w * wtp - wt * wp[:, None]) / determinant, 0, None)
    noise = np.clip((wp[:, None] - amplitude * wt) / w, 0, None)
    amplitude = np.where(noise == 0, np.clip(wtp / wtt, 0, None), amplitude)
    misfit = wpp[:, None] - 2 * amplitude * wtp - 2 * noise * wp[:, None]
    misfit = misfit + amplitude**2 * wtt + 2 * amplitude * noise * wt + noise**2 * w
    return amplitude, noise, np.clip(misfit, 0, None)


def _normalised(log_density: Float64Array) -> Float64Array:
    density = np.exp(log_density - log_density.max())
    return np.asarray(density / density.sum())


def _resampled(
    spectrum: Spectrum,
    weights: Float64Array,
    prior: Float64Array,
    excess: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the spread of sigma and amplitude over resamples of the cells."""
    cells = len(spectrum.power)
    if cells < 4:
        return 0.0, 0.0
    drawn = rng.integers(0, cells, (RESAMPLES, cells))
    power = spectrum.power[drawn].mean(axis=1)
    amplitude, _, misfit = _profiles(power, spectrum.templates, weights)
    best = np.argmax(prior - misfit / (2 * excess), axis=1)
    return float(SIGMAS_PX[best].std()), float(amplitude[np.arange(RESAMPLES), best].std())
