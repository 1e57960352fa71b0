from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from deepstorm.arrays import Float64Array
from deepstorm.simulation.blinking import (
    AnyBlinking,
    Brightness,
    IndependentBlinking,
    SwitchingBlinking,
)
from deepstorm.simulation.structures import FieldOfView, UniformStructure
from deepstorm.structures import FloatArray, IntArray

STEADY = Brightness(mean_photons=1000.0, relative_spread=0.0)
FIELD = UniformStructure(FieldOfView(5000.0, 5000.0))

KINDS: list[AnyBlinking] = [
    IndependentBlinking(),
    SwitchingBlinking(mean_on_frames=0.2, min_fraction=0.0),
    SwitchingBlinking(mean_on_frames=0.2, min_fraction=0.05),
    SwitchingBlinking(mean_on_frames=0.2, min_fraction=0.5),
    SwitchingBlinking(mean_on_frames=2.0, min_fraction=0.0),
    SwitchingBlinking(mean_on_frames=2.0, min_fraction=0.05),
    SwitchingBlinking(mean_on_frames=2.0, min_fraction=0.9),
    SwitchingBlinking(mean_on_frames=30.0, min_fraction=0.05),
]


def sample(
    blinking: AnyBlinking, mean_emitters: float, n_frames: int, seed: int
) -> tuple[IntArray, Float64Array, FloatArray]:
    rng = np.random.default_rng(seed)
    return blinking.sample(FIELD, mean_emitters, n_frames, STEADY, rng)


@pytest.mark.parametrize("blinking", KINDS, ids=str)
def test_as_many_emitters_are_on_in_a_frame_as_requested(blinking: AnyBlinking) -> None:
    movies = 200
    counts = np.array(
        [np.bincount(sample(blinking, 6.0, 20, seed)[0], minlength=20) for seed in range(movies)]
    )
    per_movie = counts.mean(1)
    error = per_movie.std(ddof=1) / np.sqrt(movies)
    assert per_movie.mean() == pytest.approx(6.0, abs=5 * error)
    # No frame is special: those at the ends see what began before the movie and goes on after it.
    for end in (0, -1):
        error = counts[:, end].std(ddof=1) / np.sqrt(movies)
        assert counts[:, end].mean() == pytest.approx(6.0, abs=5 * error)


@pytest.mark.parametrize("blinking", KINDS, ids=str)
def test_tables_are_in_order_and_within_the_movie(blinking: AnyBlinking) -> None:
    frame, positions, photons = sample(blinking, 5.0, 30, 1)
    assert len(frame) > 0
    assert positions.shape == (len(frame), 2)
    assert photons.shape == frame.shape
    assert (np.diff(frame) >= 0).all()
    assert frame.min() >= 0
    assert frame.max() < 30
    assert (photons > 0).all()


@pytest.mark.parametrize("blinking", KINDS, ids=str)
def test_no_emitters_are_no_trouble(blinking: AnyBlinking) -> None:
    frame, positions, photons = sample(blinking, 0.0, 10, 2)
    assert len(frame) == len(photons) == 0
    assert positions.shape == (0, 2)


