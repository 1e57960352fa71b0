"""What holds for a movie of every kind."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from deepstorm.errors import InputError
from deepstorm.io.movies.movie import ArrayMovie, Movie
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import Region, SelectedMovie

FRAMES = np.random.default_rng(0).integers(1, 4000, (7, 9, 11)).astype(np.uint16)
TIFF_KINDS: dict[str, dict[str, Any]] = {
    "TIFF": {},
    "compressed": {"compression": "zlib"},
    "ImageJ": {"imagej": True},
    "one page table": {"imagej": True, "truncate": True},
    "OME": {"ome": True},
}
KINDS = [
    *("array", "npy", "Fortran npy", "OME series", "NDTiff file", "NDTiff folder"),
    *("selection", "lent", *TIFF_KINDS),
]

ANSWERING = """
import pickle, struct, sys
while length := sys.stdin.buffer.read(4):
    try:
        with pickle.loads(sys.stdin.buffer.read(struct.unpack("<I", length)[0])) as movie:
            frames = movie.read(0, movie.shape[0])
            said = (movie.name, movie.shape, movie.dtype, movie.pixel_size_nm, movie.notes, frames)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    answer = pickle.dumps(said)
    sys.stdout.buffer.write(struct.pack("<I", len(answer)) + answer)
    sys.stdout.buffer.flush()
