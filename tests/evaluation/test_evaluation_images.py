from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from deepstorm.errors import InputError
from deepstorm.evaluation.images import (
    correlation,
    nmse_percent,
    peak_signal_to_noise_ratio,
    registered_nmse,
    score_image,
    structural_similarity,
)
from deepstorm.structures import Localizations, histogram_image

Image = npt.NDArray[np.float64]
SCORES = [nmse_percent, peak_signal_to_noise_ratio, structural_similarity, correlation, score_image]


def counts(seed: int, shape: tuple[int, int] = (20, 24)) -> Image:
    return np.random.default_rng(seed).poisson(2.0, shape).astype(float)


def test_scores_of_a_perfect_image_at_another_brightness() -> None:
    truth = counts(1)
    scores = score_image(0.25 * truth, truth)
    assert scores.nmse_percent == pytest.approx(0, abs=1e-20)
    assert scores.ssim == pytest.approx(1)
    assert scores.correlation == pytest.approx(1)
    assert scores.psnr_db == float("inf")


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_no_score_depends_on_the_brightness(scale: float, seed: int) -> None:
    truth, image = counts(seed), counts(seed + 1)
    plain, scaled = score_image(image, truth), score_image(scale * image, truth)
    assert scaled.nmse_percent == pytest.approx(plain.nmse_percent)
    assert scaled.psnr_db == pytest.approx(plain.psnr_db)
    assert scaled.ssim == pytest.approx(plain.ssim)
    assert scaled.correlation == pytest.approx(plain.correlation)


def test_nmse_of_orthogonal_noise_is_its_share_of_the_energy() -> None:
    # With x and n orthogonal, the best scale of x + n leaves |n|^2 / (|x|^2 + |n|^2).
    truth, image = np.zeros((4, 4)), np.zeros((4, 4))
    truth[0, 0] = 3.0
    image[0, 0], image[2, 1] = 3.0, 1.0
    assert nmse_percent(image, truth) == pytest.approx(100 * 1 / 10)


def test_the_scale_is_the_one_of_least_squares() -> None:
    truth, image = counts(2), counts(3)
    tried = [
        100 * np.sum((s * image - truth) ** 2) / np.sum(truth**2) for s in np.linspace(0, 2, 2001)
    ]
    assert nmse_percent(image, truth) == pytest.approx(min(tried), abs=1e-3)


@pytest.mark.parametrize("sign", [0.0, -1.0], ids=["blank", "negative"])
def test_a_blank_or_inverted_image_has_the_whole_error(sign: float) -> None:
    truth = counts(4)
    assert nmse_percent(sign * truth, truth) == 100.0
    assert correlation(sign * truth, truth) == pytest.approx(sign)


def test_peak_signal_to_noise_ratio_of_a_known_error() -> None:
    truth, image = np.zeros((10, 10)), np.zeros((10, 10))
    truth[5, 5] = image[5, 5] = 10.0
    image[2, 2] = 5.0
    # s = 100 / 125 = 0.8; errors 2 and 4: mean square 0.2.
    assert peak_signal_to_noise_ratio(image, truth) == pytest.approx(10 * np.log10(100 / 0.2))


def test_correlation_is_that_of_numpy_and_zero_for_a_constant_image() -> None:
    truth, image = counts(5), counts(6) + 7.0
    expected = np.corrcoef(image.ravel(), truth.ravel())[0, 1]
    assert correlation(image, truth) == pytest.approx(expected)
    assert correlation(np.full(truth.shape, 0.1), truth) == 0.0


def slow_structural_similarity(a: Image, b: Image, data_range: float) -> float:
    """Equation 13 of Wang et al. (2004), window by window."""
    offset = np.arange(11) - 5
    window = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for row in range(a.shape[0] - 10):
        for column in range(a.shape[1] - 10):
            p, q = a[row : row + 11, column : column + 11], b[row : row + 11, column : column + 11]
            mean_p, mean_q = np.sum(window * p), np.sum(window * q)
            var_p = np.sum(window * (p - mean_p) ** 2)
            var_q = np.sum(window * (q - mean_q) ** 2)
            cov = np.sum(window * (p - mean_p) * (q - mean_q))
            values.append(
                (2 * mean_p * mean_q + c1)
                * (2 * cov + c2)
                / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
            )
    return float(np.mean(values))


def test_structural_similarity_is_that_of_the_published_formula() -> None:
    truth = counts(7)
    image = truth + counts(8)
    scaled = image * np.sum(image * truth) / np.sum(image**2)
    expected = slow_structural_similarity(scaled, truth, truth.max())
    assert 0.2 < expected < 0.9
    assert structural_similarity(image, truth) == pytest.approx(expected, rel=1e-9)


def test_structural_similarity_needs_room_for_its_window() -> None:
    with pytest.raises(InputError, match="at least 11 × 11 pixels; these have 10 × 30"):
        structural_similarity(counts(1, (10, 30)), counts(2, (10, 30)))