@pytest.mark.parametrize("blinking", KINDS, ids=str)
def test_the_same_seed_gives_the_same_table(blinking: AnyBlinking) -> None:
    for one, two in zip(sample(blinking, 5, 10, 3), sample(blinking, 5, 10, 3), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(sample(blinking, 5, 10, 3)[1], sample(blinking, 5, 10, 4)[1])


def test_independent_counts_are_poisson() -> None:
    frame, _, photons = sample(IndependentBlinking(), 4.0, 5000, 5)
    counts = np.bincount(frame, minlength=5000)
    observed = np.bincount(np.minimum(counts, 11), minlength=12)
    probability = np.append(stats.poisson.pmf(np.arange(11), 4.0), stats.poisson.sf(10, 4.0))
    assert stats.chisquare(observed, 5000 * probability).pvalue > 1e-4
    # Frames do not know of each other: the correlation of neighbours is zero within 5 errors.
    assert abs(np.corrcoef(counts[1:], counts[:-1])[0, 1]) < 5 / np.sqrt(5000)
    assert (photons == 1000.0).all()


def events(
    blinking: SwitchingBlinking, n_frames: int, seed: int
) -> list[tuple[IntArray, Float64Array, FloatArray]]:
    """Frames and photons of each event, told apart by its position, that the movie holds whole."""
    frame, positions, photons = sample(blinking, 4.0, n_frames, seed)
    _, event = np.unique(positions, axis=0, return_inverse=True)
    order = np.argsort(event, kind="stable")
    starts = np.flatnonzero(np.diff(event[order])) + 1
    parts = zip(np.split(frame[order], starts), np.split(photons[order], starts), strict=True)
    return [(f, p) for f, p in parts if f[0] > 0 and f[-1] < n_frames - 1]


@pytest.mark.parametrize("mean_on_frames", [0.3, 3.0])
def test_on_times_are_exponential(mean_on_frames: float) -> None:
    # Events at the ends of the movie are left out, which is 0.2 % of the events and small beside
    # the resolution of the test, 1.36 / sqrt(n) ≈ 3 %.
    blinking = SwitchingBlinking(mean_on_frames=mean_on_frames, min_fraction=0.0)
    times = np.array([photons.sum() / 1000.0 for _, photons in events(blinking, 2500, 6)])
    assert len(times) > 2000
    assert stats.kstest(times, "expon", args=(0, mean_on_frames)).pvalue > 1e-3
    assert times.mean() == pytest.approx(
        mean_on_frames, abs=5 * mean_on_frames / np.sqrt(len(times))
    )


def test_photons_are_split_by_the_time_on_in_each_frame() -> None:
    whole = 0
    for frame, photons in events(SwitchingBlinking(mean_on_frames=4.0, min_fraction=0.1), 300, 7):
        np.testing.assert_array_equal(np.diff(frame), 1)
        np.testing.assert_allclose(photons[1:-1], 1000.0)
        assert (photons > 100.0).all()
        assert (photons <= 1000.0 + 1e-9).all()
        whole += len(photons[1:-1])
    assert whole > 100


def test_short_parts_are_left_out_of_otherwise_the_same_events() -> None:
    # The number of events depends on min_fraction; the parts of an event that count do not.
    blinking = SwitchingBlinking(mean_on_frames=1.0, min_fraction=0.25)
    _, _, photons = sample(blinking, 20.0, 500, 8)
    part = photons[photons < 1000.0 - 1e-6] / 1000.0
    assert part.min() > 0.25
    # By theory, a part of length u has a density proportional to (2 + 1 - u) exp(-u): two ways to
    # touch a border of the frame, and an event within it, for a mean on-time of one frame.
    u = np.linspace(0.25, 1.0, 20_001)
    density = (3 - u) * np.exp(-u)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    cumulative /= cumulative[-1]
    assert stats.kstest(part, lambda value: np.interp(value, u, cumulative)).pvalue > 1e-3


@pytest.mark.parametrize(("mean", "spread"), [(1500.0, 0.3), (800.0, 1.0), (50.0, 2.0)])
def test_brightness_has_the_requested_mean_and_spread(mean: float, spread: float) -> None:
    n = 50_000
    photons = Brightness(mean_photons=mean, relative_spread=spread).sample(
        n, np.random.default_rng(9)
    )
    assert (photons >= 0).all()
    assert photons.mean() == pytest.approx(mean, abs=5 * mean * spread / np.sqrt(n))
    # Variance of a sample's variance, with a gamma distribution's excess kurtosis of 6 spread².
    error = (mean * spread) ** 2 * np.sqrt((2 + 6 * spread**2) / n)
    assert photons.var() == pytest.approx((mean * spread) ** 2, abs=5 * error)


def test_brightness_without_spread_is_constant() -> None:
    np.testing.assert_array_equal(STEADY.sample(3, np.random.default_rng(0)), 1000.0)
    assert STEADY.sample(0, np.random.default_rng(0)).shape == (0,)


def test_a_spread_of_one_is_exponential() -> None:
    photons = Brightness(mean_photons=7.0, relative_spread=1.0).sample(
        3000, np.random.default_rng(10)
    )
    assert stats.kstest(photons, "expon", args=(0, 7.0)).pvalue > 1e-3


def test_times_that_leave_no_event_to_count_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_fraction"):
        SwitchingBlinking(mean_on_frames=0.001, min_fraction=0.05)
    assert SwitchingBlinking(mean_on_frames=0.001, min_fraction=0.0).min_fraction == 0
