from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from deepstorm.errors import InputError
from deepstorm.evaluation.precision import localization_bound_nm
from deepstorm.localization.bounds import covariance, cramer_rao_nm


def mortensen_nm(photons: float, background: float, sigma_nm: float, pixel_nm: float) -> float:
    """Equation 5 of Mortensen et al., Nature Methods 7, 377 (2010), doi:10.1038/nmeth.1447."""
    variance = sigma_nm**2 + pixel_nm**2 / 12
    contrast = photons * pixel_nm**2 / (2 * np.pi * variance * background)
    lost, _ = quad(lambda t: np.log(t) / (1 + contrast * t), 0, 1)
    return float(np.sqrt(variance / photons / (1 + lost)))


@pytest.mark.parametrize("background", [2.0, 50.0])
@pytest.mark.parametrize("photons", [500.0, 5000.0])
def test_agrees_with_the_formula_of_mortensen(photons, background):
    bound = cramer_rao_nm(photons, background, 110.0, 100.0)

    assert bound == pytest.approx(mortensen_nm(photons, background, 110.0, 100.0), rel=0.03)


def test_agrees_with_the_bound_that_scores_are_compared_with():
    photons, background = np.array([300.0, 1500.0]), np.array([0.0, 20.0])

    np.testing.assert_allclose(
        cramer_rao_nm(photons, background, 110.0, 100.0),
        localization_bound_nm(photons, background, 110.0, 100.0),
        rtol=1e-3,
    )


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


def test_tables_longer_than_a_portion_are_measured_entry_by_entry(monkeypatch):
    photons = np.array([[500.0, 800.0, 1300.0], [2100.0, 3400.0, 5500.0]])
    whole = cramer_rao_nm(photons, 10.0, 110.0, 100.0)
    monkeypatch.setattr("deepstorm.localization.bounds.EMITTERS_PER_PORTION", 4)

    np.testing.assert_allclose(cramer_rao_nm(photons, 10.0, 110.0, 100.0), whole)
    assert cramer_rao_nm(np.empty(0), 10.0, 110.0, 100.0).shape == (0,)


def test_matrices_of_unequal_entries_are_inverted():
    matrix = np.array([[[1e8, 10.0], [10.0, 1e-4]]])

    np.testing.assert_allclose(covariance(matrix)[0] @ matrix[0], np.eye(2), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.0, 1.0, 110.0, 100.0), {}, "photons of an emitter"),
        ((10.0, -1.0, 110.0, 100.0), {}, "background"),
        ((10.0, 1.0, 0.0, 100.0), {}, "sigma"),
        ((10.0, 1.0, 110.0, 0.0), {}, "pixel size"),
        ((10.0, 1.0, 110.0, 100.0), {"excess_factor": 0.0}, "excess factor"),
    ],
)
def test_what_cannot_be_is_refused(arguments, options, message):
    with pytest.raises(InputError, match=message):
        cramer_rao_nm(*arguments, **options)
