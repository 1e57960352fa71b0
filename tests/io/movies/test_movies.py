from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepstorm.errors import InputError
from deepstorm.io.movies.movie import ArrayMovie, Movie
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.tiff.stack import TiffMovie
from deepstorm.io.movies.writing import write_movie

FRAMES = np.random.default_rng(0).integers(0, 4000, (6, 9, 11)).astype(np.uint16)
IMAGEJ_TYPES = st.sampled_from([np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)])


@st.composite
def movies(draw: st.DrawFn) -> npt.NDArray[Any]:
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)))
    dtype = draw(IMAGEJ_TYPES)
    finite = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    elements = hnp.from_dtype(dtype, **finite)
    return draw(hnp.arrays(dtype, shape, elements=elements))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(frames=movies(), pixel_size_nm=st.none() | st.floats(10.5, 900))
def test_a_written_movie_is_read_back(
    frames: npt.NDArray[Any], pixel_size_nm: float | None, tmp_path: Path
) -> None:
    write_movie(tmp_path / "m.tif", frames, pixel_size_nm, overwrite=True)
    with open_movie(tmp_path / "m.tif") as movie:
        assert movie.shape == frames.shape
        assert movie.dtype == frames.dtype
        np.testing.assert_array_equal(movie.read(0, len(frames)), frames)
        assert movie.pixel_size_nm == pytest.approx(pixel_size_nm)


def test_blocks_make_the_same_file_as_an_array(tmp_path: Path) -> None:
    write_movie(tmp_path / "whole.tif", FRAMES, 100.0)
    write_movie(tmp_path / "blocks.tif", (FRAMES[i : i + 4] for i in (0, 4)), 100.0)
    assert (tmp_path / "whole.tif").read_bytes() == (tmp_path / "blocks.tif").read_bytes()


def test_a_written_movie_is_a_time_series_for_imagej(tmp_path: Path) -> None:
    write_movie(tmp_path / "m.tif", FRAMES, 117.0)
    with tifffile.TiffFile(tmp_path / "m.tif") as file:
        assert file.is_imagej
        assert file.series[0].axes == "TYX"
        assert len(file.pages) == len(FRAMES)
        metadata = file.imagej_metadata or {}
        numerator, denominator = file.pages[0].tags["XResolution"].value
    assert metadata["frames"] == len(FRAMES)
    assert metadata["unit"] == "um"
    assert denominator / numerator == pytest.approx(0.117)


@pytest.mark.parametrize(
    "frames",
    [
        np.empty((0, 4, 4), np.uint16),
        np.empty((2, 0, 4), np.uint16),
        np.zeros((2, 4, 4), np.float64),
        np.zeros((4, 4), np.uint16),
        [],
        [FRAMES, FRAMES[:, :5]],
        [FRAMES, FRAMES.astype(np.uint8)],
    ],
    ids=["no frames", "no rows", "float64", "2D", "no blocks", "other size", "other type"],
)
def test_frames_that_cannot_be_written_leave_nothing_behind(frames: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_movie(tmp_path / "m.tif", frames, 100.0)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    write_movie(tmp_path / "m.tif", FRAMES, 100.0)
    before = (tmp_path / "m.tif").read_bytes()

    def interrupted() -> Iterator[npt.NDArray[Any]]:
        yield FRAMES
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_movie(tmp_path / "m.tif", interrupted(), 100.0, overwrite=True)
    assert (tmp_path / "m.tif").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.tif"]


def test_a_movie_is_not_overwritten_unasked(tmp_path: Path) -> None:
    write_movie(tmp_path / "m.tif", FRAMES, 100.0)
    with pytest.raises(InputError, match="exists"):
        write_movie(tmp_path / "m.tif", FRAMES, 100.0)


def test_a_movie_needs_the_name_of_a_tiff_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end its name in \.tif"):
        write_movie(tmp_path / "m.avi", FRAMES, 100.0)


@pytest.mark.parametrize("pixel_size_nm", [0.0, -1.0, np.nan, np.inf])
def test_a_pixel_size_must_be_positive(pixel_size_nm: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pixel size"):
        write_movie(tmp_path / "m.tif", FRAMES, pixel_size_nm)


def test_an_array_is_a_movie() -> None:
    with open_movie(FRAMES) as movie:
        assert isinstance(movie, Movie)
        assert movie.shape == FRAMES.shape
        np.testing.assert_array_equal(movie.read(2, 5), FRAMES[2:5])


def test_a_2d_array_is_a_movie_of_one_frame() -> None:
    movie = ArrayMovie(FRAMES[0], pixel_size_nm=100.0, name="image")
    assert movie.shape == (1, 9, 11)
    assert (movie.pixel_size_nm, movie.name) == (100.0, "image")
    np.testing.assert_array_equal(movie.read(0, 1), FRAMES[:1])


def test_an_array_is_given_in_the_byte_order_of_the_machine() -> None:
    movie = ArrayMovie(FRAMES.astype(">u2"))
    assert movie.dtype == np.dtype(np.uint16) == movie.read(0, 1).dtype
    assert movie.dtype.isnative


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(4), "expected"),
        (np.zeros((2, 2, 2, 2)), "expected"),
        (np.zeros((0, 4, 4)), "no pixels"),
        (np.zeros((1, 4, 0)), "no pixels"),
        (np.zeros((1, 4, 4), complex), "complex"),
        (np.zeros((1, 4, 4), bool), "bool"),
        (np.zeros((1, 4, 4), object), "object"),
    ],
)
def test_arrays_that_are_no_movies(array: npt.NDArray[Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_movie(array)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_finite_is_named(bad: float) -> None:
    frames = np.zeros((5, 3, 3), np.float32)
    frames[3, 1, 1] = bad
    movie = ArrayMovie(frames)
    movie.read(0, 3)
    with pytest.raises(InputError, match="frame 3"):
        movie.read(1, 5)


@pytest.mark.parametrize("limits", [(-1, 2), (0, 7), (4, 3)])
def test_frames_outside_the_movie_are_not_read(limits: tuple[int, int], tmp_path: Path) -> None:
    write_movie(tmp_path / "m.tif", FRAMES, None)
    with open_movie(tmp_path / "m.tif") as file, open_movie(FRAMES) as array:
        for movie in (file, array):
            with pytest.raises(IndexError):
                movie.read(*limits)


def test_an_open_movie_is_lent_and_stays_open(tmp_path: Path) -> None:
    write_movie(tmp_path / "m.tif", FRAMES, 100.0)
    with TiffMovie(tmp_path / "m.tif") as movie:
        with open_movie(movie) as lent:
            assert lent.shape == movie.shape
            assert lent.pixel_size_nm == movie.pixel_size_nm
            np.testing.assert_array_equal(lent.read(0, 6), FRAMES)
        np.testing.assert_array_equal(movie.read(0, 6), FRAMES)


def test_what_holds_no_movie_is_refused() -> None:
    with pytest.raises(InputError, match="int"):
        open_movie(3)  # type: ignore[arg-type]
