"""What says nothing is found, whatever its shape, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from deepstorm.api.simulate import simulate
from deepstorm.arrays import AnyArray, BoolArray
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.calibration.cleaning import Cleaning
from deepstorm.calibration.field_parts import largest_rectangle
from deepstorm.calibration.screening import screen, sound_frames
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.simulator import SimulationSettings

SIDE = 48


def movie(seed: int, density_per_um2: float = 1.0, frames: int = 40) -> AnyArray:
    settings = SimulationSettings(
        frames=frames,
        height_px=SIDE,
        width_px=SIDE,
        density_per_um2=density_per_um2,
        camera=ScmosCamera(),
    )
    simulated = simulate(settings, seed=seed).frames
    assert simulated is not None
    return simulated


def lit_part(rng: np.random.Generator) -> BoolArray:
    """Return a field stop, half a field, a field without a gap, or one within a frame."""
    y, x = np.mgrid[:SIDE, :SIDE]
    kind = rng.integers(4)
    if kind == 0:
        centre = rng.uniform(20, 28, 2)
        return np.asarray(np.hypot(y - centre[0], x - centre[1]) < rng.uniform(15, 20))
    if kind == 1:
        return np.asarray(x > rng.integers(12, 30))
    if kind == 2:
        start = rng.integers(15, 25)
        return np.asarray((y < start) | (y >= start + rng.integers(9, 14)))
    edge = rng.integers(9, 12)
    return np.asarray((np.minimum(x, y) >= edge) & (np.maximum(x, y) < SIDE - edge))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cleared", [True, False])
def test_a_part_without_light_is_found(seed: int, cleared: bool) -> None:
    rng = np.random.default_rng(seed)
    frames, lit = movie(seed), lit_part(rng)
    dark = 0 if cleared else np.round(rng.normal(100, rng.uniform(1, 4), frames.shape))
    found = screen(np.where(lit, frames, dark).astype(np.uint16))
    assert (found.unlit == ~lit).mean() > 0.98
    assert not found.faulty.any()
    assert not found.darker.any()
    rows, columns = largest_rectangle(~found.unlit)
    assert sound_frames(frames, found).shape == frames[:, rows, columns].shape


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("density", [0.1, 1.0, 6.0])
def test_in_a_good_movie_nothing_is_left_out(seed: int, density: float) -> None:
    frames = movie(seed, density)
    found = screen(frames)
    assert not (found.unlit | found.faulty | found.darker).any()
    assert not found.left_out.any()
    sound = sound_frames(frames, found)
    assert sound.dtype == frames.dtype
    np.testing.assert_array_equal(sound, frames)
    calibration = calibrate_frames(frames)
    np.testing.assert_array_equal(Cleaning.of(calibration, frames).clean(frames), frames)
    assert not Cleaning.of(calibration, frames).empty_ones(frames).any()


@pytest.mark.parametrize("seed", range(8))
def test_a_narrow_or_faint_gap_is_found(seed: int) -> None:
    """Of an image splitter, three pixels wide or more, with soft edges, at a faint background."""
    rng = np.random.default_rng(seed)
    light = movie(seed).astype(float) - 100
    start, width = rng.integers(6, SIDE - 20), int(rng.integers(3, 11))
    lit = np.ones(SIDE)
    lit[start : start + width] = 0
    lit = ndimage.gaussian_filter1d(lit, rng.uniform(0, 0.8))
    gap = lit[:, None] if rng.random() < 0.5 else lit
    frames = rng.poisson(np.maximum(light * gap, 0)) + rng.normal(100, 2, light.shape)
    found = screen(np.round(frames).clip(0).astype(np.uint16))
    dark = np.broadcast_to(gap < 0.1, (SIDE, SIDE))
    assert found.unlit[dark].all()
    assert not found.unlit[np.broadcast_to(gap > 0.9, (SIDE, SIDE))].any()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_dark_is_filled_with_what_is_beside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lit, x = lit_part(rng), np.arange(SIDE)
    slope = 1 + rng.uniform(-0.5, 1) * x / SIDE
    light = (movie(seed, 0.2).astype(float) - 100) * slope
    soft = np.clip(ndimage.gaussian_filter(lit.astype(float), 0.8), 0, 1)
    frames = np.round(rng.poisson(np.maximum(light * soft, 0)) + 100).astype(np.uint16)
    calibration = calibrate_frames(frames)
    cleaning = Cleaning.of(calibration, frames)
    assert cleaning.unlit is not None
    assert cleaning.unlit[soft < 0.5].all()
    assert (cleaning.unlit[soft > 0.99]).mean() < 0.05
    mean = np.median(cleaning.clean(frames), axis=0) - 100
    near = cleaning.unlit & ndimage.binary_dilation(~cleaning.unlit, iterations=3)
    expected = np.median(light / slope) * np.broadcast_to(slope, mean.shape)
    assert np.median(np.abs(mean[near] / expected[near] - 1)) < 0.15


@pytest.mark.parametrize("seed", range(4))
def test_two_lit_levels_are_told_from_a_dark_part(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames, lit = movie(seed, 2.0).astype(int), lit_part(rng)
    brighter = frames + np.where(lit, rng.poisson(400, frames.shape), 0)
    found = screen(brighter.astype(np.uint16))
    assert (found.darker == ~lit).mean() > 0.98
    assert not found.unlit.any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("kind", ["hot", "dim", "saturated", "dead"])
def test_faulty_lines_are_found(seed: int, axis: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    frames, line = movie(seed).astype(int), rng.integers(4, SIDE - 4)
    place: list[slice | int] = [slice(None)] * 3
    place[axis] = slice(line, line + rng.integers(1, 4)) if kind == "hot" else line
    here = tuple(place)
    changed = {
        "hot": frames[here] + rng.poisson(rng.uniform(300, 2000), frames[here].shape),
        "dim": frames[here] // 4,
        "saturated": np.full_like(frames[here], 65535),
        "dead": np.zeros_like(frames[here]),
    }
    frames[here] = changed[kind]
    found = screen(frames.astype(np.uint16))
    expected = np.zeros((SIDE, SIDE), bool)
    expected[here[1:]] = True
    assert (found.faulty == expected).mean() > (0.99 if kind == "dim" else 0.995)


def test_a_block_too_wide_to_fill_in_is_left_out_whole() -> None:
    frames = movie(1)
    frames[:, 40:46, 4:30] = 65535
    found = screen(frames)
    assert found.unlit[40:46, 4:30].all()
    assert found.unlit.sum() == 6 * 26
    silent = Cleaning.of(calibrate_frames(frames), frames).silent
    assert silent is not None
    around = 8 * 28 - 4  # with a pixel around it, and hardly more
    assert around <= silent.sum() < 1.1 * around


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("every", [2, 3, 39])
def test_empty_frames_are_found_and_left_out(value: int, every: int) -> None:
    frames = movie(3)
    plain = calibrate_frames(frames)
    frames[::every] = value
    calibration = calibrate_frames(frames)
    empty = Cleaning.of(calibration, frames).empty_ones(frames)
    assert np.flatnonzero(empty).tolist() == list(range(0, 40, every))
    gain, expected = calibration.adu_per_photon, plain.adu_per_photon
    assert abs(gain.value - expected.value) < 2 * gain.uncertainty


def test_dark_photon_counting_frames_are_not_empty() -> None:
    rng = np.random.default_rng(0)
    frames = rng.poisson(0.02, (60, 32, 32)).astype(np.uint16)
    frames[7] = 0
    found = Cleaning.of(calibrate_frames(frames), frames).empty_ones(frames)
    assert np.flatnonzero(found).tolist() == [7]


@pytest.mark.parametrize("seed", range(6))
def test_cosmic_rays_leave_no_trace(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = movie(seed)
    hit = frames.copy()
    for _ in range(rng.integers(1, 10)):
        t, y, x = rng.integers(40), *rng.integers(2, SIDE - 4, 2)
        hit[t, y, x : x + rng.integers(1, 3)] = rng.integers(8000, 65535)
    plain, calibration = calibrate_frames(frames), calibrate_frames(hit)
    assert calibration.adu_per_photon.value == pytest.approx(plain.adu_per_photon.value, rel=0.02)
    assert calibration.sigma_px.value == pytest.approx(plain.sigma_px.value, rel=0.02)
    cleaned = Cleaning.of(calibration, frames).clean(hit)
    assert cleaned.max() <= frames.max()
    changed = cleaned != frames
    assert changed.sum() <= (hit != frames).sum()


@pytest.mark.parametrize("sigma_px", [0.8, 1.2, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_no_spot_is_a_spike(sigma_px: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    frames = np.empty((60, SIDE, SIDE), np.float32)
    for frame in frames:
        cy, cx = rng.uniform(-1, SIDE, 2)  # also beyond the border
        spot = np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / sigma_px**2)
        frame[:] = rng.poisson(5 + rng.uniform(500, 5000) * spot)
    calibration = calibrate_frames(frames)
    changed = Cleaning.of(calibration, frames).clean(frames) != frames
    assert changed.sum() <= 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fall", ["slow", "fast"])
def test_bleaching_is_not_blinking(seed: int, fall: str) -> None:
    rng = np.random.default_rng(seed)
    frames, time = movie(seed, 3.0, 150).astype(int), np.arange(150)
    scale = 60 if fall == "slow" else 8
    light = rng.uniform(300, 1500) * np.exp(-time / scale)
    y, x = np.mgrid[:SIDE, :SIDE]
    shape = 1 + rng.uniform(0.2, 1) * np.exp(-((x - 20) ** 2 + (y - 28) ** 2) / 150)
    bleaching = frames + 2 * rng.poisson(light[:, None, None] * shape)
    plain, found = (calibrate_frames(f.astype(np.uint16)) for f in (frames, bleaching))
    assert found.signal_photons.value == pytest.approx(plain.signal_photons.value, rel=0.4)
    density, expected = found.density_per_px, plain.density_per_px.value
    assert abs(density.value - expected) < max(0.3 * expected, 2 * density.uncertainty)
    assert found.sigma_px.value == pytest.approx(plain.sigma_px.value, rel=0.06)
    assert found.adu_per_photon.value == pytest.approx(plain.adu_per_photon.value, rel=0.15)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", [0.1, 1.0])
@pytest.mark.parametrize("unevenness", [0.5, 1.0])
def test_an_uneven_background_is_not_emitters(seed: int, density: float, unevenness: float) -> None:
    settings = SimulationSettings(
        frames=150,
        height_px=SIDE,
        width_px=SIDE,
        density_per_um2=density,
        camera=ScmosCamera(),
        background={"mean_photons": 40, "unevenness": unevenness},
    )
    frames = simulate(settings, seed=seed).frames
    assert frames is not None
    found = calibrate_frames(frames)
    error = abs(found.density_per_px.value - density / 100)
    assert error < 3 * found.density_per_px.uncertainty
    assert found.density_per_px.value < 2.5 * density / 100


def test_the_largest_rectangle() -> None:
    good = np.ones((6, 9), bool)
    assert largest_rectangle(good) == (slice(0, 6), slice(0, 9))
    good[2, 3] = False
    assert largest_rectangle(good) == (slice(0, 6), slice(4, 9))
    assert largest_rectangle(np.zeros((3, 3), bool)) == (slice(0, 0), slice(0, 0))


@pytest.mark.parametrize("seed", range(20))
def test_no_rectangle_is_larger(seed: int) -> None:
    good = np.random.default_rng(seed).random((7, 8)) < 0.8
    rows, columns = largest_rectangle(good)
    assert good[rows, columns].all()
    areas = [
        (b - t) * (r - left)
        for t in range(7)
        for b in range(t + 1, 8)
        for left in range(8)
        for r in range(left + 1, 9)
        if good[t:b, left:r].all()
    ]
    assert good[rows, columns].size == max(areas)
