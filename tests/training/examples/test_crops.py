from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.training.examples.crops import Crops, draw_span
from deepstorm.training.examples.summed_movies import KeptMovie, SummedMovie, find_movie, keep_movie

SIDE = 96


def kept(folder: Path, name: str, emitters_per_px: float = 1.0) -> KeptMovie:
    """Keep a movie whose gathered sum is the row of each pixel, at the next length its column."""
    truth = np.full((2, SIDE, SIDE), emitters_per_px).astype(np.uint16)
    sums = np.zeros((2, 3, SIDE, SIDE), np.float16)
    sums[0, 1] = np.arange(SIDE)[:, None]
    sums[1, 1] = np.arange(SIDE)[None, :]
    keep_movie(folder / name, SummedMovie(sums, truth), "here")
    return find_movie(folder / name, "here")


def crops_of(
    movies: list[KeptMovie], crop_px: int = 48, margin_px: int = 8, size: int = 8
) -> Crops:
    return Crops(movies, 5, crop_px=crop_px, margin_px=margin_px, batch_size=size, step_px=4)


@given(
    cells=st.integers(1, 60),
    crop=st.integers(3, 70),
    margin=st.integers(0, 1),
    seed=st.integers(0, 1000),
)
def test_windows_lie_in_the_image_and_count_up_to_its_border(
    cells: int, crop: int, margin: int, seed: int
) -> None:
    length = 4 * cells
    window = draw_span(length, 4 * crop, 4 * margin, 4, np.random.default_rng(seed))
    assert window.start % 4 == 0
    assert 0 <= window.start <= window.first < window.last <= window.stop <= length
    assert window.stop - window.start == min(4 * crop, length)
    assert window.first == (window.start + 4 * margin if window.start > 0 else 0)
    assert window.last == (window.stop - 4 * margin if window.stop < length else length)
    assert window.seen == slice(window.start, window.stop)
    assert window.counted == slice(window.first - window.start, window.last - window.start)


def test_pixels_at_the_border_count_hardly_less_often() -> None:
    rng, counts = np.random.default_rng(0), np.zeros(SIDE)
    for _ in range(3000):
        window = draw_span(SIDE, 48, 8, 4, rng)
        counts[window.first : window.last] += 1
    assert counts.min() > 0.4 * counts.mean()


def test_crops_are_parts_of_the_movie_in_all_orientations(tmp_path: Path) -> None:
    batch = crops_of([kept(tmp_path, "a.safetensors")], size=200).batch(0)
    assert batch.sums.shape == (200, 3, 48, 48)
    assert batch.truth.shape == batch.counted.shape == (200, 1, 48, 48)
    assert batch.sums.dtype == batch.truth.dtype == np.float32
    steps = set()
    for places in batch.sums[:, 1]:
        dy, dx = places[1, 0] - places[0, 0], places[0, 1] - places[0, 0]
        steps.add((dy, dx))
        assert np.ptp(places) == 47
    assert steps == {(0, 1), (0, -1), (1, 0), (-1, 0)}


def test_what_counts_turns_with_the_crop(tmp_path: Path) -> None:
    batch = crops_of([kept(tmp_path, "a.safetensors")], size=100).batch(1)
    for places, counted in zip(batch.sums[:, 1], batch.counted[:, 0], strict=True):
        along_rows = places[1, 0] != places[0, 0]
        line = places[:, 0] if along_rows else places[0]
        seen = counted.any(axis=1 if along_rows else 0)
        low, high = line.min(), line.max()
        first = 0 if low == 0 else low + 8
        last = SIDE - 1 if high == SIDE - 1 else high - 8
        np.testing.assert_array_equal(seen, (line >= first) & (line <= last))


def test_a_crop_larger_than_the_image_is_the_image(tmp_path: Path) -> None:
    batch = crops_of([kept(tmp_path, "a.safetensors")], crop_px=160).batch(0)
    assert batch.sums.shape[2:] == (SIDE, SIDE)
    assert (batch.counted == 1).all()


def test_steps_decide_batches(tmp_path: Path) -> None:
    movies = [kept(tmp_path, "a.safetensors")]
    first, same, other = (crops_of(movies).batch(step) for step in (3, 3, 4))
    np.testing.assert_array_equal(first.sums, same.sums)
    assert not np.array_equal(first.sums, other.sums)


def test_movies_with_emitters_and_long_sums_are_drawn_more_often(tmp_path: Path) -> None:
    few, many = kept(tmp_path, "few.safetensors", 1), kept(tmp_path, "many.safetensors", 4)
    crops = crops_of([few, many], size=600).batch(0)
    from_many = (crops.truth[:, 0, 0, 0] == 4).mean()
    share = np.sqrt(30_000) / (np.sqrt(30_000) + np.sqrt(SIDE**2))  # the many are capped
    assert from_many == pytest.approx(share, abs=0.07)


def test_nearly_empty_crops_are_rare(tmp_path: Path) -> None:
    movie = kept(tmp_path, "a.safetensors", 0)
    truth = np.zeros((2, SIDE, SIDE), np.uint16)
    truth[:, :24] = 2
    sums = np.zeros((2, 3, SIDE, SIDE), np.float16)
    keep_movie(movie.path, SummedMovie(sums, truth), "here")
    batch = crops_of([find_movie(movie.path, "here")], size=300).batch(0)
    full = (batch.truth * batch.counted).sum(axis=(1, 2, 3)) >= 200
    assert full.mean() > 0.8
