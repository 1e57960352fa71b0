from __future__ import annotations

import numpy as np
import pytest

from deepstorm.errors import InputError
from deepstorm.localization.bounds import cramer_rao_nm
from deepstorm.localization.detection import Peaks
from deepstorm.localization.fitting import fit_windows
from deepstorm.localization.noise import CameraNoise
from deepstorm.localization.spot_model import expected_light
from deepstorm.localization.windows import cut_windows

MIDDLE = 10


def middle_peaks(n: int) -> Peaks:
    middle = np.full(n, MIDDLE)
    return Peaks(np.arange(n), middle, middle, np.ones(n))


def fitted(scene, *, free_width=True, sigma_px=1.1, reach_px=4):
    photons = scene.noise.to_photons(scene.frames)
    windows = cut_windows(photons, middle_peaks(len(photons)), scene.noise, reach_px)
    fits = fit_windows(
        windows,
        sigma_px,
        free_width=free_width,
        fourth_cumulant=scene.noise.fourth_cumulant,
    )
    found = fits.parameters[:, :2] + MIDDLE - reach_px
    return fits, found - np.stack([scene.x_px, scene.y_px], axis=1)


@pytest.mark.parametrize("kind", ["ideal", "emccd", "scmos"])
@pytest.mark.parametrize("photons", [500.0, 10_000.0])
def test_reaches_the_bound_without_bias_and_says_so(lone_emitters, kind, photons):
    scene = lone_emitters(kind, photons, 1500)
    fits, errors_px = fitted(scene)
    bound_px = cramer_rao_nm(
        photons,
        20.0,
        110.0,
        100.0,
        excess_factor=scene.noise.excess_factor,
        read_variance=float(np.mean(scene.noise.read_variance)),
    )
    rmse_px = np.sqrt((errors_px**2).mean())

    assert fits.converged.all()
    assert rmse_px / (bound_px / 100) == pytest.approx(1, abs=0.06)
    # A mean of 1500 is known to 0.026 bounds.
    assert np.abs(errors_px.mean(axis=0)).max() < 0.1 * bound_px / 100
    assert np.sqrt((fits.errors[:, :2] ** 2).mean()) / rmse_px == pytest.approx(1, abs=0.06)
    for column, true in ((2, photons / scene.noise.excess_factor), (4, 1.1)):
        values = fits.parameters[:, column]
        assert values.mean() == pytest.approx(true, rel=0.015)
        assert values.std() / fits.errors[:, column].mean() == pytest.approx(1, abs=0.08)


def test_a_held_width_is_held_and_measures_light_better(lone_emitters):
    scene = lone_emitters("ideal", 800.0, 600)
    free, _ = fitted(scene)
    held, _ = fitted(scene, free_width=False)

    assert np.all(held.parameters[:, 4] == 1.1)
    assert np.all(held.errors[:, 4] == 0)
    assert held.parameters[:, 2].std() < 0.9 * free.parameters[:, 2].std()
    assert held.errors[:, 2].mean() < free.errors[:, 2].mean()


def test_starts_far_from_the_truth_end_at_the_same_place(lone_emitters):
    scene = lone_emitters("ideal", 2000.0, 200)
    near, _ = fitted(scene, sigma_px=1.1)
    far, _ = fitted(scene, sigma_px=1.9)

    assert far.converged.mean() > 0.98
    difference = (near.parameters - far.parameters)[far.converged] / near.errors[far.converged]
    assert np.abs(difference).max() < 0.05


def test_light_without_noise_is_found_exactly():
    truth = np.array([[4.3, 4.8, 900.0, 5.0, 1.3], [4.9, 4.1, 30.0, 0.5, 0.9]])
    frames = expected_light(truth, 9).reshape(2, 9, 9)
    peaks = Peaks(np.arange(2), np.array([4, 4]), np.array([4, 4]), np.ones(2))
    fits = fit_windows(cut_windows(frames, peaks, CameraNoise(), 4), 1.1, free_width=True)

    np.testing.assert_allclose(fits.parameters, truth, rtol=1e-2)
    assert np.all(fits.quality.p_value > 0.99)


def test_pixels_of_much_read_noise_are_believed_less(lone_emitters):
    scene = lone_emitters("ideal", 500.0, 500)
    rng = np.random.default_rng(0)
    read = np.ones(scene.frames.shape[1:])
    read[MIDDLE, MIDDLE + 1] = 60.0
    frames = scene.frames + read * rng.normal(size=scene.frames.shape)

    def rmse(noise):
        photons = noise.to_photons(frames)
        windows = cut_windows(photons, middle_peaks(len(frames)), noise, 4)
        fits = fit_windows(windows, 1.1, free_width=False)
        errors = fits.parameters[:, 0] + MIDDLE - 4 - scene.x_px
        return np.sqrt((errors**2).mean()), fits.errors[:, 0]

    aware, stated = rmse(CameraNoise(read_variance=read**2))
    unaware, _ = rmse(CameraNoise(read_variance=1.0))

    assert aware < 0.6 * unaware
    assert np.sqrt((stated**2).mean()) / aware == pytest.approx(1, abs=0.1)


def test_noise_alone_gives_finite_fits():
    rng = np.random.default_rng(2)
    frames = rng.poisson(0.05, (300, 21, 21)).astype(float)
    windows = cut_windows(frames, middle_peaks(300), CameraNoise(), 4)
    fits = fit_windows(windows, 1.1, free_width=True)

    assert np.isfinite(fits.parameters).all()
    assert np.isfinite(fits.errors).all()


def test_windows_at_the_border_keep_their_places():
    truth = np.array([[1.4, 8.2, 900.0, 5.0, 1.1]])
    frames = expected_light(truth, 10).reshape(1, 10, 10)
    peaks = Peaks(np.array([0]), np.array([8]), np.array([1]), np.ones(1))
    windows = cut_windows(frames, peaks, CameraNoise(), 3)
    fits = fit_windows(windows, 1.1, free_width=True)

    assert fits.parameters[0, 0] + windows.first_column[0] == pytest.approx(1.4, abs=0.01)
    assert fits.parameters[0, 1] + windows.first_row[0] == pytest.approx(8.2, abs=0.01)


def test_no_windows_give_no_fits():
    windows = cut_windows(np.ones((1, 9, 9)), middle_peaks(0), CameraNoise(), 3)

    assert len(fit_windows(windows, 1.1, free_width=True)) == 0


def test_frames_smaller_than_a_window_are_refused():
    with pytest.raises(InputError, match="9 × 9"):
        cut_windows(np.ones((1, 8, 20)), middle_peaks(1), CameraNoise(), 4)
