from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.provenance import InputFile
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.writing import write_movie


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    write_movie(tmp_path / "movie.tif", np.zeros((3, 8, 9), np.uint16), 100)
    os.utime(tmp_path / "movie.tif", (0, 0))
    return tmp_path / "movie.tif"


def test_a_file_is_described_as_it_was_when_it_was_opened(movie: Path) -> None:
    size = movie.stat().st_size
    with open_movie(movie) as opened:
        file = InputFile.of(str(movie))
        assert file.warnings() == []
        movie.write_bytes(b"short")
        assert file.record(opened) == {
            "name": "movie.tif",
            "shape": [3, 8, 9],
            "path": str(movie),
            "bytes": size,
            "modified": "1970-01-01T00:00:00+00:00",
        }
    (warning,) = file.warnings()
    assert "'movie.tif' was changed or replaced while it was read" in warning.sentence


def test_a_file_that_is_gone_is_told(movie: Path) -> None:
    file = InputFile.of(movie)
    movie.rename(movie.with_name("other.tif"))
    (warning,) = file.warnings()
    assert "'movie.tif' was deleted or renamed" in warning.sentence


def test_a_copy_with_the_same_time_is_the_same(movie: Path) -> None:
    file, copy = InputFile.of(movie), movie.with_name("copy.tif")
    copy.write_bytes(movie.read_bytes())
    os.utime(copy, (0, 0))
    copy.replace(movie)
    assert file.warnings() == []


def test_a_date_beyond_the_calendar(movie: Path) -> None:
    dated = os.stat_result((0, 0, 0, 0, 0, 0, 1234, 0, 300_000_000_000, 0))
    with open_movie(movie) as opened:
        record = InputFile(movie, dated).record(opened)
    assert (record["bytes"], record["modified"]) == (1234, None)


def test_what_is_no_file_has_none() -> None:
    frames = np.zeros((3, 8, 9), np.uint16)
    with open_movie(frames) as opened:
        file = InputFile.of(frames)
        assert set(file.record(opened)) == {"name", "shape"}
        assert file.warnings() == []
