from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.localization.bounds import emitter_bounds
from deepstorm.reconstruction.emitters.photometry import Light, measure_light
from deepstorm.simulation.psf import render_emitters

SIGMA_PX = 1.1
PIXEL_UM = 0.1
Array = npt.NDArray[np.float64]


class Scene(NamedTuple):
    """Frames in effective photons, what is in them, and the background of each pixel."""

    frames: Array
    frame: npt.NDArray[np.int64]
    x_px: Array
    y_px: Array
    photons: Array
    background: Array

    def measure(self, **changes: Array) -> Light:
        return measure_light(*self[:2], *self._replace(**changes)[2:4], SIGMA_PX)


def scene(
    density_per_um2: float, *, frames: int = 30, background: float = 20.0, seed: int = 0
) -> Scene:
    """Simulate uniform emitters of about 1500 photons on a background that varies by 30 %."""
    rng = np.random.default_rng(seed)
    shape = (frames, 64, 64)
    n = rng.poisson(density_per_um2 * np.prod(shape) * PIXEL_UM**2)
    frame, x, y = rng.integers(0, frames, n), rng.uniform(0, 64, n), rng.uniform(0, 64, n)
    photons = 1500 * rng.lognormal(-0.08, 0.4, n)
    row, column = np.mgrid[:64, :64] / 64
    level = background * (1 + 0.3 * np.sin(3 * column) * np.cos(2 * row))
    mean = level + render_emitters(frame, x, y, photons, np.full(n, SIGMA_PX), shape)
    return Scene(rng.poisson(mean).astype(float), frame, x, y, photons, level)


def jittered(movie: Scene, seed: int = 1) -> dict[str, Array]:
    """Move positions by the error of the best possible localization."""
    rng = np.random.default_rng(seed)
    bound = emitter_bounds(movie.photons, 20.0, SIGMA_PX).position_px
    return {
        name: np.clip(getattr(movie, name) + bound * rng.normal(size=len(bound)), 0, 64)
        for name in ("x_px", "y_px")
    }


@pytest.mark.parametrize(("density", "allowed"), [(0.2, 0.03), (1.0, 0.03), (6.0, 0.05)])
@pytest.mark.parametrize("moved", [False, True])
def test_the_light_of_simulated_movies_is_found_without_bias(density, allowed, moved):
    movie = scene(density)

    light = movie.measure(**(jittered(movie) if moved else {}))

    # Noise of the sum is 0.3 % at the lowest density.
    assert light.photons.sum() == pytest.approx(movie.photons.sum(), rel=allowed / 3)
    faint = movie.photons < np.median(movie.photons)
    assert light.photons[faint].sum() == pytest.approx(movie.photons[faint].sum(), rel=allowed)
    np.testing.assert_allclose(light.background_image / movie.background, 1, atol=0.05)
    assert light.background_image.mean() == pytest.approx(movie.background.mean(), rel=0.01)
    assert light.photons.min() >= 0


@pytest.mark.parametrize("moved", [False, True])
def test_the_scatter_of_isolated_emitters_is_that_of_the_bound(moved):
    side = np.arange(8.0, 64.0, 16.0)
    rng = np.random.default_rng(2)
    n = 40 * len(side) ** 2
    x = np.tile(np.repeat(side, len(side)), 40) + rng.uniform(-0.5, 0.5, n)
    y = np.tile(side, 40 * len(side)) + rng.uniform(-0.5, 0.5, n)
    frame, photons = np.repeat(np.arange(40), len(side) ** 2), np.full(n, 1000.0)
    mean = 20 + render_emitters(frame, x, y, photons, np.full(n, SIGMA_PX), (40, 64, 64))
    movie = Scene(rng.poisson(mean).astype(float), frame, x, y, photons, np.full((64, 64), 20.0))

    errors = movie.measure(**(jittered(movie) if moved else {})).photons - photons

    # The background of a whole block is known, hence the wide window.
    bound = emitter_bounds(1000.0, 20.0, SIGMA_PX, reach_px=30).photons
    assert errors.std() == pytest.approx(bound, rel=0.1)
    assert abs(errors.mean()) < 0.01 * 1000


@pytest.mark.parametrize("apart_px", [0.0, 0.2, 0.5])
def test_of_two_close_emitters_the_sum_is_well_defined_and_neither_share_runs_away(apart_px):
    frame = np.repeat(np.arange(100), 2)
    x, y = np.tile([9.3, 9.3 + apart_px], 100), np.full(200, 8.6)
    photons = np.tile([1200.0, 800.0], 100)
    mean = 20 + render_emitters(frame, x, y, photons, np.full(200, SIGMA_PX), (100, 20, 20))
    frames = np.random.default_rng(3).poisson(mean).astype(float)

    shares = measure_light(frames, frame, x, y, SIGMA_PX).photons.reshape(-1, 2)

    sums = shares.sum(axis=1)
    assert sums.mean() == pytest.approx(2000, rel=0.01)
    bound = emitter_bounds(2000.0, 20.0, SIGMA_PX, reach_px=20).photons
    assert sums.std() == pytest.approx(bound, rel=0.25)
    assert shares.std(axis=0).max() < 250
    assert shares.mean(axis=0)[0] == pytest.approx(1100, abs=150)


