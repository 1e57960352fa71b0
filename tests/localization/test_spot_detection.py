from __future__ import annotations

import numpy as np
import pytest

from deepstorm.localization.detection import (
    difference_of_gaussians,
    find_peaks,
    significance_map,
)


@pytest.mark.parametrize("kind", ["ideal", "emccd", "scmos"])
def test_background_has_unit_significance(exposed, kind):
    frames, noise = exposed(kind, np.full((40, 64, 64), 20.0), 2)

    significance = significance_map(noise.to_photons(frames), noise, 1.1)

    assert significance.std() == pytest.approx(1, abs=0.04)
    # Beyond the border the frame is repeated, which makes it a little noisier there.
    assert significance[:, 8:-8, 8:-8].std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["ideal", "scmos"])
def test_background_has_hardly_any_peaks(exposed, kind):
    frames, noise = exposed(kind, np.full((100, 64, 64), 20.0), 4)

    # 400,000 pixels, a few of which see the same noise: a normal tail of 3.4e-6 beyond 4.5.
    assert len(find_peaks(noise.to_photons(frames), noise, 1.1, 4.5)) < 12


def test_every_emitter_is_found_where_it_is(lone_emitters):
    scene = lone_emitters("emccd", 500.0, 200)
    peaks = find_peaks(scene.noise.to_photons(scene.frames), scene.noise, 1.1, 6.0)

    x_px, y_px = scene.x_px[peaks.frame], scene.y_px[peaks.frame]
    near = np.hypot(peaks.column + 0.5 - x_px, peaks.row + 0.5 - y_px) < 1.6
    assert set(peaks.frame[near]) == set(range(200))
    assert np.count_nonzero(~near) <= 1


def test_a_pixel_of_much_read_noise_is_no_peak(exposed):
    light = np.full((50, 32, 32), 20.0)
    frames, noise = exposed("ideal", light, 1)
    read = np.zeros((32, 32))
    read[16, 16] = 100.0
    frames = frames + read * np.random.default_rng(0).normal(size=frames.shape)
    aware = type(noise)(read_variance=read**2)

    at_pixel = [
        np.count_nonzero((peaks.row == 16) & (peaks.column == 16))
        for peaks in (find_peaks(frames, camera, 1.1, 4.5) for camera in (noise, aware))
    ]
    assert at_pixel[0] > 15
    assert at_pixel[1] == 0


def test_the_filter_ignores_even_background():
    assert difference_of_gaussians(1.1).sum() == pytest.approx(0, abs=1e-9)


def test_what_is_taken_away_still_makes_noise(lone_emitters):
    scene = lone_emitters("ideal", 10_000.0, 100)
    light = np.median(scene.frames, axis=0)[None]  # other frames' spots are not this one's
    rest = scene.frames - light

    alone = find_peaks(rest, scene.noise, 1.1, 4.0, expected=scene.frames)
    careless = find_peaks(rest, scene.noise, 1.1, 4.0)

    assert len(alone) < len(careless)
