from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

from deepstorm.errors import InputError
from deepstorm.localization.bounds import (
    at_the_bound,
    covariance,
    cramer_rao_nm,
    emitter_bounds,
)
from deepstorm.simulation.psf import render_emitters
from deepstorm.structures import Localizations


def mortensen_nm(photons: float, background: float, sigma_nm: float, pixel_nm: float) -> float:
    """Equation 5 of Mortensen et al., Nature Methods 7, 377 (2010), doi:10.1038/nmeth.1447."""
    variance = sigma_nm**2 + pixel_nm**2 / 12
    contrast = photons * pixel_nm**2 / (2 * np.pi * variance * background)
    lost, _ = quad(lambda t: np.log(t) / (1 + contrast * t), 0, 1)
    return float(np.sqrt(variance / photons / (1 + lost)))


@pytest.mark.parametrize("background", [2.0, 19.0, 50.0])
@pytest.mark.parametrize("photons", [500.0, 1450.0, 5000.0])
@pytest.mark.parametrize(("sigma_nm", "pixel_nm"), [(110.0, 100.0), (130.0, 100.0), (109.0, 117.0)])
def test_agrees_with_the_formula_of_mortensen(photons, background, sigma_nm, pixel_nm):
    bound = cramer_rao_nm(photons, background, sigma_nm, pixel_nm)

    assert bound == pytest.approx(mortensen_nm(photons, background, sigma_nm, pixel_nm), rel=0.03)


def test_without_background_each_photon_tells_the_position_to_within_sigma():
    bound = cramer_rao_nm(1000.0, 0.0, 100.0, 20.0)

    assert bound == pytest.approx(np.hypot(100, 20 / np.sqrt(12)) / np.sqrt(1000), rel=1e-3)


def test_without_background_the_signal_has_the_noise_of_its_own_count():
    assert emitter_bounds(900.0, 0.0, 1.1).photons == pytest.approx(30, rel=1e-3)


def test_a_known_background_gives_the_bound_of_photons_alone():
    photons, background, sigma_px = 1000.0, 20.0, 1.1
    at = np.array([0.25])
    spot = render_emitters(
        np.array([0]), 20 + at, 20 + at, np.ones(1), np.array([sigma_px]), (1, 41, 41)
    )
    alone = 1 / np.sqrt((spot**2 / (photons * spot + background)).sum())

    wide = emitter_bounds(photons, background, sigma_px, reach_px=20)

    assert wide.photons == pytest.approx(alone, rel=0.02)
    assert wide.background_photons == pytest.approx(np.sqrt(background) / 41, rel=0.02)


def test_maximum_likelihood_reaches_the_bound():
    rng = np.random.default_rng(11)
    truth = np.array([5.3, 5.6, 1500.0, 20.0])
    estimates = np.array([_fit(rng.poisson(_image(truth)), truth) for _ in range(150)])
    bounds = emitter_bounds(truth[2], truth[3], 1.1, reach_px=5)
    expected = [bounds.position_px, bounds.position_px, bounds.photons, bounds.background_photons]

    # A standard deviation of 150 samples is known to 6 %.
    np.testing.assert_allclose(estimates.std(axis=0) / expected, 1, atol=0.2)


def _image(parameters):
    x, y, photons, background = parameters
    one = np.ones(1)
    return background + render_emitters(
        np.array([0]), x * one, y * one, photons * one, 1.1 * one, (1, 11, 11)
    )


def _fit(image, truth):
    def loss(scaled):
        expected = np.maximum(_image(scaled * truth), 1e-9)
        return float((expected - image * np.log(expected)).sum())

    return minimize(loss, np.ones(4), method="L-BFGS-B").x * truth


@settings(max_examples=30, deadline=None)
@given(
    photons=st.floats(1.0, 1e6),
    background=st.floats(0.0, 1e4),
    sigma_px=st.floats(0.5, 4.0),
)
def test_more_light_and_less_background_never_hurt(photons, background, sigma_px):
    bounds = emitter_bounds(
        np.array([photons, 2 * photons, photons]),
        np.array([background, background, 2 * background + 1]),
        sigma_px,
    )

    assert np.all(np.isfinite(bounds.position_px))
    assert bounds.position_px[1] < bounds.position_px[0] < bounds.position_px[2]
    assert bounds.photons[0] >= np.sqrt(photons) * 0.999
    assert bounds.photons[0] < bounds.photons[2]


