"""How well a super-resolution image agrees with the true one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar

from deepstorm.arrays import Float64Array
from deepstorm.errors import InputError
from deepstorm.evaluation.checks import check_length, checked_image
from deepstorm.structures import Localizations, histogram_image

# Wang et al. (2004): an 11 × 11 Gaussian window of sigma 1.5 and K1, K2.
_SSIM_SIGMA_PX = 1.5
_SSIM_RADIUS_PX = 5
_SSIM_K1 = 0.01
_SSIM_K2 = 0.03
# From half a pixel down to 1/64 of one.
_SHIFT_REFINEMENTS = 5


@dataclass(frozen=True, slots=True)
class ImageScores:
    """Agreement of an image with the truth, free of the image's brightness scale.

    Parameters
    ----------
    nmse_percent : float
        Normalised mean squared error, 0 (perfect) to 100 (no better than a blank image).
    psnr_db : float
        Peak signal-to-noise ratio in dB; infinite for a perfect image.
    ssim : float
        Structural similarity, at most 1.
    correlation : float
        Pearson correlation, −1 to 1.
    """

    nmse_percent: float
    psnr_db: float
    ssim: float
    correlation: float


@dataclass(frozen=True, slots=True)
class RegisteredNmse:
    """The smallest error over small shifts of the true positions.

    Parameters
    ----------
    nmse_percent : float
        Normalised mean squared error at the best shift.
    unregistered_nmse_percent : float
        The same without a shift.
    dx_nm, dy_nm : float
        The best shift: what was added to the true positions, in nm.
    at_limit : bool
        Whether the best shift is the largest that was tried, along one of the axes: then the true
        one may lie beyond, and the error is not that of a registered image.
    """

    nmse_percent: float
    unregistered_nmse_percent: float
    dx_nm: float
    dy_nm: float
    at_limit: bool = False


def score_image(image: npt.ArrayLike, truth: npt.ArrayLike) -> ImageScores:
    """Score a super-resolution image against the true one.

    Parameters
    ----------
    image, truth : array_like, shape (y, x)
        On the same grid; the scale of ``image`` does not matter.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, the truth has no value above 0, or the images
        are smaller than 11 × 11 pixels.
    """
    return ImageScores(
        nmse_percent=nmse_percent(image, truth),
        psnr_db=peak_signal_to_noise_ratio(image, truth),
        ssim=structural_similarity(image, truth),
        correlation=correlation(image, truth),
    )


def nmse_percent(image: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return 100 · ‖s·image − truth‖² / ‖truth‖², with s ≥ 0 the least-squares scale.

    Parameters
    ----------
    image, truth : array_like, shape (y, x)

    Returns
    -------
    float
        0 for an image proportional to the truth, 100 for a blank one or one whose best scale
        would be negative.

    Raises
    ------
    InputError
        If the shapes differ, a value is not finite, or the truth has no value above 0.

    References
    ----------
    .. [1] Nehme et al., "Deep-STORM", Optica 5, 458 (2018).
    """
    scaled, x = _scaled_pair(image, truth)
    return float(100 * np.sum((scaled - x) ** 2) / np.sum(x**2))


