"""How far the sample moved during a movie."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import ndimage

from deepstorm.arrays import Float64Array, FloatArray, IntArray
from deepstorm.structures import Estimate

FRAMES_PER_WINDOW = 16
MOST_WINDOWS = 6
LONGEST_PX = 256
# Largest movement that is looked for.
SEARCH_PX = 5.0
STEP_PX = 0.1
# A peak of the correlation has to be this many standard deviations of chance.
SIGNIFICANT = 4.0
SPOT_AREA_PX = 20.0


def measure_drift(photons: FloatArray, frame_numbers: IntArray) -> Estimate:
    """Return how far the sample moved, in pixels from the first frame to the last.

    Images of the variance over windows of time, which shows where emitters blink and nothing of
    what is fixed to the camera, are correlated with each other; the movement is taken as uniform.

    Parameters
    ----------
    photons : ndarray, shape (frame, y, x)
        Frames in effective photons.
    frame_numbers : ndarray of int, shape (frame,)
        Where in the movie they are from.

    Returns
    -------
    Estimate
        0, infinitely uncertain, where the movie is too short or shows nothing that lasts.
    """
    unknown = Estimate(0.0, float("inf"))
    count = min(len(photons) // FRAMES_PER_WINDOW, MOST_WINDOWS)
    if count < 3 or min(photons.shape[1:]) < 4 * SEARCH_PX:
        return unknown
    windows = np.array_split(np.arange(len(photons)), count)
    span = max(float(frame_numbers[-1] - frame_numbers[0]), 1.0)
    times = np.array([frame_numbers[window].mean() for window in windows]) / span
    images = [_blinking_image(_cropped(photons[window])) for window in windows]
    pairs = list(combinations(range(count), 2))
    surfaces = [_surface(images[i], images[j], abs(float(times[j] - times[i]))) for i, j in pairs]
    total = np.sum(surfaces, axis=0)
    # Of two images without anything in common, every spot's area is a chance to agree.
    chances = 0.4 * images[0].size / SPOT_AREA_PX
    if total.max() < SIGNIFICANT * np.sqrt(len(pairs) / chances):
        return unknown
    peak = _peak(total)
    if np.abs(peak).max() > SEARCH_PX - 2 * STEP_PX:
        return unknown
    left_out = [
        _peak(np.sum([s for s, p in zip(surfaces, pairs, strict=True) if window not in p], axis=0))
        for window in range(count)
    ]
    scatter = np.sqrt((count - 1) / count * np.sum((np.array(left_out) - peak) ** 2))
    return Estimate(float(np.hypot(*peak)), float(np.hypot(scatter, STEP_PX / 2)))


def _cropped(photons: FloatArray) -> FloatArray:
    """Return the middle of large frames."""
    starts = [max((length - LONGEST_PX) // 2, 0) for length in photons.shape[1:]]
    return photons[:, starts[0] : starts[0] + LONGEST_PX, starts[1] : starts[1] + LONGEST_PX]


def _blinking_image(photons: FloatArray) -> Float64Array:
    """Return where emitters blink, without what is smooth, tapered and of unit norm."""
    variance = photons.var(axis=0, ddof=1, dtype=np.float64) - photons.mean(axis=0)
    image = np.sqrt(np.clip(ndimage.gaussian_filter(variance, 1.0), 0, None))
    image -= ndimage.gaussian_filter(image, 5.0)
    image *= np.outer(*(np.hanning(length + 2)[1:-1] for length in image.shape))
    image -= image.mean()
    return np.asarray(image / max(float(np.linalg.norm(image)), 1e-12))


def _surface(first: Float64Array, other: Float64Array, elapsed: float) -> Float64Array:
    """Return the correlation of two images for every movement (y, x) over the whole movie."""
    spectrum = np.conj(np.fft.rfft2(first)) * np.fft.rfft2(other)
    correlation = np.fft.fftshift(np.fft.irfft2(spectrum, s=first.shape))
    middle = np.array(first.shape) // 2
    moves = np.arange(-SEARCH_PX, SEARCH_PX + STEP_PX / 2, STEP_PX) * elapsed
    y, x = np.meshgrid(middle[0] + moves, middle[1] + moves, indexing="ij")
    return np.asarray(ndimage.map_coordinates(correlation, [y, x], order=3, mode="grid-wrap"))


def _peak(surface: Float64Array) -> Float64Array:
    row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
    return np.array([row, column]) * STEP_PX - SEARCH_PX
