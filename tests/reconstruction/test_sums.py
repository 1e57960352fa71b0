from __future__ import annotations

import math

import numpy as np
import pytest

from deepstorm.reconstruction.sums import MovieSums, TilePrediction, placed
from deepstorm.reconstruction.tiling import Span
from deepstorm.structures import Localizations


def tile(expected: np.ndarray, frame: int = 0) -> TilePrediction:
    whole = Span(0, expected.shape[1], 0, expected.shape[1])
    return TilePrediction(expected, 2 * expected, whole, whole, 1, frame)


def test_a_million_frames_lose_no_precision() -> None:
    """The haze of a million frames, 1e-7 each, on a pixel that holds ten thousand emitters."""
    sums = MovieSums.zeros(1, 1)
    bright = np.full((10_000, 1, 1), 1.0, np.float32)
    faint = np.full((1, 1, 1), 1e-7, np.float32)
    sums.add(tile(bright))
    for _ in range(1000):
        sums.add(tile(np.repeat(faint, 1000, axis=0)))
    exact = math.fsum([10_000.0, 1e6 * float(faint[0, 0, 0])])
    assert sums.posterior[0, 0] == pytest.approx(exact, rel=1e-12)
    assert sums.emitters == pytest.approx(2 * exact, rel=1e-12)


def test_sums_of_parts_are_the_sum_of_all() -> None:
    frames = np.random.default_rng(1).random((7, 4, 4), np.float32)
    whole, first, second = (MovieSums.zeros(4, 4) for _ in range(3))
    whole.add(tile(frames))
    first.add(tile(frames[:3]))
    second.add(tile(frames[3:], 3))
    first.include(second)
    np.testing.assert_allclose(first.stacked(), whole.stacked(), rtol=1e-6)
    assert first.emitters == pytest.approx(whole.emitters)
    assert whole.shape == (4, 4)


def test_localizations_are_moved_to_the_field_and_kept_once() -> None:
    """Two tiles that share a border: what lies on it belongs to the second."""
    left, right = Span(0, 12, 0, 10), Span(8, 20, 10, 20)
    rows = Span(0, 10, 0, 10)
    at = np.array([50.0, 950.0, 1000.0, 1150.0])
    table = Localizations(np.zeros(4, int), at, np.full(4, 500.0))
    assert placed(table, rows, left, 100).x_nm.tolist() == [50.0, 950.0]
    shifted = Localizations(np.zeros(4, int), at - 800, np.full(4, 500.0))
    assert placed(shifted, rows, right, 100).x_nm.tolist() == [1000.0, 1150.0]