def peak_signal_to_noise_ratio(image: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return 10 log10(peak² / mean squared error) in dB, after least-squares scaling.

    Parameters
    ----------
    image, truth : array_like, shape (y, x)
        The peak is the maximum of ``truth``.

    Returns
    -------
    float
        Infinite where the scaled image equals the truth.

    Raises
    ------
    InputError
        As :func:`nmse_percent`.
    """
    scaled, x = _scaled_pair(image, truth)
    error = float(np.mean((scaled - x) ** 2))
    return float(10 * np.log10(x.max() ** 2 / error)) if error > 0 else float("inf")


def structural_similarity(image: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the mean structural similarity after least-squares scaling.

    Local moments are weighted by an 11 × 11 Gaussian window (sigma 1.5 pixels), K1 = 0.01,
    K2 = 0.03, the data range is the maximum of ``truth``, and only positions where the window
    lies inside the image count.

    Parameters
    ----------
    image, truth : array_like, shape (y, x)
        At least 11 × 11 pixels.

    Returns
    -------
    float
        1 for an image proportional to the truth.

    Raises
    ------
    InputError
        As :func:`nmse_percent`, and if the images are smaller than the window.

    References
    ----------
    .. [1] Wang et al., "Image quality assessment: from error visibility to structural
       similarity", IEEE Trans. Image Process. 13, 600 (2004), eq. 13.
    """
    scaled, x = _scaled_pair(image, truth)
    side = 2 * _SSIM_RADIUS_PX + 1
    if min(x.shape) < side:
        raise InputError(
            f"structural similarity needs images of at least {side} × {side} pixels; "
            f"these have {x.shape[0]} × {x.shape[1]}"
        )
    c1, c2 = (_SSIM_K1 * x.max()) ** 2, (_SSIM_K2 * x.max()) ** 2
    mean_a, mean_b = _local_mean(scaled), _local_mean(x)
    variance_a = _local_mean(scaled**2) - mean_a**2
    variance_b = _local_mean(x**2) - mean_b**2
    covariance = _local_mean(scaled * x) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float(np.mean(luminance * structure))


def _local_mean(image: Float64Array) -> Float64Array:
    blurred = gaussian_filter(image, _SSIM_SIGMA_PX, radius=_SSIM_RADIUS_PX)
    inside = slice(_SSIM_RADIUS_PX, -_SSIM_RADIUS_PX)
    return np.asarray(blurred[inside, inside])


def correlation(image: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return Pearson's correlation coefficient of the pixel values, −1 to 1.

    No scale changes it, so none is fitted. It is 0 where one of the images is constant.

    Parameters
    ----------
    image, truth : array_like, shape (y, x)

    Raises
    ------
    InputError
        As :func:`nmse_percent`.
    """
    a, b = _checked_pair(image, truth)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(np.sum(a * b) / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))


def registered_nmse(
    image: npt.ArrayLike,
    truth_localizations: Localizations,
    pixel_size_nm: float,
    max_shift_nm: float = 20.0,
) -> RegisteredNmse:
    """Return the smallest error over small shifts of the true positions, and that shift.

    Half a pixel of misregistration can cost more than everything else, so both figures are worth
    publishing. All shifts on a grid of half a pixel are tried, then the neighbourhood of the best
    one with ever smaller steps, down to 1/64 pixel.

    Parameters
    ----------
    image : array_like, shape (y, x)
        Super-resolution image.
    truth_localizations : Localizations
        True positions; what a shift moves out of the field is left out.
    pixel_size_nm : float
        Size of a pixel of ``image``, above 0.
    max_shift_nm : float
        Largest shift along either axis, 0 or more.

    Raises
    ------
    InputError
        If a size is out of range, the image is not finite or not two-dimensional, or no true
        position lies in the field.
    """
    pixels = checked_image(image, "image")
    check_length(pixel_size_nm, "pixel size")
    check_length(max_shift_nm, "largest shift", zero_allowed=True)

    def error(shift: tuple[float, float]) -> float:
        moved = truth_localizations.shifted(*shift)
        return nmse_percent(pixels, histogram_image(moved, pixels.shape, pixel_size_nm))

    step = pixel_size_nm / 2
    unregistered = best = error((0.0, 0.0))
    dx_nm = dy_nm = 0.0
    reach = int(max_shift_nm / step)
    for _ in range(_SHIFT_REFINEMENTS + 1):
        for shift in _shifts_around((dx_nm, dy_nm), step, reach, max_shift_nm):
            value = error(shift)
            if value < best:
                best, (dx_nm, dy_nm) = value, shift
        step, reach = step / 2, 1
    at_limit = 0 < max_shift_nm < max(abs(dx_nm), abs(dy_nm)) + 2 * step
    return RegisteredNmse(best, unregistered, dx_nm, dy_nm, at_limit)


@dataclass(frozen=True, slots=True)
class BlurredNmse:
    """The smallest error over Gaussian blurs of the image.

    Parameters
    ----------
    nmse_percent : float
        Normalised mean squared error at the best blur.
    sigma_px : float
        Its standard deviation in pixels of the image; 0 where any blur makes it worse.
    """

    nmse_percent: float
    sigma_px: float


def blurred_nmse(
    image: npt.ArrayLike, truth: npt.ArrayLike, max_sigma_px: float = 6.0
) -> BlurredNmse:
    """Return the smallest error over Gaussian blurs of the image, and that blur.

    A histogram of single positions is compared pixel by pixel with the truth only after such a
    blur, as in §3 of the paper, where it is chosen by the same error.

    Parameters
    ----------
    image, truth : array_like, shape (y, x)
        On the same grid.
    max_sigma_px : float
        Widest blur that is tried, above 0.

    Raises
    ------
    InputError
        As :func:`nmse_percent`, and if the widest blur is out of range.
    """
    check_length(max_sigma_px, "widest blur")
    pixels, x = _checked_pair(image, truth)

    def error(sigma_px: float) -> float:
        return nmse_percent(gaussian_filter(pixels, sigma_px, mode="constant"), x)

    sharp = nmse_percent(pixels, x)
    best = minimize_scalar(
        error, bounds=(0, max_sigma_px), method="bounded", options={"xatol": 0.02}
    )
    # Near 0 the error is flat, where the search could stop just above it.
    return BlurredNmse(*min((sharp, 0.0), (float(best.fun), float(best.x))))


def _shifts_around(
    centre: tuple[float, float], step: float, reach: int, limit: float
) -> list[tuple[float, float]]:
    """List the other points of a square grid around ``centre`` that keep within the limit."""
    steps = range(-reach, reach + 1)
    grid = [(centre[0] + i * step, centre[1] + j * step) for i, j in product(steps, steps)]
    return [point for point in grid if point != centre and max(map(abs, point)) <= limit]


def _checked_pair(image: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
    a, b = checked_image(image, "image"), checked_image(truth, "true image")
    if a.shape != b.shape:
        raise InputError(
            f"the image has shape {a.shape} and the true image {b.shape}; "
            "render both on the same grid"
        )
    if b.max() <= 0:
        raise InputError("the true image has no value above 0; there is nothing to compare with")
    return a, b


def _scaled_pair(image: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Return the image times its least-squares scale (0 or more), and the truth."""
    a, b = _checked_pair(image, truth)
    energy = np.sum(a**2)
    scale = max(0.0, float(np.sum(a * b) / energy)) if energy > 0 else 0.0
    return scale * a, b
