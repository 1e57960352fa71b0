"""The camera from the photon-transfer curve: variance of the noise over mean counts.

A checkerboard high-pass filter hardly sees the light of emitters, which no optics passes at the
highest frequencies, so that the mean square of its output is the variance of the noise. The filter
weights pixels; the mean counts are taken with the squares of the same weights, so that the two
belong together exactly. Pixels are binned by their surroundings, whose noise is independent of
both: binning by the pixels themselves would select noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Float32Array, Float64Array
from deepstorm.calibration.checkerboard import CORRELATED, REACH_PX, TAPS, filtered
from deepstorm.calibration.sample import Sample
from deepstorm.calibration.zero import ZeroPrior
from deepstorm.structures import Estimate

QUANTILES = (0, 5, 15, 25, 35, 45, 55, 65, 75, 85, 90, 94, 97, 98.5, 99.3, 99.7, 99.9, 100)
MODEL_ERROR = 0.015
# How far the leak of a single brightness may be off.
LEAK_ERROR = 0.5
# Squared spread of the gain between pixels that a camera may have: it looks like a leak.
GAIN_VARIANCE = 3e-4
# Spread of the logarithm of a slope that had to be assumed.
ASSUMPTION_LOG_SPREAD = 1.2
# Levels that stand for all of a normal distribution, in standard deviations.
LEVELS = np.linspace(-3.0, 3.0, 13)
# Relative error of the slope that the model of the noise leaves.
SLOPE_ERROR = 0.025
RESAMPLES = 24
# Less noise than this part of the range of counts is rounding: no camera has so little.
ROUNDING = 1e-6
# Rounding to whole counts has the variance 1/12; noise of this many times that is nothing else.
MOST_ROUNDING = 1.5


@dataclass(frozen=True, slots=True)
class TransferCurve:
    """Sums for each cell of patch and block (row) and each bin of brightness (column).

    Parameters
    ----------
    counts, mean, variance, light, swing : ndarray, shape (cell, bin)
        Number of pixels, and sums over them of mean counts, of squared noise, of squared counts
        above those of the dark, and of their squared changes with time; units of the sample.
    darkest : float
        Counts that hardly a pixel falls below.
    """

    counts: Float64Array
    mean: Float64Array
    variance: Float64Array
    light: Float64Array
    swing: Float64Array
    darkest: float


@dataclass(frozen=True, slots=True)
class TransferFit:
    """A line through the photon-transfer curve; units of the sample.

    Parameters
    ----------
    slope, zero : Estimate
    pivot : float
        Counts at which the line is known best: errors of the slope turn it around this point.
    is_measured : bool
        Whether the curve decided the slope, rather than the assumption.
    extra : ndarray, shape (bin,)
        Variance in each bin that is not the noise's: light that passed the filter, and differences
        of the gain between pixels.
    """

    slope: Estimate
    zero: Estimate
    pivot: float
    is_measured: bool
    extra: Float64Array


def transfer_curve(sample: Sample) -> TransferCurve:
    """Measure the photon-transfer curve of a sample."""
    darkest, dark = np.percentile(sample.patches, [0.1, 2.0])
    parts = [_block_values(sample, block, float(dark)) for block in sample.blocks]
    around = np.concatenate([part[0].ravel() for part in parts])
    edges = np.unique(np.percentile(around, QUANTILES))[1:-1]
    rows = [
        _sums(edges, *(array[patch].ravel() for array in part))
        for part in parts
        for patch in range(len(sample.patches))
    ]
    counts, mean, variance, light, swing = np.stack(rows, axis=1)
    return TransferCurve(counts, mean, variance, light, swing, float(darkest))


def has_noise(sample: Sample, curve: TransferCurve) -> bool:
    """Tell whether there is more noise than rounding makes, where the frames are darkest."""
    counts = curve.counts.sum(axis=0)
    darker = np.cumsum(counts) <= max(counts.sum() / 2, counts[0])
    variance = float(curve.variance.sum(axis=0)[darker].sum() / counts[darker].sum())
    rounded = MOST_ROUNDING * (sample.step_adu / sample.scale_adu) ** 2 / 12
    return variance > max((ROUNDING * float(np.ptp(sample.patches))) ** 2, rounded)


def _block_values(sample: Sample, block: slice, dark: float) -> tuple[Float32Array, ...]:
    """Return surroundings, mean, squared noise, light and swing of the pixels of a block.

    The mean of each pixel over the block is taken off before the filter, against the fixed pattern
    of a camera. What that does to the variance is done to the mean: with n frames the square has
    the expectation V_t (1 - 2/n) + V̄ / n for a variance V_t of frame t and its mean V̄.
    """
    frames = sample.patches[:, block]
    n = frames.shape[1]
    noise = frames - frames.mean(axis=1, keepdims=True) if n > 1 else frames
    variance = filtered(noise) ** 2
    mean = filtered(frames, TAPS**2)
    light = filtered((frames - dark) ** 2, TAPS**2)
    swing = filtered(noise**2, TAPS**2) if n > 1 else light
    if n > 1:
        mean = (mean * (1 - 2 / n) + mean.mean(axis=1, keepdims=True) / n) / (1 - 1 / n)
        variance = variance / (1 - 1 / n)
    return tuple(_inner(each) for each in (_ring(frames), mean, variance, light, swing))


def _ring(frames: Float32Array) -> Float32Array:
    """Return the mean of the 16 pixels two rows or columns away."""
    wide, narrow = np.ones(5), np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    return np.asarray((filtered(frames, wide) - filtered(frames, narrow)) / 16, np.float32)


def _inner(values: Float32Array) -> Float32Array:
    """Leave out the border, where the filter lacks pixels, if anything else is left."""
    height, width = values.shape[-2:]
    y, x = (min(REACH_PX, (length - 1) // 3) for length in (height, width))
    return values[..., y : height - y, x : width - x]


def _sums(edges: Float64Array, around: Float32Array, *columns: Float32Array) -> Float64Array:
    """Return the number of pixels and the sum of each column in every bin of ``around``."""
    index, bins = np.searchsorted(edges, around), len(edges) + 1
    counts = np.bincount(index, minlength=bins).astype(np.float64)
    return np.stack([counts, *(np.bincount(index, column, bins) for column in columns)])


def leak_of(sigma_px: float) -> float:
    """Return how much of the squared light of emitters passes the filter."""
    k = np.linspace(-np.pi, np.pi, 65)
    light = sum(
        np.exp(-((sigma_px * shifted) ** 2)) * np.sinc(shifted / (2 * np.pi)) ** 2
        for shifted in (k - 2 * np.pi, k, k + 2 * np.pi)
    )
    taps = len(TAPS)
    gain = np.sin(k / 2) ** (2 * (taps - 1))
    gain /= np.mean(gain[:-1])
    return float((np.sum(light * gain) / np.sum(light)) ** 2)


def fit_transfer(
    curve: TransferCurve,
    sigma_px: float,
    known_slope: float | None,
    known_zero: float | None,
    rng: np.random.Generator,
    prior: ZeroPrior | None = None,
) -> TransferFit:
    """Fit the line.

    Parameters
    ----------
    curve : TransferCurve
    sigma_px : float
        Width of the PSF, which tells how much light may have passed the filter.
    known_slope, known_zero : float, optional
        In units of the sample; not fitted then.
    rng : numpy.random.Generator
        For resampling.
    prior : ZeroPrior, optional
        Where the zero can be; without effect if slope or zero is known.
    """
    leak = leak_of(sigma_px)
    cells = len(curve.counts)
    whole = _Line.through(curve, np.arange(cells), leak, known_zero)
    draws = [
        _Line.through(curve, rng.integers(0, cells, cells), leak, known_zero)
        for _ in range(RESAMPLES if cells > 3 else 0)
    ]
    resampled = float(np.std([line.slope for line in draws])) if draws else 0.0
    # What the model of the noise leaves out adds to what resampling shows.
    error = float(np.hypot(max(whole.error, resampled), SLOPE_ERROR * abs(whole.slope)))
    measured = Estimate(whole.slope, error)
    if known_slope is not None:
        known = Estimate(known_slope, 0.0)
        zero = _on_line(whole, known, known_zero)
        return TransferFit(known, zero, whole.centre, True, whole.extra)
    counts = curve.counts.sum()
    above = max(float(curve.mean.sum() / counts) - curve.darkest, 1e-6)
    assumed = max(float(curve.variance.sum() / counts), 1e-12) / above
    posterior = _Posterior.of(measured, assumed, whole, None if known_zero is not None else prior)
    slope = posterior.slope()
    zero = posterior.zero() if known_zero is None else Estimate(known_zero, 0.0)
    is_measured = slope.uncertainty < 0.5 * slope.value
    return TransferFit(slope, zero, whole.centre, is_measured, whole.extra)


def _on_line(line: _Line, slope: Estimate, known_zero: float | None) -> Estimate:
    """Return the zero of a line whose slope is known."""
    if known_zero is not None:
        return Estimate(known_zero, 0.0)
    return Estimate(line.centre - line.level / slope.value, line.level_error / slope.value)


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Probability of slopes (row) and levels at the pivot (column), and the zeros that they give.

    Parameters
    ----------
    slopes : ndarray, shape (slope, 1)
    zeros, probability : ndarray, shape (slope, level)
    """

    slopes: Float64Array
    zeros: Float64Array
    probability: Float64Array

    @classmethod
    def of(
        cls, measured: Estimate, assumed: float, line: _Line, prior: ZeroPrior | None
    ) -> _Posterior:
        """Weigh a measured line against an assumed slope or what is known of the zero.

        The assumption, certain to a factor of a few, decides where the brightness hardly varies. It
        is that the darkest counts are about the zero. A prior replaces it where the zero is below
        the darkest counts, which is where the slope is below the assumed one.
        """
        error = max(measured.uncertainty, 1e-3 * abs(measured.value), 1e-12 * assumed)
        wide = assumed * np.exp(np.linspace(-6.0, 6.0, 1000))
        near = measured.value + error * np.linspace(-6.0, 6.0, 400)
        slopes = np.unique(np.concatenate([wide, near[near > 0]]))[:, None]
        zeros = line.centre - (line.level + line.level_error * LEVELS) / slopes
        factor = np.log(slopes / assumed)
        if prior is None:
            known = -0.5 * (factor / ASSUMPTION_LOG_SPREAD) ** 2 - np.log(slopes)
        else:
            # Equal steps of the zero are steps of the slope's square over the level.
            known = prior.log_weight(zeros, slopes) - 2 * np.log(slopes)
            known = known - 0.5 * (np.maximum(factor, 0.0) / ASSUMPTION_LOG_SPREAD) ** 2
        misfit = ((slopes - measured.value) / error) ** 2 + LEVELS**2
        log_density = known - 0.5 * misfit
        density = np.exp(log_density - log_density.max())
        density *= np.gradient(slopes[:, 0])[:, None]
        return cls(slopes, zeros, density / density.sum())

    def slope(self) -> Estimate:
        """Return mean and standard deviation of the slope."""
        value, spread = self._moments(self.slopes)
        return Estimate(value, max(spread, 0.005 * value))

    def zero(self) -> Estimate:
        """Return mean and standard deviation of the zero."""
        return Estimate(*self._moments(self.zeros))

    def _moments(self, values: Float64Array) -> tuple[float, float]:
        mean = float((self.probability * values).sum())
        return mean, float(np.sqrt((self.probability * (values - mean) ** 2).sum()))


