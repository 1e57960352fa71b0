from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import erf

from deepstorm.simulation import psf as psf_module
from deepstorm.simulation.psf import (
    REACH_SIGMA,
    GaussianPsf,
    integrated_gaussian,
    render_emitters,
)
from deepstorm.structures import FloatArray

PHOTONS = 1000.0
# Light beyond the reach on both sides of both axes.
LOST = 2 * (1 - erf(REACH_SIGMA / np.sqrt(2)))


def image(
    x_px: float, y_px: float, sigma_px: float = 1.2, shape: tuple[int, int] = (30, 40)
) -> FloatArray:
    """One emitter of 1000 photons on one frame."""
    x, y, photons, sigma = np.array([[x_px], [y_px], [PHOTONS], [sigma_px]])
    movie = render_emitters(np.zeros(1, np.int64), x, y, photons, sigma, (1, *shape))
    return np.asarray(movie[0])


def test_a_halo_holds_its_share_of_the_light_in_a_wider_gaussian() -> None:
    psf = GaussianPsf(sigma_nm=100.0, halo_share=0.3, halo_width=2.5)
    x, y, photons, sigma = np.array([[20.2], [19.6], [PHOTONS], [1.0]])
    found = psf.render(np.zeros(1, np.int64), x, y, photons, sigma, (1, 40, 40))[0]
    expected = 0.7 * image(20.2, 19.6, 1.0, (40, 40)) + 0.3 * image(20.2, 19.6, 2.5, (40, 40))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_faint_halo_from_beyond_the_field_reaches_into_it() -> None:
    plain, halo = GaussianPsf(sigma_nm=100.0), GaussianPsf(sigma_nm=100.0, halo_share=0.2)
    assert halo.reach_nm == 600.0 > plain.reach_nm


def test_agrees_with_a_finely_sampled_gaussian() -> None:
    sigma, x, y, fine = 1.1, 8.37, 6.81, 40
    step = 1 / fine
    grid_x = (np.arange(18 * fine) + 0.5) * step
    grid_y = (np.arange(15 * fine) + 0.5) * step
    square = (grid_x[None, :] - x) ** 2 + (grid_y[:, None] - y) ** 2
    density = PHOTONS * np.exp(-square / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    expected = density.reshape(15, fine, 18, fine).sum((1, 3)) * step**2
    # Error of the midpoint rule: step²/24 (|f_xx| + |f_yy|), and f_xx is at most f(0)/sigma².
    tolerance = step**2 / 24 * 2 * density.max() / sigma**2
    np.testing.assert_allclose(image(x, y, sigma, (15, 18)), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("x_px", "y_px"), [(-0.5, 15.0), (40.5, 15.0), (20.0, -0.5), (20.0, 30.5)])
def test_emitters_outside_the_field_give_light_inside(x_px: float, y_px: float) -> None:
    beyond = 0.5 * (1 - erf(0.5 / (np.sqrt(2) * 1.2)))
    assert image(x_px, y_px).sum() == pytest.approx(PHOTONS * beyond, rel=3 * LOST / beyond)


@given(st.floats(-5, 5), st.floats(0.3, 3), st.integers(-4, 4), st.integers(1, 10))
@settings(max_examples=50, deadline=None)
def test_pixel_fractions_are_differences_of_the_normal_distribution(
    position: float, sigma: float, first: int, width: int
) -> None:
    fraction = integrated_gaussian(
        np.array([position]), np.array([sigma]), np.array([first]), width
    )
    edges = (np.array([first, first + width]) - position) / (np.sqrt(2) * sigma)
    assert fraction.shape == (1, width)
    assert fraction.sum() == pytest.approx(0.5 * (erf(edges[1]) - erf(edges[0])), abs=1e-12)


def test_emitters_add_up_in_their_own_frames() -> None:
    rng = np.random.default_rng(2)
    frame = np.array([0, 0, 2, 2, 2])
    x, y = rng.uniform(8, 12, (2, 5))
    photons, sigma = rng.uniform(100, 2000, 5), np.full(5, 1.25)
    movie = render_emitters(frame, x, y, photons, sigma, (3, 20, 22))
    assert movie.shape == (3, 20, 22)
    single = [image(x[i], y[i], 1.25, (20, 22)) * photons[i] / PHOTONS for i in range(5)]
    np.testing.assert_allclose(movie[0], single[0] + single[1], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(movie[1], 0)
    np.testing.assert_allclose(movie[2], sum(single[2:]), rtol=1e-12, atol=1e-12)


def test_each_emitter_has_its_own_width() -> None:
    centre = np.full(2, 20.5)
    movie = render_emitters(
        np.array([0, 1]), centre, centre, np.full(2, PHOTONS), np.array([1.0, 2.0]), (2, 41, 41)
    )
    offset = np.arange(41) - 20.0
    for spot, sigma in zip(movie, (1.0, 2.0), strict=True):
        # Integration over a pixel adds the variance of a pixel, 1/12. The tail that is cut off
        # beyond 5 sigma would add 27 times its light, in units of sigma².
        variance = spot.sum(0) @ offset**2 / spot.sum()
        assert variance == pytest.approx(sigma**2 + 1 / 12, abs=30 * LOST * sigma**2)


def test_no_emitters_give_no_light() -> None:
    empty = np.empty(0)
    movie = render_emitters(np.empty(0, np.int64), empty, empty, empty, empty, (2, 5, 6))
    assert movie.shape == (2, 5, 6)
    assert not movie.any()


def test_portions_of_emitters_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    frame = np.sort(rng.integers(0, 4, 50))
    x, y = rng.uniform(-2, 18, (2, 50))
    arguments = (frame, x, y, rng.uniform(1, 100, 50), rng.uniform(0.8, 1.6, 50), (4, 16, 16))
    whole = render_emitters(*arguments)
    monkeypatch.setattr(psf_module, "EMITTERS_PER_PORTION", 7)
    np.testing.assert_allclose(render_emitters(*arguments), whole, rtol=1e-12, atol=1e-12)


def test_widths_have_the_requested_mean_and_spread() -> None:
    n, psf = 20_000, GaussianPsf(sigma_nm=120.0, relative_spread=0.05)
    width = psf.sample_sigma_nm(n, np.random.default_rng(4))
    spread = 120.0 * 0.05
    assert width.mean() == pytest.approx(120.0, abs=5 * spread / np.sqrt(n))
    assert width.std() == pytest.approx(spread, abs=5 * spread / np.sqrt(2 * n))


def test_widths_stay_within_a_factor_of_two() -> None:
    width = GaussianPsf(relative_spread=0.5).sample_sigma_nm(5000, np.random.default_rng(5))
    assert width.min() == 55.0
    assert width.max() == 220.0


@pytest.mark.parametrize("values", [{"sigma_nm": 0}, {"relative_spread": 0.6}, {"sigma": 100}])
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        GaussianPsf.model_validate(values)
