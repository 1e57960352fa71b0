from __future__ import annotations

import numpy as np
import pytest

from deepstorm.calibration import sampling
from deepstorm.calibration.sampling import sample_frames
from deepstorm.io.movies.movie import ArrayMovie


def test_the_sample_is_spread_over_the_movie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_FRAMES", 5)
    frames = np.arange(101).reshape(101, 1, 1)
    assert sample_frames(ArrayMovie(frames)).frames.ravel().tolist() == [0, 25, 50, 75, 100]
    assert sample_frames(ArrayMovie(frames[:3])).frames.ravel().tolist() == [0, 1, 2]


def test_the_sample_of_a_large_camera_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SAMPLE_VALUES", 64 * 20)
    assert len(sample_frames(ArrayMovie(np.zeros((100, 8, 8)))).frames) == 20
    # A camera so large that its frames go beyond it still needs enough for the hot pixels.
    monkeypatch.setattr(sampling, "SAMPLE_VALUES", 64)
    assert len(sample_frames(ArrayMovie(np.zeros((100, 8, 8)))).frames) == 8


def test_numbers_tell_which_frames_they_are() -> None:
    frames = np.arange(1000).reshape(1000, 1, 1)
    sample = sample_frames(ArrayMovie(frames))
    assert len(sample.numbers) == sampling.SAMPLE_FRAMES
    assert sample.numbers.tolist() == sample.frames.ravel().tolist()


def test_a_movie_that_grows_is_sampled_as_far_as_it_went() -> None:
    frames = np.arange(60).reshape(60, 1, 1)
    early = sample_frames(ArrayMovie(frames), among=30)
    assert early.numbers.tolist() == sample_frames(ArrayMovie(frames[:30])).numbers.tolist()
    assert early.numbers.max() == 29
