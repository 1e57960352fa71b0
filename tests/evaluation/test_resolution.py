from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.errors import InputError
from deepstorm.evaluation.resolution import fourier_ring_correlation, fwhm_nm, line_profile
from deepstorm.structures import Localizations, histogram_image

Image = npt.NDArray[np.float64]
FWHM_OF_SIGMA = 2 * np.sqrt(2 * np.log(2))


def gaussian_line(sigma_nm: float, angle: float, pixel_size_nm: float, side: int = 80) -> Image:
    """A straight ridge through the middle of the field, its direction at ``angle`` from x."""
    centre_nm = (np.arange(side) + 0.5) * pixel_size_nm - side * pixel_size_nm / 2
    offset_nm = np.cos(angle) * centre_nm[:, None] - np.sin(angle) * centre_nm
    return np.asarray(np.exp(-(offset_nm**2) / (2 * sigma_nm**2)))


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, 2.5])
def test_the_profile_across_a_gaussian_line_has_its_width(angle: float) -> None:
    image = gaussian_line(40.0, angle, 10.0)
    across = 200 * np.array([-np.sin(angle), np.cos(angle)])
    start, end = 400 - across, 400 + across
    distance, intensity = line_profile(image, tuple(start), tuple(end), 100.0, 10.0)
    assert distance[0] == 0
    assert distance[-1] == pytest.approx(400)
    assert distance[np.argmax(intensity)] == pytest.approx(200, abs=5)
    assert fwhm_nm(distance, intensity) == pytest.approx(FWHM_OF_SIGMA * 40, rel=0.02)


def test_the_profile_counts_from_the_outer_corner() -> None:
    # On a ramp the value at x nm is x / p - 1/2, its pixel's index at the pixel's centre.
    image = np.tile(np.arange(20.0), (10, 1))
    distance, intensity = line_profile(image, (25.0, 50.0), (125.0, 50.0), 0.0, 10.0)
    np.testing.assert_allclose(intensity, (25.0 + distance) / 10.0 - 0.5)
    np.testing.assert_allclose(np.diff(distance), 10.0)
    _, downwards = line_profile(image.T, (50.0, 25.0), (50.0, 125.0), 30.0, 10.0)
    np.testing.assert_allclose(downwards, intensity)


def test_the_profile_averages_over_its_width() -> None:
    image = np.zeros((21, 40))
    image[10] = 1.0
    _, narrow = line_profile(image, (50.0, 105.0), (350.0, 105.0), 0.0, 10.0)
    _, wide = line_profile(image, (50.0, 105.0), (350.0, 105.0), 50.0, 10.0)
    np.testing.assert_allclose(narrow, 1.0)
    np.testing.assert_allclose(wide, 1 / 5)


def test_a_line_beyond_the_image_is_refused() -> None:
    image = np.ones((10, 20))
    with pytest.raises(InputError, match=r"leaves the image, which is 200 × 100 nm \(x, y\)"):
        line_profile(image, (10.0, 10.0), (10.0, 150.0), 0.0, 10.0)
    with pytest.raises(InputError, match="leaves the image"):
        line_profile(image, (float("nan"), 10.0), (10.0, 50.0), 0.0, 10.0)
    with pytest.raises(InputError, match="give two different ends"):
        line_profile(image, (10.0, 10.0), (10.0, 10.0), 0.0, 10.0)
    with pytest.raises(InputError, match=r"width of the line is -1\.0 nm"):
        line_profile(image, (10.0, 10.0), (50.0, 10.0), -1.0, 10.0)


@pytest.mark.parametrize("sigma_nm", [5.0, 20.0, 60.0])
@pytest.mark.parametrize("background", [0.0, 3.0])
def test_fwhm_of_a_gaussian(sigma_nm: float, background: float) -> None:
    x_nm = np.linspace(-400, 400, 801)
    profile = background + 2 * np.exp(-(x_nm**2) / (2 * sigma_nm**2))
    assert fwhm_nm(x_nm, profile) == pytest.approx(FWHM_OF_SIGMA * sigma_nm, rel=0.01)


def test_fwhm_interpolates_between_samples() -> None:
    # A triangle of height 1 on a base of 4: exactly half its height at ±1.
    assert fwhm_nm([-2, -0.5, 0, 0.5, 2], [0, 0.75, 1, 0.75, 0]) == pytest.approx(2.0)


def test_fwhm_is_that_of_the_highest_peak_alone() -> None:
    x_nm = np.arange(0.0, 200.0)
    peaks = np.exp(-((x_nm - 60) ** 2) / 50) + 0.8 * np.exp(-((x_nm - 130) ** 2) / 50)
    assert fwhm_nm(x_nm, peaks) == pytest.approx(FWHM_OF_SIGMA * 5, rel=0.01)


def test_a_given_baseline_sets_the_half_maximum() -> None:
    # A triangle cut off at 0.4: its own minimum as the baseline would give another half.
    x_nm, y = np.linspace(-0.6, 0.6, 13), 1 - np.abs(np.linspace(-0.6, 0.6, 13))
    assert fwhm_nm(x_nm, y) == pytest.approx(0.6)
    assert fwhm_nm(x_nm, y, baseline=0.0) == pytest.approx(1.0)