@pytest.mark.parametrize("score", SCORES)
def test_images_that_cannot_be_compared_are_refused(score: object) -> None:
    assert callable(score)
    good, bad = counts(1), counts(1)
    bad[3, 3] = np.nan
    with pytest.raises(InputError, match="on the same grid"):
        score(good[:, :-1], good)
    with pytest.raises(InputError, match="the true image has no value above 0"):
        score(good, np.zeros_like(good))
    with pytest.raises(InputError, match="the image has values that are not finite"):
        score(bad, good)
    with pytest.raises(InputError, match="the true image has values that are not finite"):
        score(good, bad)
    with pytest.raises(InputError, match=r"expected two axes \(y, x\)"):
        score(good[None], good[None])


def clustered(seed: int) -> Localizations:
    """Emitters along a few lines, so that a shift changes the image smoothly."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, 1, 20_000)
    slope = np.array([-1.0, 0.3, 1.5])[rng.integers(0, 3, 20_000)]
    x_nm, y_nm = 200 + 400 * t, 400 + 300 * slope * (t - 0.5)
    jitter_nm = rng.normal(0, 6, (2, 20_000))
    return Localizations(np.zeros(20_000, int), x_nm + jitter_nm[0], y_nm + jitter_nm[1])


@pytest.mark.parametrize(("dx_nm", "dy_nm"), [(0.0, 0.0), (7.0, -3.5), (-18.0, 11.0)])
def test_registration_finds_a_known_shift(dx_nm: float, dy_nm: float) -> None:
    truth = clustered(9)
    image = histogram_image(truth.shifted(dx_nm, dy_nm), (64, 64), 12.5)
    found = registered_nmse(image, truth, 12.5)
    assert found.dx_nm == pytest.approx(dx_nm, abs=0.5)
    assert found.dy_nm == pytest.approx(dy_nm, abs=0.5)
    assert found.nmse_percent < 2
    expected = nmse_percent(image, histogram_image(truth, (64, 64), 12.5))
    assert found.unregistered_nmse_percent == pytest.approx(expected)
    assert not found.at_limit


@pytest.mark.parametrize("seed", range(4))
def test_registration_says_where_its_search_ended(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, limit_nm = clustered(20 + seed), float(rng.uniform(4, 12))
    along = rng.permutation([1.0, 0.2]) * rng.choice([-1, 1], 2)
    for factor, beyond in ((0.7, False), (1.6, True)):
        image = histogram_image(truth.shifted(*(factor * limit_nm * along)), (64, 64), 12.5)
        found = registered_nmse(image, truth, 12.5, max_shift_nm=limit_nm)
        assert found.at_limit is beyond


def test_registration_keeps_within_the_largest_shift() -> None:
    truth = clustered(10)
    image = histogram_image(truth.shifted(12.0, 0.0), (64, 64), 12.5)
    found = registered_nmse(image, truth, 12.5, max_shift_nm=5.0)
    assert max(abs(found.dx_nm), abs(found.dy_nm)) <= 5.0
    assert found.nmse_percent < found.unregistered_nmse_percent
    fixed = registered_nmse(image, truth, 12.5, max_shift_nm=0.0)
    assert (fixed.dx_nm, fixed.dy_nm, fixed.at_limit) == (0.0, 0.0, False)
    assert fixed.nmse_percent == fixed.unregistered_nmse_percent


def test_registration_refuses_what_makes_no_sense() -> None:
    image, truth = np.ones((64, 64)), clustered(11)
    with pytest.raises(InputError, match="pixel size is 0"):
        registered_nmse(image, truth, 0.0)
    with pytest.raises(InputError, match=r"largest shift is -1\.0 nm; give 0 or more"):
        registered_nmse(image, truth, 12.5, max_shift_nm=-1.0)
    with pytest.raises(InputError, match="no value above 0"):
        registered_nmse(image, truth.shifted(1e6, 0.0), 12.5)


def test_the_published_reconstruction_reaches_the_known_errors(
    microtubules_folder: Path, microtubules_truth: Localizations
) -> None:
    image = loadmat(microtubules_folder / "paper_reconstruction.mat")["Recovery"]

    def error(dx_nm: float, dy_nm: float) -> float:
        moved = microtubules_truth.shifted(dx_nm, dy_nm)
        return nmse_percent(image, histogram_image(moved, (512, 512), 12.5))

    assert error(0.0, 0.0) == pytest.approx(48.75, abs=0.1)
    assert error(0.0, -6.25) == pytest.approx(37.0, abs=0.1)
    assert error(-6.25, -6.25) == pytest.approx(30.8, abs=0.1)
    found = registered_nmse(image, microtubules_truth, 12.5)
    assert found.unregistered_nmse_percent == pytest.approx(48.75, abs=0.1)
    assert found.nmse_percent == pytest.approx(30.8, abs=0.15)
    assert found.nmse_percent <= error(-6.25, -6.25)
    assert found.dx_nm == pytest.approx(-6.25, abs=0.8)
    assert found.dy_nm == pytest.approx(-6.25, abs=0.8)
