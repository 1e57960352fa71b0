from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from deepstorm.localization.detection import Peaks
from deepstorm.localization.fitting import fit_windows
from deepstorm.localization.noise import CameraNoise
from deepstorm.localization.windows import cut_windows
from deepstorm.simulation.psf import render_emitters

MIDDLE = 10


def quality_of(frames, noise, sigma_px=1.1, free_width=True):
    middle = np.full(len(frames), MIDDLE)
    peaks = Peaks(np.arange(len(frames)), middle, middle, np.ones(len(frames)))
    windows = cut_windows(noise.to_photons(frames), peaks, noise, 4)
    return fit_windows(
        windows, sigma_px, free_width=free_width, fourth_cumulant=noise.fourth_cumulant
    ).quality


@pytest.mark.parametrize("kind", ["ideal", "emccd", "scmos"])
def test_p_values_of_single_emitters_are_uniform(lone_emitters, kind):
    scene = lone_emitters(kind, 1000.0, 800)
    quality = quality_of(scene.frames, scene.noise)

    assert kstest(quality.p_value, "uniform").pvalue > 1e-3
    assert quality.chi_square.mean() == pytest.approx(1, abs=0.03)
    # Each of two components is normal, so that their length has a Rayleigh distribution.
    relative = quality.elongation / quality.elongation_error
    assert np.median(relative) == pytest.approx(np.sqrt(2 * np.log(2)), rel=0.08)


def pairs_of_emitters(distance_px, angle, photons, n, background=20.0):
    rng = np.random.default_rng(6)
    centre = MIDDLE + rng.random((2, n))
    shift = 0.5 * distance_px * np.array([np.cos(angle), np.sin(angle)])[:, None]
    x_px, y_px = np.concatenate([centre + shift, centre - shift], axis=1)
    frame = np.tile(np.arange(n), 2)
    order = np.argsort(frame, kind="stable")
    light = render_emitters(
        frame[order],
        x_px[order],
        y_px[order],
        np.full(2 * n, photons / 2),
        np.full(2 * n, 1.1),
        (n, 21, 21),
    )
    return rng.poisson(light + background).astype(float)


@pytest.mark.parametrize("angle", [0.0, np.pi / 4, 2.0])
def test_two_emitters_are_elongated_in_any_direction(angle):
    distance_px = 1.1
    quality = quality_of(pairs_of_emitters(distance_px, angle, 20_000.0, 100), CameraNoise())

    # The variance along their line grows by a quarter of the squared distance.
    added = distance_px**2 / 4
    expected = added / (2 * 1.1**2 + added)
    assert np.median(quality.elongation) == pytest.approx(expected, rel=0.25)
    assert np.median(quality.elongation / quality.elongation_error) > 5


def test_two_separate_emitters_do_not_fit():
    quality = quality_of(pairs_of_emitters(3.3, 0.4, 5000.0, 60), CameraNoise())

    assert np.all(quality.p_value < 1e-3)
    assert np.median(quality.misfit) > 0.15


def test_misfit_is_the_part_of_the_light_that_is_elsewhere(lone_emitters):
    scene = lone_emitters("ideal", 50_000.0, 100)
    narrow = quality_of(scene.frames, scene.noise, sigma_px=1.0, free_width=False)
    right = quality_of(scene.frames, scene.noise, sigma_px=1.1, free_width=False)

    assert np.median(right.misfit) < 0.02
    assert 0.05 < np.median(narrow.misfit) < 0.12
