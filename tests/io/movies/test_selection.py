from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.io.movies.movie import ArrayMovie, Movie
from deepstorm.io.movies.selection import Region, SelectedMovie, parse_frames

FRAMES = np.arange(10 * 6 * 8, dtype=np.uint16).reshape(10, 6, 8)


class Source(ArrayMovie):
    """A movie that records what is read of it and whether it was closed."""

    def __init__(self) -> None:
        super().__init__(FRAMES, pixel_size_nm=110.0, name="source")
        self.ranges: list[tuple[int, int]] = []
        self.closed = False

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        self.ranges.append((start, stop))
        return super().read(start, stop)

    def close(self) -> None:
        self.closed = True


def selected(frames: slice | None = None, region: Region | None = None) -> SelectedMovie:
    return SelectedMovie(ArrayMovie(FRAMES), frames, region)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:500", slice(0, 500)),
        ("20:", slice(20, None)),
        (":20", slice(None, 20)),
        (":", slice(None)),
        ("-100:-1", slice(-100, -1)),
        (" 3 : 5 ", slice(3, 5)),
    ],
)
def test_frames_are_written_as_in_python(text: str, expected: slice) -> None:
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "5", "1:2:3", "a:b", "1.5:3", "1-5", "1,5", "None:3"])
def test_other_texts_are_no_frames(text: str) -> None:
    with pytest.raises(InputError, match=f"'{text}'.* give START:STOP"):
        parse_frames(text)


@pytest.mark.parametrize("text", ["3,4,128,64", " 3, 4 ,128,64 "])
def test_regions_are_written_as_in_fiji(text: str) -> None:
    assert Region.parse(text) == Region(x=3, y=4, width=128, height=64)


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "1;2;3;4", "a,b,c,d", "1.5,2,3,4", ",,,"]
)
def test_other_texts_are_no_region(text: str) -> None:
    with pytest.raises(InputError, match=f"'{text}'.* give X,Y,WIDTH,HEIGHT"):
        Region.parse(text)


@given(
    start=st.none() | st.integers(-12, 12),
    stop=st.none() | st.integers(-12, 12),
    data=st.data(),
)
def test_a_selection_is_what_slicing_gives(
    start: int | None, stop: int | None, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, 7)), data.draw(st.integers(0, 5))
    width, height = data.draw(st.integers(1, 8 - x)), data.draw(st.integers(1, 6 - y))
    expected = FRAMES[start:stop, y : y + height, x : x + width]
    if len(expected) == 0:
        with pytest.raises(InputError):
            selected(slice(start, stop))
        return
    movie = selected(slice(start, stop), Region(x, y, width, height))
    assert movie.shape == expected.shape
    np.testing.assert_array_equal(movie.read(0, len(expected)), expected)


def test_blocks_of_a_selection_are_blocks_of_the_movie() -> None:
    source = Source()
    movie = SelectedMovie(source, slice(2, 9), Region(1, 2, 3, 4))
    parts = [movie.read(start, min(start + 3, 7)) for start in range(0, 7, 3)]
    assert source.ranges == [(2, 5), (5, 8), (8, 9)]
    np.testing.assert_array_equal(np.concatenate(parts), FRAMES[2:9, 2:6, 1:4])
    assert movie.read(3, 3).shape == (0, 4, 3)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 8), (5, 4), (8, 9)])
def test_frames_beside_the_selection_cannot_be_read(start: int, stop: int) -> None:
    movie = selected(slice(2, 9))
    with pytest.raises(IndexError, match=f"frames {start} to {stop} are outside"):
        movie.read(start, stop)


def test_all_is_selected_unless_something_is_asked_for() -> None:
    movie = selected()
    assert movie.shape == FRAMES.shape
    np.testing.assert_array_equal(movie.read(0, 10), FRAMES)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (slice(10, None), "no frame of 10 lies in the range 10:;"),
        (slice(5, 5), "no frame of 10 lies in the range 5:5;"),
        (slice(8, 2), "no frame of 10 lies in the range 8:2;"),
        (slice(None, -20), "no frame of 10 lies in the range :-20;"),
        (slice(0, 10, 2), "frames in steps of 2"),
        (slice(0, 10, 0), "frames in steps of 0"),
        (slice(None, None, -1), "frames in steps of -1"),
    ],
)
def test_frames_that_are_not_there_are_refused(frames: slice, words: str) -> None:
    with pytest.raises(InputError, match=words):
        selected(frames)


@pytest.mark.parametrize(
    "region",
    [
        Region(-1, 0, 4, 4),
        Region(0, -1, 4, 4),
        Region(0, 0, 9, 4),
        Region(0, 0, 4, 7),
        Region(5, 0, 4, 4),
        Region(0, 3, 4, 4),
        Region(0, 0, 0, 4),
        Region(0, 0, 4, -1),
    ],
)
def test_regions_beyond_the_field_are_refused(region: Region) -> None:
    with pytest.raises(InputError, match=r"does not lie within the frames of 8 × 6 pixels"):
        selected(region=region)


def test_a_selection_is_a_movie_like_its_source() -> None:
    movie = SelectedMovie(Source(), slice(2, 9), Region(1, 2, 3, 4))
    assert isinstance(movie, Movie)
    assert movie.name == "source"
    assert movie.dtype == np.uint16
    assert movie.pixel_size_nm == 110.0


def test_a_selection_closes_its_source() -> None:
    source = Source()
    with SelectedMovie(source) as movie:
        assert not source.closed
        assert movie.read(0, 1).shape == (1, 6, 8)
    assert source.closed


@pytest.mark.parametrize("frames", [None, slice(2, 5), slice(-3, None), slice(None, -4)])
def test_the_numbers_of_selected_frames(frames: slice | None) -> None:
    part = selected(frames)
    expected = range(10)[frames if frames is not None else slice(None)]
    assert part.frames == expected
    np.testing.assert_array_equal(part.read(0, 1)[0], FRAMES[part.frames.start])