"""

Ask = Callable[[bytes], Any]


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Have a pickled movie opened and read in another process and another folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with subprocess.Popen(
        [sys.executable, "-c", ANSWERING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
    ) as process:
        assert process.stdin
        assert process.stdout

        def ask(pickled: bytes) -> Any:
            process.stdin.write(struct.pack("<I", len(pickled)) + pickled)
            process.stdin.flush()
            (length,) = struct.unpack("<I", process.stdout.read(4))
            return pickle.loads(process.stdout.read(length))  # noqa: S301

        yield ask
        process.stdin.close()


@pytest.fixture
def make(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write_ndtiff: Callable[..., Path],
    write_ome_series: Callable[..., list[Path]],
) -> Callable[[str], Movie]:
    """Make a movie of a kind; files are named by a relative path."""
    monkeypatch.chdir(tmp_path)

    def opened(kind: str) -> Movie:
        if kind == "array":
            return ArrayMovie(FRAMES, 100.0, "frames")
        if kind == "selection":
            whole = np.pad(FRAMES, ((2, 0), (1, 3), (4, 0)))
            np.save("whole.npy", whole)
            return SelectedMovie(open_movie("whole.npy"), slice(2, None), Region(4, 1, 11, 9))
        if kind == "lent":
            return open_movie(open_movie(FRAMES))
        if kind.endswith("npy"):
            np.save("m.npy", np.asfortranarray(FRAMES) if "Fortran" in kind else FRAMES)
            return open_movie("m.npy")
        if kind.startswith("NDTiff"):
            write_ndtiff(Path("run"), [FRAMES[:4], FRAMES[4:]], [{"time": t} for t in range(7)])
            return open_movie("run" if "folder" in kind else "run/run_NDTiffStack_1.tif")
        if kind == "OME series":
            return open_movie(write_ome_series(Path(), [FRAMES[:3], FRAMES[3:]])[1].name)
        tifffile.imwrite("m.tif", FRAMES, photometric="minisblack", **TIFF_KINDS[kind])
        return open_movie("m.tif")

    return opened


@pytest.mark.parametrize("kind", KINDS)
def test_the_frames_are_read(kind: str, make: Callable[[str], Movie]) -> None:
    with make(kind) as movie:
        assert isinstance(movie, Movie)
        assert movie.shape == FRAMES.shape
        assert movie.dtype == np.uint16
        assert movie.notes == ()
        np.testing.assert_array_equal(movie.read(0, 7), FRAMES)
        np.testing.assert_array_equal(movie.read(2, 5), FRAMES[2:5])
        assert movie.read(3, 3).shape == (0, 9, 11)
        for limits in ((-1, 2), (0, 8), (4, 3)):
            with pytest.raises(IndexError, match="are outside"):
                movie.read(*limits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_movie_is_opened_anew(
    kind: str, make: Callable[[str], Movie], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    movie = make(kind)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with movie.reopen() as again:
        movie.close()
        assert (again.name, again.shape, again.dtype) == (movie.name, FRAMES.shape, np.uint16)
        assert again.pixel_size_nm == movie.pixel_size_nm
        np.testing.assert_array_equal(again.read(0, 7), FRAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_movie_is_read_in_another_process(
    kind: str, make: Callable[[str], Movie], elsewhere: Ask
) -> None:
    with make(kind) as movie:
        pickled = pickle.dumps(movie)
        *said, frames = elsewhere(pickled)
        expected = (movie.name, movie.shape, movie.dtype, movie.pixel_size_nm, movie.notes)
    assert tuple(said) == expected
    np.testing.assert_array_equal(frames, FRAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_movie_that_is_complete_does_not_grow(kind: str, make: Callable[[str], Movie]) -> None:
    with make(kind) as movie:
        assert movie.refresh() == 7
        assert movie.shape == FRAMES.shape
        np.testing.assert_array_equal(movie.read(0, 7), FRAMES)


FILES = [kind for kind in KINDS if kind not in ("array", "lent")]


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_was_replaced_is_refused(
    kind: str, make: Callable[[str], Movie], elsewhere: Ask, tmp_path: Path
) -> None:
    with make(kind) as movie:
        pickled = pickle.dumps(movie)
        for path in tmp_path.rglob("*.*"):
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
            os.utime(path, ns=(1, 1))
        with pytest.raises(InputError, match="been changed or replaced"):
            movie.reopen()
        assert "InputError" in elsewhere(pickled)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_gone_is_refused(
    kind: str, make: Callable[[str], Movie], tmp_path: Path
) -> None:
    with make(kind) as movie:
        for path in tmp_path.rglob("*.*"):
            path.unlink()
        with pytest.raises(InputError, match=r"does not exist|missing"):
            movie.reopen()


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "selection"])
def test_a_closed_movie_is_not_read(kind: str, make: Callable[[str], Movie]) -> None:
    movie = make(kind)
    movie.close()
    movie.close()
    with pytest.raises(ValueError, match="is closed"):
        movie.read(0, 1)
    with pytest.raises(ValueError, match="is closed"):
        movie.refresh()
    with movie.reopen() as again:
        np.testing.assert_array_equal(again.read(0, 7), FRAMES)


def test_a_longer_movie_that_begins_otherwise_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, photometric="minisblack", metadata=None)
    with open_movie(path) as movie:
        pickled = pickle.dumps(movie)
    longer = np.concatenate([FRAMES[::-1], FRAMES])
    tifffile.imwrite(path, longer, photometric="minisblack", metadata=None)
    with pytest.raises(InputError, match="been changed or replaced"):
        pickle.loads(pickled)  # noqa: S301


def test_nothing_of_a_file_is_pickled_but_its_path(tmp_path: Path) -> None:
    frames = np.zeros((50, 64, 64), np.uint16)
    np.save(tmp_path / "m.npy", frames)
    tifffile.imwrite(tmp_path / "m.tif", frames, photometric="minisblack")
    for name in ("m.npy", "m.tif"):
        with open_movie(tmp_path / name) as movie, SelectedMovie(movie, slice(3, None)) as part:
            assert len(pickle.dumps(part)) < 2000


def test_values_of_a_pickled_array_are_the_same(elsewhere: Ask) -> None:
    frames: npt.NDArray[Any] = FRAMES.astype(">f4")
    *_, read = elsewhere(pickle.dumps(ArrayMovie(frames)))
    np.testing.assert_array_equal(read, frames)