def test_a_profile_without_a_whole_peak_is_refused() -> None:
    x_nm = np.arange(5.0)
    with pytest.raises(InputError, match="half of its maximum after the peak"):
        fwhm_nm(x_nm, [0, 1, 2, 3, 4])
    with pytest.raises(InputError, match="half of its maximum before the peak"):
        fwhm_nm(x_nm, [4, 3, 2, 1, 0])
    with pytest.raises(InputError, match="no peak above its baseline"):
        fwhm_nm(x_nm, np.ones(5))
    with pytest.raises(InputError, match="no peak above its baseline"):
        fwhm_nm(x_nm, [0, 1, 2, 1, 0], baseline=3.0)
    with pytest.raises(InputError, match="increasing distances"):
        fwhm_nm(x_nm[::-1], [0, 1, 2, 1, 0])
    with pytest.raises(InputError, match="finite values"):
        fwhm_nm(x_nm, [0, 1, float("nan"), 1, 0])
    with pytest.raises(InputError, match="two columns of the same length"):
        fwhm_nm(x_nm, [0, 1, 0])


def half_image(
    rng: np.random.Generator,
    emitters_nm: Image,
    blinks: float,
    sigma_nm: float,
    shape: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """Localize each emitter a Poisson number of times, with a Gaussian error, on 5 nm pixels."""
    x_nm, y_nm = np.repeat(emitters_nm, rng.poisson(blinks, emitters_nm.shape[1]), axis=1)
    x_nm, y_nm = (v + rng.normal(0, sigma_nm, len(v)) for v in (x_nm, y_nm))
    return histogram_image(Localizations(np.zeros(len(x_nm), int), x_nm, y_nm), shape, 5.0)


@pytest.mark.parametrize("shape", [(400, 400), (300, 500), (500, 299)])
@pytest.mark.parametrize("sigma_nm", [8.0, 15.0])
def test_frc_finds_the_analytic_resolution(shape: tuple[int, int], sigma_nm: float) -> None:
    # Emitters at random positions, each localized a Poisson(Q/2) number of times in each half with
    # an error sigma: FRC(q) = e / (e + 2/Q) with e = exp(-4 pi^2 sigma^2 q^2), which comes down to
    # 1/7 at q = sqrt(ln(3 Q)) / (2 pi sigma).
    rng, blinks = np.random.default_rng(12), 20.0
    n_emitters = 4000
    emitters_nm = rng.uniform(0, 1, (2, n_emitters)) * 5.0 * np.array(shape[::-1])[:, None]
    halves = [half_image(rng, emitters_nm, blinks / 2, sigma_nm, shape) for _ in range(2)]
    frc = fourier_ring_correlation(*halves, pixel_size_nm=5.0)
    expected_nm = 2 * np.pi * sigma_nm / np.sqrt(np.log(3 * blinks))
    assert frc.resolution_nm == pytest.approx(expected_nm, rel=0.06)
    assert frc.outcome == "resolved"
    e = np.exp(-((2 * np.pi * sigma_nm * frc.frequency_per_nm) ** 2))
    away = frc.frequency_per_nm > 0.002
    np.testing.assert_allclose(frc.correlation[away], (e / (e + 2 / blinks))[away], atol=0.2)
    assert np.abs(frc.correlation[away] - (e / (e + 2 / blinks))[away]).mean() < 0.04
    assert frc.frequency_per_nm[-1] == pytest.approx(0.1, rel=0.01)


def test_frc_of_an_image_with_itself_has_no_end() -> None:
    image = np.random.default_rng(13).poisson(1.0, (64, 48))
    frc = fourier_ring_correlation(image, image, 10.0)
    np.testing.assert_allclose(frc.correlation, 1.0)
    assert (frc.resolution_nm, frc.outcome) == (None, "finer than two pixels")


@pytest.mark.parametrize("seed", range(5))
def test_frc_of_unrelated_images_is_about_zero(seed: int) -> None:
    first, second = np.random.default_rng(seed).poisson(5.0, (2, 128, 128))
    frc = fourier_ring_correlation(first, second, 10.0)
    assert abs(frc.correlation[5:].mean()) < 0.05
    # Nothing in common, but for chance in the first few rings of a field of 1280 nm.
    assert frc.resolution_nm is None or frc.resolution_nm > 1280 / 6


def test_frc_below_the_threshold_from_the_start_gives_no_resolution() -> None:
    image = np.random.default_rng(14).poisson(5.0, (64, 64))
    frc = fourier_ring_correlation(image, -image, 10.0)
    assert (frc.resolution_nm, frc.outcome) == (None, "nothing in common")


def test_borders_that_do_not_continue_are_no_common_detail() -> None:
    # The same smooth ramp in both: without a window its jump at the border correlates everywhere.
    noise = np.random.default_rng(15).normal(0, 1, (2, 256, 256))
    ramp = 20 * np.linspace(-1, 1, 256)
    frc = fourier_ring_correlation(ramp + noise[0], ramp + noise[1], 10.0)
    assert frc.correlation[40:].max() < 0.3
    assert frc.resolution_nm is not None
    assert frc.resolution_nm > 100


def test_frc_refuses_what_makes_no_sense() -> None:
    image = np.random.default_rng(16).poisson(5.0, (32, 32))
    with pytest.raises(InputError, match=r"shapes \(32, 32\) and \(32, 31\)"):
        fourier_ring_correlation(image, image[:, :-1], 10.0)
    with pytest.raises(InputError, match="at least 16 × 16 pixels"):
        fourier_ring_correlation(image[:15], image[:15], 10.0)
    with pytest.raises(InputError, match="the second image is constant"):
        fourier_ring_correlation(image, np.ones((32, 32)), 10.0)
    with pytest.raises(InputError, match=r"pixel size is -10\.0 nm"):
        fourier_ring_correlation(image, image, -10.0)