@dataclass(frozen=True, slots=True)
class _Line:
    """Variance = level + slope · (mean - centre) + what leaks; level and slope are independent."""

    level: float
    slope: float
    centre: float
    level_error: float
    error: float
    extra: Float64Array

    @classmethod
    def through(
        cls,
        curve: TransferCurve,
        cells: npt.NDArray[np.intp],
        leak: float,
        zero: float | None,
    ) -> _Line:
        """Fit some cells of a curve; through the zero, if that is known."""
        counts = curve.counts[cells].sum(axis=0)
        kept = counts > 0
        counts = counts[kept]
        mean, variance, light, swing = (
            sums[cells].sum(axis=0)[kept] / counts
            for sums in (curve.mean, curve.variance, curve.light, curve.swing)
        )
        disturbing = np.stack([light, swing], axis=1)
        priors = np.array([[leak / 2, leak / 2 + 1e-6], [GAIN_VARIANCE / 2, GAIN_VARIANCE]])
        if zero is None:
            line = np.stack([np.ones_like(mean), mean], axis=1)
        else:
            line = (mean - zero)[:, None]
        solution, covariance = _weighted_fit(
            np.hstack([line, disturbing]), variance, counts, priors
        )
        extra = disturbing @ solution[-2:]
        slope = float(solution[-3])
        error = float(np.sqrt(covariance[-3, -3]))
        if zero is not None:
            centre = float(np.average(mean, weights=counts))
            reach = centre - zero
            return cls(slope * reach, slope, centre, error * abs(reach), error, extra)
        centre = -float(covariance[0, 1] / covariance[1, 1])
        level = float(solution[0]) + slope * centre
        level_error = float(np.sqrt(max(covariance[0, 0] - centre**2 * covariance[1, 1], 0.0)))
        return cls(level, slope, centre, level_error, error, extra)


