from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from deepstorm.localization.isolated import Doubt, isolated
from deepstorm.localization.noise import CameraNoise
from deepstorm.simulation.psf import render_emitters

PIXEL_NM = 100.0
SIZE_PX = 40
FRAMES = 30


def exposed_emitters(emitters, sigma_px=1.1, seed=4):
    """Expose the same emitters (x_px, y_px, photons) in each frame."""
    x_px, y_px, photons = np.tile(np.array(emitters, float).T, FRAMES)
    frame = np.repeat(np.arange(FRAMES), len(emitters))
    light = render_emitters(
        frame, x_px, y_px, photons, np.full(len(frame), sigma_px), (FRAMES, SIZE_PX, SIZE_PX)
    )
    return np.random.default_rng(seed).poisson(light + 20.0).astype(np.float64)


def found_in(emitters, sigma_px=1.1):
    return isolated(exposed_emitters(emitters, sigma_px), PIXEL_NM, CameraNoise(), sigma_px=1.1)


def near(table, x_px, y_px, radius_px=2.5):
    return np.hypot(table.x_nm / PIXEL_NM - x_px, table.y_nm / PIXEL_NM - y_px) < radius_px


def test_lone_emitters_are_accepted_and_their_light_is_not_in_doubt():
    result = found_in([(12.3, 11.6, 1500.0), (27.7, 26.2, 6000.0)])

    for x_px, y_px in ((12.3, 11.6), (27.7, 26.2)):
        assert near(result.emitters, x_px, y_px).sum() >= 0.95 * FRAMES
        assert near(result.doubtful, x_px, y_px, 4.0).sum() <= 0.05 * FRAMES
    assert len(result.emitters) <= 2 * FRAMES
    assert len(result.doubtful) < 0.2 * FRAMES


@pytest.mark.parametrize(
    ("emitters", "reasons"),
    [
        ([(20.2, 20.4, 2000.0), (24.4, 20.1, 2000.0)], {Doubt.CROWDED}),
        ([(20.2, 20.4, 6000.0), (21.9, 21.5, 6000.0)], {Doubt.ELONGATED, Doubt.WIDTH}),
        ([(20.2, 20.4, 9000.0), (21.0, 21.2, 9000.0)], {Doubt.ELONGATED}),
        ([(20.2, 2.4, 3000.0)], {Doubt.BORDER}),
        ([(20.2, 20.4, 120.0)], {Doubt.FAINT}),
    ],
    ids=["neighbours", "overlap", "close pair", "border", "faint"],
)
def test_other_light_is_in_doubt(emitters, reasons):
    result = found_in(emitters)
    x_px, y_px = np.mean(np.array(emitters)[:, :2], axis=0)
    there = near(result.doubtful, x_px, y_px, 4.0)

    assert near(result.emitters, x_px, y_px, 4.0).sum() <= 0.07 * FRAMES
    assert len(set(result.doubtful.frame[there])) >= 0.85 * FRAMES
    assert np.isin(result.doubt[there], list(reasons)).mean() > 0.85


def test_what_is_out_of_focus_is_in_doubt():
    result = found_in([(20.2, 20.4, 4000.0)], sigma_px=1.6)

    assert len(result.emitters) == 0
    assert Doubt.WIDTH in result.doubt


def test_a_faint_neighbour_on_the_flank_is_seen_once_the_bright_one_is_taken_away():
    result = found_in([(20.2, 20.4, 8000.0), (23.6, 20.4, 1600.0)])

    assert near(result.emitters, 20.2, 20.4, 4.0).sum() <= 0.1 * FRAMES


def test_no_light_gives_no_emitters_and_nothing_in_doubt():
    result = isolated(np.full((2, 20, 20), 20.0), PIXEL_NM, CameraNoise(), sigma_px=1.1)

    assert len(result.emitters) == len(result.doubtful) == len(result.doubt) == 0


def test_real_molecules_are_accepted(reference_data: Path):
    frames = tifffile.imread(reference_data / "real-sparse-tirf" / "movie.tif")
    result = isolated(frames, 117.0)

    # About 25 molecules a frame, some of them at the border or close to others.
    assert 150 < len(result.emitters) < 300
    assert result.sigma_px == pytest.approx(0.9, abs=0.06)
    assert np.median(result.emitters.uncertainty_nm) < 8
    assert len(result.doubt) == len(result.doubtful)
