"""How fine the detail of a super-resolution image is: line profiles and Fourier rings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates, uniform_filter1d
from scipy.signal.windows import tukey

from deepstorm.arrays import Float64Array
from deepstorm.errors import InputError
from deepstorm.evaluation.checks import check_length, checked_image

FRC_THRESHOLD = 1 / 7
"""Correlation at which the resolution is read off."""

# A cosine slope over an eighth of the field on each side keeps the borders, which do not continue
# on the other side, from making a cross of correlated power in Fourier space.
_TUKEY_SHAPE = 0.25
# With fewer rings a resolution read from the curve would be noise.
_MIN_FRC_SIDE_PX = 16

FrcOutcome = Literal["resolved", "finer than two pixels", "nothing in common"]


@dataclass(frozen=True, slots=True)
class FourierRingCorrelation:
    """Correlation of two images of the same structure at every spatial frequency.

    Parameters
    ----------
    frequency_per_nm : ndarray of float64, shape (n,)
        Spatial frequency of the rings, up to one half per pixel.
    correlation : ndarray of float64, shape (n,)
        Correlation in each ring, −1 to 1, not smoothed.
    resolution_nm : float or None
        Inverse of the first frequency at which the smoothed correlation falls below 1/7. A value of
        the order of the field means nothing: the first rings hold so few frequencies that chance
        alone may correlate them.
    outcome : str
        Whether it is ``"resolved"``. Where ``resolution_nm`` is ``None``, the correlation is either
        never below 1/7 (``"finer than two pixels"``), or below from the start (``"nothing in
        common"``).
    """

    frequency_per_nm: Float64Array
    correlation: Float64Array
    resolution_nm: float | None
    outcome: FrcOutcome


def line_profile(
    image: npt.ArrayLike,
    start_nm: tuple[float, float],
    end_nm: tuple[float, float],
    width_nm: float,
    pixel_size_nm: float,
) -> tuple[Float64Array, Float64Array]:
    """Return the intensity along a straight line, averaged across its width.

    Values between pixel centres are interpolated linearly; samples are at most a pixel apart in
    both directions. Where the width reaches beyond the image, the border value is taken.

    Parameters
    ----------
    image : array_like, shape (y, x)
    start_nm, end_nm : tuple of float
        Ends (x, y) of the line in nm from the outer corner of the top-left pixel, inside the
        image.
    width_nm : float
        Width across the line in nm; 0 takes the line alone.
    pixel_size_nm : float
        Size of a pixel, above 0.

    Returns
    -------
    distance_nm : ndarray of float64, shape (n,)
        Distance from the start.
    intensity : ndarray of float64, shape (n,)
        Mean pixel value across the width.

    Raises
    ------
    InputError
        If an end is outside the image, the line has no length, or a size is out of range.
    """
    pixels = checked_image(image, "image")
    check_length(pixel_size_nm, "pixel size")
    check_length(width_nm, "width of the line", zero_allowed=True)
    start, end = np.asarray(start_nm, np.float64), np.asarray(end_nm, np.float64)
    _check_inside(np.stack([start, end]), pixels.shape, pixel_size_nm)
    length_nm = float(np.linalg.norm(end - start))
    if length_nm == 0:
        raise InputError(f"the line starts and ends at {start_nm} nm; give two different ends")
    distance_nm = np.linspace(0, length_nm, int(np.ceil(length_nm / pixel_size_nm)) + 1)
    n_lines = max(1, int(np.ceil(width_nm / pixel_size_nm)))
    offset_nm = ((np.arange(n_lines) + 0.5) / n_lines - 0.5) * width_nm
    points_nm = _points_nm(start, (end - start) / length_nm, distance_nm, offset_nm)
    # Pixel i is centred at (i + 1/2) p.
    coordinates = np.moveaxis(points_nm[..., ::-1] / pixel_size_nm - 0.5, -1, 0)
    samples = map_coordinates(pixels, coordinates, order=1, mode="nearest")
    return distance_nm, samples.mean(axis=0)


def _points_nm(
    start_nm: Float64Array, along: Float64Array, distance_nm: Float64Array, offset_nm: Float64Array
) -> Float64Array:
    """Return the points (x, y) of parallel lines, shape (line, sample, 2)."""
    across = np.array([-along[1], along[0]])
    points: Float64Array = (
        start_nm + distance_nm[:, None] * along + offset_nm[:, None, None] * across
    )
    return points


def _check_inside(ends_nm: Float64Array, shape: tuple[int, ...], pixel_size_nm: float) -> None:
    field_nm = np.array([shape[1], shape[0]]) * pixel_size_nm
    # Negated, so that NaN is refused as well.
    if not ((ends_nm >= 0) & (ends_nm <= field_nm)).all():
        raise InputError(
            f"the line from {tuple(ends_nm[0].tolist())} to {tuple(ends_nm[1].tolist())} nm leaves "
            f"the image, which is {field_nm[0]:g} × {field_nm[1]:g} nm (x, y)"
        )


def fwhm_nm(
    distance_nm: npt.ArrayLike, intensity: npt.ArrayLike, baseline: float | None = None
) -> float:
    """Return the full width at half maximum of the highest peak of a profile.

    The half maximum lies midway between the peak and the baseline. From the peak outwards, the
    first crossing on each side is found by linear interpolation between samples.

    Parameters
    ----------
    distance_nm : array_like, shape (n,)
        Increasing.
    intensity : array_like, shape (n,)
    baseline : float, optional
        Level without the structure; the minimum of ``intensity`` if not given.

    Returns
    -------
    float
        Width in nm.

    Raises
    ------
    InputError
        If the profile is not finite, not increasing in distance, nowhere above the baseline, or
        does not fall to half of the peak on both sides.
    """
    x, y = np.asarray(distance_nm, np.float64), np.asarray(intensity, np.float64)
    _check_profile(x, y)
    floor = float(y.min()) if baseline is None else float(baseline)
    peak = int(np.argmax(y))
    if not y[peak] > floor:
        raise InputError(f"the profile has no peak above its baseline {floor:g}")
    half = (y[peak] + floor) / 2
    right = _first_crossing(x[peak:], y[peak:], half, "after")
    left = _first_crossing(x[peak::-1], y[peak::-1], half, "before")
    return right - left


def _check_profile(x: Float64Array, y: Float64Array) -> None:
    if x.ndim != 1 or x.shape != y.shape or len(x) < 3:
        raise InputError(
            f"the profile has distances of shape {x.shape} and intensities of shape {y.shape}; "
            "expected two columns of the same length, at least 3"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (np.diff(x) > 0).all()):
        raise InputError("the profile needs finite values and increasing distances")


def _first_crossing(x: Float64Array, y: Float64Array, level: float, side: str) -> float:
    """Return where a profile that starts above the level first comes down to it."""
    below = np.flatnonzero(y <= level)
    if len(below) == 0:
        raise InputError(
            f"the profile does not fall to half of its maximum {side} the peak; "
            "draw a longer line or give the baseline"
        )
    k = int(below[0])
    fraction = (y[k - 1] - level) / (y[k - 1] - y[k])
    return float(x[k - 1] + fraction * (x[k] - x[k - 1]))


def fourier_ring_correlation(
    first: npt.ArrayLike, second: npt.ArrayLike, pixel_size_nm: float
) -> FourierRingCorrelation:
    """Correlate two images of the same structure ring by ring in Fourier space.

    The images must be independent of each other in their noise, for instance one from the odd and
    one from the even frames. Each has its mean removed and is multiplied with a Tukey window. The
    resolution is read from the curve smoothed by a moving average over a twentieth of the rings,
    at least three, each weighted with the number of its frequencies.

    Parameters
    ----------
    first, second : array_like, shape (y, x)
        At least 16 × 16 pixels; need not be square.
    pixel_size_nm : float
        Size of a pixel, above 0.

    Raises
    ------
    InputError
        If the shapes differ, an image is too small, constant or not finite, or the pixel size is
        out of range.

    References
    ----------
    .. [1] Nieuwenhuizen et al., "Measuring image resolution in optical nanoscopy", Nature Methods
       10, 557 (2013), doi 10.1038/nmeth.2448.
    """
    a, b = checked_image(first, "first image"), checked_image(second, "second image")
    if a.shape != b.shape or min(a.shape) < _MIN_FRC_SIDE_PX:
        raise InputError(
            f"the images have shapes {a.shape} and {b.shape}; expected the same shape, "
            f"at least {_MIN_FRC_SIDE_PX} × {_MIN_FRC_SIDE_PX} pixels"
        )
    check_length(pixel_size_nm, "pixel size")
    spectrum_a, spectrum_b = _spectrum(a, "first image"), _spectrum(b, "second image")
    cross = _ring_sums((spectrum_a * spectrum_b.conj()).real)
    power = _ring_sums(np.abs(spectrum_a) ** 2) * _ring_sums(np.abs(spectrum_b) ** 2)
    correlation = np.divide(cross, np.sqrt(power), out=np.zeros_like(cross), where=power > 0)
    frequency = np.arange(1, len(correlation) + 1) / (min(a.shape) * pixel_size_nm)
    weights = _ring_sums(np.ones(a.shape))
    return FourierRingCorrelation(
        frequency, correlation, *_resolution(frequency, correlation, weights)
    )


def _spectrum(image: Float64Array, name: str) -> npt.NDArray[np.complex128]:
    if np.ptp(image) == 0:
        raise InputError(f"the {name} is constant; there is nothing to correlate")
    window = np.outer(*(tukey(side, _TUKEY_SHAPE) for side in image.shape))
    # Without the mean, the window itself is no structure that both images share.
    centred = image - np.sum(image * window) / np.sum(window)
    return np.fft.fft2(centred * window)


def _ring_sums(values: Float64Array) -> Float64Array:
    """Sum over rings as wide as a frequency step of the shorter side, zero frequency left out."""
    height, width = values.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) * min(values.shape)
    ring = np.rint(radius).astype(np.int64)
    sums = np.bincount(ring.ravel(), weights=values.ravel()).astype(np.float64)
    return sums[1 : min(values.shape) // 2 + 1]


def _resolution(
    frequency_per_nm: Float64Array, correlation: Float64Array, weights: Float64Array
) -> tuple[float | None, FrcOutcome]:
    width = max(3, 2 * (len(correlation) // 40) + 1)
    # Weights: the first rings hold few frequencies, so that chance alone correlates them.
    smooth = uniform_filter1d(correlation * weights, width, mode="nearest")
    smooth /= uniform_filter1d(weights, width, mode="nearest")
    below = np.flatnonzero(smooth < FRC_THRESHOLD)
    if len(below) == 0:
        return None, "finer than two pixels"
    if below[0] == 0:
        return None, "nothing in common"
    k = int(below[0])
    crossing = np.interp(
        FRC_THRESHOLD, [smooth[k], smooth[k - 1]], [frequency_per_nm[k], frequency_per_nm[k - 1]]
    )
    return float(1 / crossing), "resolved"