def _weighted_fit(
    design: Float64Array, variance: Float64Array, counts: Float64Array, priors: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Solve for the line and what leaks, whose priors (mean, spread) are the last columns'."""
    columns = design.shape[1]
    model = np.maximum(variance, 1e-3 * variance.max() + 1e-12)
    leaking = slice(columns - len(priors), columns)
    uncertain = LEAK_ERROR * priors[0, 0] * design[:, leaking][:, 0]
    for _ in range(3):
        error = model**2 * (2 * CORRELATED / counts + MODEL_ERROR**2) + uncertain**2
        weighted = design / error[:, None]
        normal, right = design.T @ weighted, weighted.T @ variance
        normal[leaking, leaking] += np.diag(priors[:, 1] ** -2)
        right[leaking] += priors[:, 0] * priors[:, 1] ** -2
        # Without any variation of brightness nothing else would tell level from slope.
        normal += np.diag(1e-9 * np.diag(normal) + 1e-30)
        solution = np.linalg.solve(normal, right)
        model = np.maximum(design @ solution, 1e-3 * variance.max() + 1e-12)
    misfit = float(((variance - design @ solution) ** 2 / error).sum())
    freedom = max(len(variance) - columns, 1)
    return solution, np.linalg.inv(normal) * max(misfit / freedom, 1.0)
