from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.api.inputs import CREDIBLE_PIXEL_NM, opened_movie, pixel_size_of, selected_movie
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import Region
from deepstorm.io.movies.writing import write_movie

FRAMES = np.arange(6 * 16 * 20, dtype=np.uint16).reshape(6, 16, 20)
SIZES = st.one_of(st.none(), st.floats(*CREDIBLE_PIXEL_NM))


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    write_movie(tmp_path / "movie.tif", FRAMES, 110)
    return tmp_path / "movie.tif"


def test_a_part_of_a_movie_is_selected(movie: Path) -> None:
    region = Region(3, 2, 8, 5)
    for source in (movie, FRAMES):
        with selected_movie(source, frames=slice(1, 4), region=region) as selected:
            np.testing.assert_array_equal(selected.read(0, 3), FRAMES[1:4, 2:7, 3:11])
            assert selected.frames == range(1, 4)


def test_both_come_together(movie: Path) -> None:
    with opened_movie(movie, frames=slice(-2, None)) as (selected, pixel_nm):
        assert pixel_nm == pytest.approx(110)
        assert selected.shape == (2, 16, 20)
    known = KnownValues(pixel_size_nm=90)
    with opened_movie(movie, known=known) as (_, pixel_nm):
        assert pixel_nm == 90
    with opened_movie(movie, known=known, pixel_size_nm=80) as (_, pixel_nm):
        assert pixel_nm == 80


@given(SIZES, SIZES, SIZES)
def test_the_user_comes_first_and_the_file_last(
    given_nm: float | None, known_nm: float | None, of_file_nm: float | None
) -> None:
    with open_movie(FRAMES) as movie:
        movie.pixel_size_nm = of_file_nm  # type: ignore[misc]
        found = pixel_size_of(movie, given_nm, KnownValues(pixel_size_nm=known_nm))
    said = [size for size in (given_nm, known_nm, of_file_nm) if size is not None]
    assert found == (said[0] if said else None)


@pytest.mark.parametrize("pixel_nm", [0.5, 10_001.0])
def test_what_no_microscope_has_is_refused(pixel_nm: float) -> None:
    words = f"`pixel_size_nm={pixel_nm:g}` is not credible .*1 to 10000 nm"
    with pytest.raises(InputError, match=words), opened_movie(FRAMES, pixel_size_nm=pixel_nm):
        pass
    known = KnownValues(pixel_size_nm=pixel_nm)
    with pytest.raises(InputError, match=words), opened_movie(FRAMES, known=known):
        pass


def test_a_size_that_nobody_knows_is_asked_for(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", FRAMES)
    words = r"'plain\.tif' does not say .*`pixel_size_nm=100`"
    with pytest.raises(InputError, match=words), opened_movie(tmp_path / "plain.tif"):
        pass
    with selected_movie(tmp_path / "plain.tif") as movie:
        assert pixel_size_of(movie, None) is None


def test_a_movie_is_closed_whatever_happens(movie: Path) -> None:
    with pytest.raises(ZeroDivisionError), opened_movie(movie) as (selected, _):
        raise ZeroDivisionError
    with pytest.raises((ValueError, InputError, OSError)):
        selected.read(0, 1)
