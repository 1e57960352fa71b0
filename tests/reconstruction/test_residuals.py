"""What is left of frames whose expectation is known exactly has the statistics of noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from deepstorm.reconstruction.goodness import BLOCK_PX, STATISTICS, FitSums
from deepstorm.reconstruction.residuals import EVERY, Explained, residual_sums
from deepstorm.simulation.psf import render_emitters

SIGMA_PX = 1.2
Array = npt.NDArray[np.float64]


def explained(
    seed: int = 0,
    *,
    frames: int = 8,
    shape: tuple[int, int] = (40, 52),
    background: float = 30.0,
    emitters: int = 20,
    sigma_px: float = SIGMA_PX,
    told_px: float = SIGMA_PX,
    noise: bool = True,
) -> Explained:
    """Draw frames whose background and emitters are known."""
    rng = np.random.default_rng(seed)
    frame = np.sort(rng.integers(0, frames, emitters * frames))
    y, x = (rng.uniform(0, length, len(frame)) for length in shape)
    photons, size = rng.uniform(500, 2000, len(frame)), (frames, *shape)
    truth, told = (
        background + render_emitters(frame, x, y, photons, np.full(len(frame), width), size)
        for width in (sigma_px, told_px)
    )
    return Explained(
        numbers=EVERY * np.arange(frames),
        photons=(rng.poisson(truth) if noise else truth).astype(np.float32),
        expected=told.astype(np.float32),
        background=np.full(shape, background),
        frame=frame,
        x_px=x,
        y_px=y,
        emitter_photons=photons,
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), background=st.floats(2, 300))
def test_noise_has_variance_1_and_shares_nothing(seed: int, background: float) -> None:
    sums = residual_sums(explained(seed, background=background), SIGMA_PX)
    for name, wanted in (("all", 1.0), ("near", 1.0), ("away", 1.0), ("finest", 1.0)):
        found = sums.ratio(name)
        assert abs(found.value - wanted) < 5 * found.uncertainty + 0.02, name
        assert found.uncertainty < 0.1
    for name in ("offset", "x1", "y1", "down", "up", "x2", "y2"):
        found = sums.ratio(name)
        assert abs(found.value) < 5 * found.uncertainty + 0.005, name


def test_uncertainties_are_those_of_repetition() -> None:
    found = [residual_sums(explained(seed), SIGMA_PX) for seed in range(60)]
    for name in ("all", "away", "x1", "quiet"):
        ratios = [sums.ratio(name) for sums in found]
        scatter = np.std([each.value for each in ratios])
        assert np.mean([each.uncertainty for each in ratios]) == pytest.approx(scatter, rel=0.35)


@pytest.mark.parametrize("change", ["filtered", "enlarged", "median"])
def test_shared_noise_does_not_alternate(change: str) -> None:
    frames = explained(emitters=0)
    changed = {
        "filtered": lambda x: ndimage.gaussian_filter(x, (0, 0.5, 0.5)),
        "enlarged": lambda x: x[:, :20, :26].repeat(2, 1).repeat(2, 2),
        "median": lambda x: ndimage.median_filter(x, (1, 3, 3)),
    }[change](frames.photons)
    found = residual_sums(replace(frames, photons=changed), SIGMA_PX)
    assert found.ratio("quiet").value < 0.85
    assert found.ratio("x1").value > 0.15 * found.ratio("away").value


def test_a_wrong_gain_shows_in_the_variance() -> None:
    frames = explained()
    halved = replace(
        frames,
        photons=frames.photons / 2,
        expected=frames.expected / 2,
        background=frames.background / 2,
        emitter_photons=frames.emitter_photons / 2,
    )
    found = residual_sums(halved, SIGMA_PX)
    assert found.ratio("away").value == pytest.approx(0.5, abs=0.03)
    assert found.ratio("noise").value ** 2 == pytest.approx(0.5, abs=0.03)
    assert found.ratio("quiet").value == pytest.approx(1, abs=0.03)


def test_emitters_that_were_missed_are_not_taken_for_noise() -> None:
    frames = explained(frames=12)
    missed = replace(
        frames,
        expected=np.broadcast_to(np.float32(30), frames.photons.shape),
        frame=frames.frame[:0],
        x_px=frames.x_px[:0],
        y_px=frames.y_px[:0],
        emitter_photons=frames.emitter_photons[:0],
    )
    found = residual_sums(missed, SIGMA_PX)
    assert found.ratio("all").value > 3
    assert found.ratio("away").value == pytest.approx(1, abs=0.1)
    assert found.ratio("noise").value ** 2 == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("true_px", [1.0, 1.2, 1.4])
def test_spots_that_are_wider_than_expected(true_px: float) -> None:
    sums = residual_sums(explained(sigma_px=true_px, frames=20, emitters=12), SIGMA_PX)
    found = np.linalg.solve(sums.information, sums.gradient)
    assert sums.spots[0] > 20
    # One step of Newton's method goes most of the way.
    assert found[1] == pytest.approx(true_px**2 - SIGMA_PX**2, rel=0.35, abs=0.04)
    np.testing.assert_allclose(found[2:4], 0, atol=0.08)


def test_pixels_that_are_left_out_say_nothing() -> None:
    frames = explained()
    mask = np.zeros(frames.photons.shape[1:], bool)
    mask[3, 5] = mask[20:24, 30] = True
    spoilt = frames.photons.copy()
    spoilt[:, mask] += 5000
    found = residual_sums(replace(frames, photons=spoilt), SIGMA_PX, mask)
    wanted = residual_sums(frames, SIGMA_PX, mask)
    for name, array in wanted.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array)
    each_frame = residual_sums(frames, SIGMA_PX, np.broadcast_to(mask, frames.photons.shape))
    np.testing.assert_array_equal(each_frame.over, wanted.over)


def test_frames_are_checked_one_by_one() -> None:
    """So the sums of blocks, however they are cut, add up to those of the movie."""
    frames = explained(frames=6)
    parts = []
    for start, stop in ((0, 1), (4, 6), (1, 4)):
        inside = (frames.frame >= start) & (frames.frame < stop)
        parts.append(
            residual_sums(
                Explained(
                    numbers=frames.numbers[start:stop],
                    photons=frames.photons[start:stop],
                    expected=frames.expected[start:stop],
                    background=frames.background,
                    frame=frames.frame[inside] - start,
                    x_px=frames.x_px[inside],
                    y_px=frames.y_px[inside],
                    emitter_photons=frames.emitter_photons[inside],
                ),
                SIGMA_PX,
            )
        )
    whole = residual_sums(frames, SIGMA_PX)
    for name, array in ((parts[0] + parts[1]) + parts[2]).arrays().items():
        np.testing.assert_allclose(array, whole.arrays()[name], rtol=1e-9, atol=1e-9)


def test_a_few_frames_are_chosen() -> None:
    frames = replace(explained(frames=8), numbers=np.arange(3, 11))
    chosen = frames.checked()
    assert chosen.numbers.tolist() == [5, 10]
    np.testing.assert_array_equal(chosen.photons, frames.photons[[2, 7]])
    np.testing.assert_array_equal(chosen.x_px[chosen.frame == 1], frames.x_px[frames.frame == 7])


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (5, 4), (BLOCK_PX + 1, 2 * BLOCK_PX)])
def test_fields_of_any_size(shape: tuple[int, int]) -> None:
    sums = residual_sums(explained(shape=shape, emitters=1), SIGMA_PX)
    assert all(np.isfinite(array).all() for array in sums.arrays().values())
    assert sums.ratio("all").value >= 0


def test_no_frames() -> None:
    nothing: dict[str, Any] = FitSums.zeros((20, 30)).arrays()
    assert nothing["over"].shape == (len(STATISTICS), 2, 2)
    assert FitSums.zeros((20, 30)).ratio("all").uncertainty == np.inf
    assert np.isnan(FitSums.zeros((20, 30)).of_blocks("away")).all()


def test_one_block_alone_tells_no_uncertainty() -> None:
    one = residual_sums(explained(frames=1, shape=(12, 12), emitters=1), SIGMA_PX)
    assert one.ratio("all").value > 0
    assert one.ratio("all").uncertainty == np.inf
