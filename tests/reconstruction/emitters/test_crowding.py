from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from deepstorm.reconstruction.emitters.crowding import blobs, halved, own_shares, pairs
from deepstorm.reconstruction.emitters.peaks import PeakSettings, find_peaks
from deepstorm.structures import Localizations

SIDE = 40


def expectation(*emitters: tuple[float, float, float], sigma: float = 1.8) -> np.ndarray:
    """Return one frame that holds emitters (y, x, expected number), each blurred."""
    image = np.zeros((SIDE, SIDE))
    rows, columns = np.indices(image.shape) + 0.5
    for y, x, mass in emitters:
        spot = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2))
        image += mass * spot / spot.sum()
    return image[None].astype(np.float32)


def positions(found: Localizations) -> list[tuple[float, float]]:
    return sorted(zip(found.y_nm.tolist(), found.x_nm.tolist(), strict=True))


@pytest.mark.parametrize("turn", [0.0, 30.0, 45.0, 90.0, 135.0])
def test_a_maximum_of_two_emitters_is_two_localizations(turn: float) -> None:
    step = 2.4 * np.array([np.sin(np.radians(turn)), np.cos(np.radians(turn))])
    pair = [(20.3 - step[0], 19.6 - step[1], 1.0), (20.3 + step[0], 19.6 + step[1], 1.0)]
    image = expectation(*pair, sigma=2.2)
    assert len(find_peaks(image, 1.0, settings=PeakSettings(crowded_from=3.0))) == 1
    found = find_peaks(image, 1.0)
    assert found.confidence is not None
    np.testing.assert_allclose(found.confidence, 1.0, atol=0.03)
    wanted = sorted((y, x) for y, x, _ in pair)
    np.testing.assert_allclose(positions(found), wanted, atol=0.6)
    np.testing.assert_allclose(np.mean(positions(found), axis=0), [20.3, 19.6], atol=0.05)


@pytest.mark.parametrize(("mass", "count"), [(1.0, 1), (1.6, 1), (2.0, 2)])
def test_less_than_two_emitters_stay_one(mass: float, count: int) -> None:
    wide = expectation((20.5, 20.5, mass), sigma=3.3)
    assert len(find_peaks(wide, 1.0)) == count


def test_what_is_nearer_to_another_maximum_does_not_count() -> None:
    """Two emitters that are told apart stay two, though both lie within reach of either."""
    image = expectation((20.5, 16.5, 1.0), (20.5, 24.5, 1.0))
    found = find_peaks(image, 1.0)
    np.testing.assert_allclose(positions(found), [(20.5, 16.5), (20.5, 24.5)], atol=0.15)


def test_maxima_of_other_frames_are_no_neighbours() -> None:
    frames = np.concatenate([expectation((20.5, x, 2.0), sigma=3.3) for x in (20.5, 23.5)])
    alone = [find_peaks(frame[None], 1.0) for frame in frames]
    together = find_peaks(frames, 1.0)
    assert together.frame.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(together.x_nm, np.concatenate([part.x_nm for part in alone]))


@given(arrays(np.float64, (3, 9, 9), elements=st.floats(0.0, 1.0)))
@settings(max_examples=50, deadline=None)
def test_halves_lie_on_both_sides_of_the_centroid_and_lose_nothing(windows: np.ndarray) -> None:
    windows[:, [3, 4], [3, 4]] += 0.5
    first, second = halved(windows)
    assert (first >= 0).all()
    assert (second >= 0).all()
    np.testing.assert_allclose(first + second, windows, atol=1e-12)
    whole, one, other = (blobs(part) for part in (windows, first, second))
    to_one, to_other = (
        np.stack([half.y - whole.y, half.x - whole.x]) * half.mass for half in (one, other)
    )
    np.testing.assert_allclose(to_one, -to_other, atol=1e-9)
    assert (np.square(to_one).sum(axis=0) > 0).all()


def test_halves_lie_along_the_longer_axis() -> None:
    window = np.zeros((1, 9, 9))
    window[0, [2, 3, 5, 6], [6, 5, 3, 2]] = 0.5
    first, second = (blobs(half) for half in halved(window))
    np.testing.assert_allclose(first.y, -second.y)
    np.testing.assert_allclose(first.x, -second.x)
    assert abs(first.y[0]) == pytest.approx(1.5)
    assert first.y[0] * first.x[0] < 0


@given(st.integers(0, 2**31), st.integers(1, 12), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_each_pixel_belongs_to_its_nearest_maximum(seed: int, count: int, reach: int) -> None:
    rng = np.random.default_rng(seed)
    flat = rng.choice(SIDE * SIDE, count, replace=False)
    places = np.column_stack([np.zeros(count, int), *np.unravel_index(flat, (SIDE, SIDE))])
    own = own_shares(np.ones((count, 2 * reach + 1, 2 * reach + 1)), places)
    counted = np.zeros((SIDE + 2 * reach, SIDE + 2 * reach), int)
    for (_, row, column), window in zip(places, own, strict=True):
        counted[row : row + 2 * reach + 1, column : column + 2 * reach + 1] += window.astype(int)
    empty = np.ones_like(counted)
    empty[places[:, 1] + reach, places[:, 2] + reach] = 0
    distance = ndimage.distance_transform_edt(empty)
    np.testing.assert_array_equal(counted, distance <= reach)


def test_about_two_that_lie_apart_are_a_pair() -> None:
    mass = np.array([0.9, 1.74, 1.76, 2.1, 3.9, 50.0])
    apart, close = np.zeros((2, 6, 9, 9))
    apart[:, 4, [1, 7]], close[:, 4, [3, 5]] = mass[:, None] / 2, mass[:, None] / 2
    is_pair, one, other = pairs(apart, 1.75)
    assert is_pair.tolist() == [False, False, True, True, True, False]
    np.testing.assert_allclose(one.mass, [0.88, 1.05, 1.95])
    np.testing.assert_allclose(np.abs(one.x - other.x), 6)
    is_pair, one, _ = pairs(close, 1.75)
    assert not is_pair.any()
    assert len(one.mass) == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), seam=st.integers(60, 100))
def test_a_window_that_sees_the_context_has_the_localizations_of_the_field(
    seed: int, seam: int
) -> None:
    """Half of a crowd may lie far from the maximum that both halves are told from."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.012, (1, 60, 160)).astype(np.float32)
    field = ndimage.gaussian_filter(counts, (0, 2.2, 2.2), mode="constant")
    whole = find_peaks(field, 1.0)
    start = seam - PeakSettings().context_px
    part = find_peaks(field[:, :, start:], 1.0).shifted(start, 0.0)
    # A centroid on the seam itself may round to either side.
    wanted, found = (
        [place for place in positions(table) if place[1] > seam + 1e-6] for table in (whole, part)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-6)
