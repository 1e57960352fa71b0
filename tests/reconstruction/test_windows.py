from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.reconstruction.sums import MovieSums, SlidingSums, TilePrediction
from deepstorm.reconstruction.tiling import Span
from deepstorm.reconstruction.windows import MOST_PARTS, Windows


def prediction(frame: int) -> TilePrediction:
    """One frame of one pixel, whose expectation tells which frame it is."""
    expected = np.full((1, 1, 1), 2.0**-frame, np.float32)
    return TilePrediction(expected, 3 * expected, Span(0, 1, 0, 1), Span(0, 1, 0, 1), 1, frame)


@given(total=st.integers(1, 40), frames=st.integers(1, 12), step=st.integers(1, 15))
def test_windows_hold_the_sums_of_their_frames(total: int, frames: int, step: int) -> None:
    windows = Windows(frames, step)
    sliding = SlidingSums(windows, (1, 1))
    found = {}
    for frame in range(total):
        sliding.add(prediction(frame))
        if sliding.ends_at(frame + 1):
            found[frame + 1 - frames] = sliding.whole()
    if total < frames:
        assert not found
        with pytest.raises(InputError, match=f"the movie has {total} frames"):
            windows.starts(total)
        return
    assert list(found) == list(windows.starts(total))
    for start, sums in found.items():
        wanted = MovieSums.zeros(1, 1)
        for frame in range(start, start + frames):
            wanted.add(prediction(frame))
        for name in ("posterior", "gathered", "squared", "emitters"):
            np.testing.assert_allclose(getattr(sums, name), getattr(wanted, name), rtol=1e-12)


@given(frames=st.integers(1, 5000), step=st.integers(1, 5000))
def test_parts_make_up_windows_and_steps(frames: int, step: int) -> None:
    if frames // np.gcd(frames, step) > MOST_PARTS:
        with pytest.raises(InputError, match=r"choose a step of \d+ frames") as caught:
            Windows(frames, step)
        step = int(str(caught.value).split("a step of ")[1].split()[0])
    windows = Windows(frames, step)
    assert windows.parts * windows.part_frames == frames
    assert step % windows.part_frames == 0
    assert windows.parts <= MOST_PARTS


@pytest.mark.parametrize(("frames", "step"), [(0, 1), (5, 0), (-3, 1)])
def test_windows_of_nothing_are_refused(frames: int, step: int) -> None:
    with pytest.raises(InputError, match="whole numbers above 0"):
        Windows(frames, step)


def test_too_many_parts_name_a_step_that_works() -> None:
    with pytest.raises(InputError, match=r"kept in 500 parts, but .* a step of 10 frames"):
        Windows(500, 1)
    assert Windows(500, 10).parts == 50