def test_tables_longer_than_a_portion_are_measured_entry_by_entry(monkeypatch):
    photons = np.array([[500.0, 800.0, 1300.0], [2100.0, 3400.0, 5500.0]])
    whole = cramer_rao_nm(photons, 10.0, 110.0, 100.0)
    monkeypatch.setattr("deepstorm.localization.bounds.EMITTERS_PER_PORTION", 4)

    np.testing.assert_allclose(cramer_rao_nm(photons, 10.0, 110.0, 100.0), whole)
    single = [cramer_rao_nm(each, 10.0, 110.0, 100.0) for each in photons.ravel()]
    np.testing.assert_allclose(whole.ravel(), single)
    assert cramer_rao_nm(np.empty(0), 10.0, 110.0, 100.0).shape == (0,)


def test_an_excess_factor_of_two_costs_as_much_as_half_the_light():
    emccd = cramer_rao_nm(2000.0, 20.0, 110.0, 100.0, excess_factor=2)

    assert emccd == pytest.approx(float(cramer_rao_nm(1000.0, 10.0, 110.0, 100.0)))
    assert emccd == pytest.approx(np.sqrt(2) * float(cramer_rao_nm(2000.0, 20.0, 110.0, 100.0)))


def test_read_noise_costs_as_much_as_background_of_its_variance():
    noisy = cramer_rao_nm(2000.0, 20.0, 110.0, 100.0, read_variance=5.0)

    assert noisy == pytest.approx(float(cramer_rao_nm(2000.0, 25.0, 110.0, 100.0)))


def test_a_narrow_window_cannot_tell_more():
    narrow = cramer_rao_nm(2000.0, 20.0, 110.0, 100.0, reach_px=2)

    assert narrow > cramer_rao_nm(2000.0, 20.0, 110.0, 100.0)


def test_matrices_of_unequal_entries_are_inverted():
    matrix = np.array([[[1e8, 10.0], [10.0, 1e-4]]])

    np.testing.assert_allclose(covariance(matrix)[0] @ matrix[0], np.eye(2), atol=1e-6)


def test_errors_have_the_size_of_the_bound() -> None:
    count = 4000
    emitters = Localizations(
        np.zeros(count, int),
        np.full(count, 500.0),
        np.full(count, 700.0),
        photons=np.full(count, 1000.0),
        background_photons=np.full(count, 10.0),
    )
    moved = at_the_bound(emitters, 110.0, 100.0, np.random.default_rng(0))
    bound = float(cramer_rao_nm(1000, 10, 110.0, 100.0))
    for found, true in ((moved.x_nm, 500.0), (moved.y_nm, 700.0)):
        assert np.std(found) == pytest.approx(bound, rel=0.05)
        assert np.mean(found) == pytest.approx(true, abs=5 * bound / np.sqrt(count))


def test_the_bound_needs_light() -> None:
    bare = Localizations(np.zeros(1, int), np.zeros(1), np.zeros(1))
    with pytest.raises(InputError, match="photons"):
        at_the_bound(bare, 110.0, 100.0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.0, 1.0, 110.0, 100.0), {}, "photons of an emitter"),
        ((np.nan, 1.0, 110.0, 100.0), {}, "photons of an emitter"),
        ((10.0, -1.0, 110.0, 100.0), {}, "background"),
        ((10.0, 1.0, 0.0, 100.0), {}, "sigma"),
        ((10.0, 1.0, 110.0, 0.0), {}, "pixel size"),
        ((10.0, 1.0, 110.0, 100.0), {"excess_factor": 0.0}, "excess factor"),
    ],
)
def test_what_cannot_be_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        cramer_rao_nm(*arguments, **options)


def test_a_window_of_one_pixel_is_refused():
    with pytest.raises(InputError, match="window"):
        emitter_bounds(100.0, 1.0, 1.1, reach_px=0)
