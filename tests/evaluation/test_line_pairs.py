from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from deepstorm.errors import InputError
from deepstorm.evaluation.line_pairs import (
    PairProfile,
    dip_between_peaks,
    pair_profile,
    smallest_resolved_nm,
)
from deepstorm.structures import Localizations, histogram_image

PIXEL_NM = 12.5
# Seven pairs at seven phases of the grid.
CENTRES_NM = tuple((np.arange(7) + 0.5) * 6400 / 7)


def lines(separation_nm: float, error_nm: float, n: int = 200_000, pixel_nm: float = PIXEL_NM):
    """Draw seven pairs, each emitter off its line by a Gaussian error."""
    rng = np.random.default_rng(4)
    side = rng.choice([-0.5, 0.5], n) * separation_nm
    y_nm = rng.choice(CENTRES_NM, n) + side + rng.normal(0, error_nm, n)
    table = Localizations(np.zeros(n, int), rng.uniform(0, 6400, n), y_nm)
    rows = round(6400 / pixel_nm)
    return histogram_image(table, (rows, rows), pixel_nm)


def gaussians(separation_nm: float, sigma_nm: float) -> PairProfile:
    offset = np.arange(-100, 101) * 1.0
    height = sum(norm.pdf(offset, sign * separation_nm / 2, sigma_nm) for sign in (-1, 1))
    return PairProfile(offset, height, 1e4 * height)


def test_the_profile_is_that_of_the_lines_blurred_by_a_pixel() -> None:
    profile = pair_profile(lines(30.0, 5.0), CENTRES_NM, PIXEL_NM)
    edges = profile.offset_nm[:, None] + np.array([-0.5, 0.5]) * PIXEL_NM
    expected = sum(np.diff(norm.cdf(edges, s, 5.0))[:, 0] / 2 for s in (-15, 15))
    # Averaging over the step of 3.5 nm blurs a little more.
    assert profile.intensity == pytest.approx(expected, abs=0.02)
    assert profile.counts.sum() == pytest.approx(200_000, rel=0.01)


def test_two_lines_that_share_every_pixel_of_one_grid_are_told_apart_by_phases() -> None:
    dip = dip_between_peaks(pair_profile(lines(17.0, 0.5), CENTRES_NM, PIXEL_NM), 40)
    assert dip.depth > 0.26
    assert dip.peak_distance_nm == pytest.approx(17, abs=7)


def test_the_dip_of_two_gaussians_is_that_of_the_formula() -> None:
    dip = dip_between_peaks(gaussians(30, 10), 40)
    # At ±15 nm: 1 + exp(−30²/200) of one line; in the middle: 2 exp(−15²/200); the peaks lie
    # slightly further in and are slightly higher.
    assert dip.depth == pytest.approx(1 - 2 * np.exp(-1.125) / (1 + np.exp(-4.5)), abs=0.005)
    assert dip.peak_distance_nm == pytest.approx(30, abs=2)


@given(st.floats(0, 1.99), st.floats(4, 20))
def test_two_gaussians_closer_than_two_sigma_are_one_peak(ratio: float, sigma: float) -> None:
    dip = dip_between_peaks(gaussians(ratio * sigma, sigma), 40)
    assert dip.depth == pytest.approx(0, abs=1e-9)


def test_the_lower_peak_decides() -> None:
    offset = np.array([-20.0, -10.0, 0.0, 10.0, 20.0])
    profile = PairProfile(offset, np.array([0, 10.0, 3, 4, 0]), np.full(5, 100.0))
    dip = dip_between_peaks(profile, 20)
    assert dip.depth == pytest.approx(0.25)
    assert dip.counting_error == pytest.approx(0.75 * np.sqrt(2 / 100))
    assert dip.peak_distance_nm == 20


def test_its_counting_error_is_the_scatter_of_repeated_draws() -> None:
    rng = np.random.default_rng(7)
    profile = gaussians(30, 10)
    mean = 20_000 * profile.intensity
    draws = [rng.poisson(mean).astype(float) for _ in range(300)]
    valley, peak = 100, 85
    depths = [1 - draw[valley] / draw[peak] for draw in draws]
    fixed = PairProfile(profile.offset_nm, profile.intensity, mean)
    assert dip_between_peaks(fixed, 40).counting_error == pytest.approx(np.std(depths), rel=0.15)


def test_pairs_at_one_phase_do_not_sample_a_fine_profile() -> None:
    with pytest.raises(InputError, match="more phases"):
        pair_profile(lines(30.0, 5.0), [CENTRES_NM[0]], PIXEL_NM)


def test_pairs_that_are_not_there_are_refused() -> None:
    image = lines(30.0, 5.0)
    with pytest.raises(InputError, match="holds nothing within 100 nm of the line pair at 9000"):
        pair_profile(image, [9000.0], PIXEL_NM)
    with pytest.raises(InputError, match="at least one"):
        pair_profile(image, [], PIXEL_NM)


def test_a_search_below_the_step_is_refused() -> None:
    with pytest.raises(InputError, match="widen"):
        dip_between_peaks(gaussians(30, 10), 0.5)


def test_all_larger_distances_must_be_resolved_too() -> None:
    separations = [15.0, 20.0, 25.0, 30.0]
    assert smallest_resolved_nm(separations, [0.5, 0.2, 0.3, 0.9]) == 25
    assert smallest_resolved_nm(separations[::-1], [0.9, 0.3, 0.4, 0.26]) == 15
    assert smallest_resolved_nm(separations, [0.9, 0.9, 0.9, 0.1]) is None
