from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.io.movies.npy import NpyMovie
from deepstorm.io.movies.opening import open_movie

FRAMES = np.random.default_rng(0).integers(1, 4000, (5, 6, 7)).astype(np.uint16)


def with_header(header: str, body: bytes = b"\0" * 64) -> bytes:
    raw = header.encode()
    return b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw + body


def test_big_endian_counts_and_a_single_frame(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", FRAMES[0].astype(">i4"))
    with open_movie(tmp_path / "m.npy") as movie:
        assert movie.shape == (1, 6, 7)
        assert movie.dtype.isnative
        np.testing.assert_array_equal(movie.read(0, 1)[0], FRAMES[0])


def test_blocks_are_the_callers_own(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", FRAMES)
    with open_movie(tmp_path / "m.npy") as movie:
        movie.read(0, 5)[:] = 0
        np.testing.assert_array_equal(movie.read(0, 5), FRAMES)


@pytest.mark.parametrize(
    "content",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x09\x00\x10\x00" + b" " * 80,
        with_header("{'descr': '<u2', 'fortran_order': False, 'shape': (9, 9, 9), }\n"),
        with_header("{'descr': '<u2', 'fortran_order': False, 'shape': (-1, 2, 2), }\n"),
        with_header(
            "{'descr': '<u2', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n"
        ),
        with_header("{'descr': '<u2', 'fortran_order': False, 'shape': (2.5, 2, 2), }\n"),
        with_header("{'descr': '<u2', 'fortran_order': False, 'shape': (0, 2, 2), }\n"),
        with_header("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2, 2, 2), }\n"),
        with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 2, 2), }\n"),
        with_header("{'descr': '<c8', 'fortran_order': False, 'shape': (1, 2, 2), }\n"),
        with_header("{'descr': '|S4', 'fortran_order': False, 'shape': (1, 2, 2), }\n"),
        with_header("{'descr': [('a', '<u2')], 'fortran_order': False, 'shape': (1, 2, 2), }\n"),
        with_header("__import__('os').system('true')\n"),
        with_header("(" * 900 + "\n"),
    ],
)
def test_headers_that_lie_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"'m\.npy'"):
        open_movie(tmp_path / "m.npy")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(6, 127), st.integers(0, 255)), max_size=4),
    end=st.none() | st.integers(6, 400),
)
def test_damage_ends_in_frames_or_in_an_error(
    changes: list[tuple[int, int]], end: int | None, tmp_path: Path
) -> None:
    np.save(tmp_path / "m.npy", FRAMES)
    content = bytearray((tmp_path / "m.npy").read_bytes()[:end])
    for position, value in changes:
        content[min(position, len(content) - 1)] = value
    (tmp_path / "m.npy").write_bytes(content)
    with contextlib.suppress(InputError), NpyMovie(tmp_path / "m.npy") as movie:
        assert movie.read(0, movie.shape[0]).shape == movie.shape


def test_a_file_that_is_cut_off_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "m.npy"
    np.save(path, np.zeros((50, 64, 64), np.uint16))
    with open_movie(path) as movie:
        with path.open("r+b") as file:
            file.truncate(1000)
        with pytest.raises(InputError, match="has become shorter"):
            movie.read(0, 50)


def test_a_file_that_is_deleted_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "m.npy"
    np.save(path, FRAMES)
    with open_movie(path) as movie:
        path.unlink()
        np.testing.assert_array_equal(movie.read(0, 5), FRAMES)