def test_light_that_cannot_be_told_apart_goes_by_confidence():
    frame, x, y = np.array([0, 0]), np.array([9.0, 9.05]), np.array([9.0, 9.0])
    frames = 20 + render_emitters(frame, x, y, np.full(2, 900.0), np.full(2, SIGMA_PX), (1, 20, 20))

    photons = measure_light(frames, frame, x, y, SIGMA_PX, np.array([0.9, 0.3])).photons

    assert photons.sum() == pytest.approx(1800, rel=0.01)
    assert photons[0] / photons[1] == pytest.approx(3, rel=0.15)


def test_an_isolated_emitter_keeps_its_light_whatever_its_confidence():
    movie = scene(0.2)
    confidence = np.random.default_rng(4).uniform(0.0, 1.0, len(movie.frame))

    unsure = measure_light(*movie[:4], SIGMA_PX, confidence)

    assert unsure.photons.sum() == pytest.approx(movie.photons.sum(), rel=0.01)


def test_an_entry_where_nothing_is_gets_no_light():
    movie = scene(0.2, frames=20)
    rng = np.random.default_rng(5)
    nearest = np.full(400, np.inf)
    frame, x, y = rng.integers(0, 20, 400), *rng.uniform(0, 64, (2, 400))
    for i in range(400):
        same = movie.frame == frame[i]
        nearest[i] = np.hypot(movie.x_px[same] - x[i], movie.y_px[same] - y[i]).min(initial=99)

    light = measure_light(
        movie.frames,
        np.append(movie.frame, frame),
        np.append(movie.x_px, x),
        np.append(movie.y_px, y),
        SIGMA_PX,
    ).photons[len(movie.frame) :]

    assert light[nearest > 6].mean() < 0.02 * 1500


def test_missed_emitters_hardly_raise_the_background():
    movie = scene(6.0)
    found = np.random.default_rng(6).random(len(movie.frame)) > 0.2

    light = measure_light(
        movie.frames, movie.frame[found], movie.x_px[found], movie.y_px[found], SIGMA_PX
    )

    # A fifth of 90 photons per pixel goes unexplained: taken for background, it would be 90 %.
    assert light.background_image.mean() == pytest.approx(movie.background.mean(), rel=0.1)


def test_background_under_each_localization_is_that_of_the_image():
    movie = scene(1.0, frames=10)

    light = movie.measure()

    pixel = (np.floor(movie.y_px).astype(int), np.floor(movie.x_px).astype(int))
    np.testing.assert_allclose(light.background_photons, light.background_image[pixel], rtol=0.05)


@pytest.mark.parametrize("background", [0.0, 1.0, 100.0])
def test_dark_and_bright_backgrounds_are_found_too(background):
    movie = scene(1.0, background=background)

    light = movie.measure()

    expected = movie.background.mean()
    assert light.background_image.mean() == pytest.approx(expected, rel=0.01, abs=0.05)
    assert light.photons.sum() == pytest.approx(movie.photons.sum(), rel=0.01)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_table_on_any_small_field_gives_finite_light_in_its_own_order(data):
    shape = tuple(data.draw(st.integers(1, high)) for high in (3, 40, 40))
    n = data.draw(st.integers(0, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    frames = rng.normal(data.draw(st.floats(-5, 200)), 5, shape)
    frame = rng.integers(0, shape[0], n)
    x, y = rng.uniform(0, 1, (2, n)).round(1) * np.array([[shape[2]], [shape[1]]])
    order = rng.permutation(n)

    light = measure_light(frames, frame, x, y, SIGMA_PX)
    again = measure_light(frames, frame[order], x[order], y[order], SIGMA_PX)

    for values in (light.photons, light.background_photons, light.background_image):
        assert np.all(np.isfinite(values) & (values >= 0))
    scale = light.photons.max(initial=1.0)
    np.testing.assert_allclose(again.photons, light.photons[order], rtol=0.02, atol=0.02 * scale)


def test_whole_numbers_are_frames_too():
    movie = scene(1.0, frames=5)

    whole = measure_light(movie.frames.astype(np.uint16), *movie[1:4], SIGMA_PX)

    np.testing.assert_allclose(whole.photons, movie.measure().photons, rtol=1e-3, atol=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((4, 4))}, "expected \\(frame, y, x\\)"),
        ({"frames": np.full((1, 8, 8), np.nan)}, "not finite"),
        ({"frame": np.array([0])}, "expected the same length"),
        ({"frame": np.array([0, 1])}, "1 localizations lie outside"),
        ({"x_px": np.array([1.0, 8.5])}, "frame 0 at x 8.5, y 2.0"),
        ({"y_px": np.array([np.nan, 2.0])}, "1 localizations lie outside"),
        ({"sigma_px": 0.0}, "sigma"),
        ({"confidence": np.array([0.5, -0.1])}, "confidence is negative"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes, message):
    given_arguments = {
        "frames": np.ones((1, 8, 8)),
        "frame": np.array([0, 0]),
        "x_px": np.array([1.0, 2.0]),
        "y_px": np.array([1.0, 2.0]),
        "sigma_px": SIGMA_PX,
    }

    with pytest.raises(InputError, match=message):
        measure_light(**(given_arguments | changes))
