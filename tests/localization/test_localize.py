from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError

from deepstorm.errors import InputError
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.localization.localize import LocalizationSettings, localize_frames
from deepstorm.localization.noise import CameraNoise
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import IdealCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie

PIXEL_NM = 100.0


def movie_of(density_per_um2: float, frames: int, seed: int = 1):
    settings = SimulationSettings(
        frames=frames,
        height_px=48,
        width_px=64,
        density_per_um2=density_per_um2,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=2000.0),
        psf=GaussianPsf(relative_spread=0.0),
        camera=IdealCamera(),
    )
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return movie.truth, np.concatenate(list(movie.frames()))


def test_a_sparse_movie_is_localized_with_nothing_else_said():
    truth, frames = movie_of(0.3, 60)

    found = localize_frames(frames, PIXEL_NM)
    scores = score_emitters(found, truth, 100.0)

    assert scores.recall > 0.85
    assert scores.precision > 0.95
    assert scores.rmse_nm < 30
    assert set(found.columns()) >= {"photons", "sigma_nm", "background_photons", "uncertainty_nm"}
    # Calibration tells the photons per count to some 10 %.
    assert np.median(found.photons) == pytest.approx(np.median(truth.photons), rel=0.3)
    assert np.median(found.sigma_nm) == pytest.approx(110, rel=0.03)
    assert np.all(np.diff(found.frame) >= 0)


def test_blocks_of_frames_make_no_difference(monkeypatch):
    _, frames = movie_of(0.5, 8)
    whole = localize_frames(frames, PIXEL_NM, CameraNoise(), sigma_px=1.1)
    monkeypatch.setattr("deepstorm.localization.spots.PIXELS_PER_BLOCK", 3 * 48 * 64)
    blocks = localize_frames(frames, PIXEL_NM, CameraNoise(), sigma_px=1.1)

    assert whole.frame.max() > 5
    for name, column in whole.columns().items():
        np.testing.assert_allclose(blocks.columns()[name], column, rtol=1e-6)


def test_an_emitter_is_reported_once():
    _, frames = movie_of(3.0, 10)
    found = localize_frames(frames, PIXEL_NM, CameraNoise(), sigma_px=1.1)

    for frame in range(10):
        here = found.select(found.frame == frame)
        distance = np.hypot(
            here.x_nm[:, None] - here.x_nm, here.y_nm[:, None] - here.y_nm
        ) + 1e6 * np.eye(len(here))
        assert distance.min() >= 110


def test_the_microtubules_of_the_paper_are_localized(microtubules_folder: Path, microtubules_truth):
    frames = tifffile.imread(microtubules_folder / "movie.tif")[:40]
    truth = microtubules_truth.select(microtubules_truth.frame < 40)

    found = localize_frames(frames, PIXEL_NM, CameraNoise(100.0, 4.0), sigma_px=1.09)
    scores = score_emitters(found, truth, 100.0)

    # Most emitters overlap along the filaments, and are no single spots.
    assert scores.precision > 0.9
    assert scores.jaccard > 1.3 * scores.chance_jaccard
    assert scores.rmse_nm < 50


def test_empty_frames_give_an_empty_table():
    found = localize_frames(np.full((2, 20, 20), 7.0), PIXEL_NM, CameraNoise(), sigma_px=1.1)

    assert len(found) == 0


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        (np.ones((20, 20)), {}, "frame, y, x"),
        (np.full((1, 20, 20), np.nan), {}, "not finite"),
        (np.ones((1, 20, 20)), {"sigma_px": -1.0}, "sigma"),
        (np.ones((1, 4, 20)), {"sigma_px": 1.1, "noise": CameraNoise()}, "9 × 9"),
        (np.ones((1, 20, 20)), {"noise": CameraNoise(zero_adu=np.ones((3, 3)))}, "map"),
    ],
)
def test_what_cannot_be_localized_is_refused(frames, options, message):
    with pytest.raises(InputError, match=message):
        localize_frames(frames, PIXEL_NM, **options)


def test_a_pixel_without_size_is_refused():
    with pytest.raises(InputError, match="pixel size"):
        localize_frames(np.ones((1, 20, 20)), 0.0, CameraNoise(), sigma_px=1.1)


def test_widths_beyond_what_is_sought_are_refused():
    with pytest.raises(ValidationError, match="between"):
        LocalizationSettings(widest=5)
