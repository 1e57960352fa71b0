"""Movies that are read while they are written."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import SelectedMovie

FRAMES = np.random.default_rng(0).integers(1, 4000, (8, 7, 9)).astype(np.uint16)
quickly = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)


def append(path: Path, frame: npt.NDArray[Any], **options: Any) -> None:
    tifffile.imwrite(path, frame, photometric="minisblack", metadata=None, append=True, **options)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"rowsperstrip": 2}], ids=str)
@pytest.mark.parametrize("bigtiff", [False, True])
def test_appended_frames_are_found(options: dict[str, Any], bigtiff: bool, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(
        path, FRAMES[0], photometric="minisblack", metadata=None, bigtiff=bigtiff, **options
    )
    with open_movie(path) as movie:
        for count in range(2, 9):
            append(path, FRAMES[count - 1], **options)
            assert movie.shape[0] == count - 1
            np.testing.assert_array_equal(movie.read(0, count - 1), FRAMES[: count - 1])
            assert movie.refresh() == count == movie.shape[0]
            np.testing.assert_array_equal(movie.read(0, count), FRAMES[:count])
        assert movie.notes == ()


def test_a_selection_grows_up_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    for frame in FRAMES[:4]:
        append(path, frame)
    slices = (slice(1, None), slice(1, 6), slice(1, 3), slice(-2, -1), None)
    parts = [SelectedMovie(open_movie(path), frames) for frames in slices]
    copies = [pickle.loads(pickle.dumps(part)) for part in parts]  # noqa: S301
    assert [part.shape[0] for part in parts] == [3, 3, 2, 1, 4]
    for frame in FRAMES[4:]:
        append(path, frame)
    for some in (parts, copies):
        assert [part.refresh() for part in some] == [7, 5, 2, 1, 8]
    for part, frames in zip(
        parts, (slice(1, 8), slice(1, 6), slice(1, 3), slice(2, 3)), strict=False
    ):
        np.testing.assert_array_equal(part.read(0, part.shape[0]), FRAMES[frames])
    for part in (*parts, *copies):
        part.close()


def test_a_movie_that_grew_is_still_the_same_one(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    for frame in FRAMES[:3]:
        append(path, frame)
    with open_movie(path) as movie:
        pickled = pickle.dumps(movie)
        append(path, FRAMES[3])
        for again in (movie.reopen(), pickle.loads(pickled)):  # noqa: S301
            with again:
                np.testing.assert_array_equal(again.read(0, 4), FRAMES[:4])


@quickly
@given(
    cuts=st.lists(st.integers(0, 10_000), min_size=1, max_size=6),
    zeros=st.sampled_from([0, 100_000]),
)
def test_the_whole_frames_so_far_are_the_movie(
    cuts: list[int],
    zeros: int,
    tmp_path: Path,
    micromanager_pages: Callable[..., tuple[bytes, list[int], list[int]]],
) -> None:
    """Cut a file anywhere, as a writer that is not done leaves it, with space set aside or not."""
    content, ends, _ = micromanager_pages(FRAMES)
    path, movie = tmp_path / "m.tif", None
    for cut in sorted({min(cut % 2000, len(content)) for cut in cuts} | {len(content)}):
        with path.open("r+b" if path.exists() else "xb") as file:
            file.write(content[:cut] + bytes(zeros))
            file.truncate()
        whole = sum(end <= cut for end in ends)
        if movie is None:
            try:
                movie = open_movie(path, growing=True)
            except InputError:
                assert whole == 0
                continue
        count = movie.refresh()
        # The text behind the pixels tells that a frame is written, and may do so half.
        assert whole <= count <= whole + 1
        np.testing.assert_array_equal(movie.read(0, count), FRAMES[:count])
    assert movie is not None
    assert movie.refresh() == 8
    assert movie.notes == ()
    movie.close()
    path.unlink()


@pytest.mark.parametrize("missing", [1, 100, 300])
def test_a_file_that_is_cut_off_is_read_only_where_it_is_said_to_grow(
    missing: int,
    tmp_path: Path,
    micromanager_pages: Callable[..., tuple[bytes, list[int], list[int]]],
) -> None:
    content, ends, _ = micromanager_pages(FRAMES)
    path = tmp_path / "m.tif"
    path.write_bytes(content[: ends[6] - missing])
    with pytest.raises(InputError, match="truncated"):
        open_movie(path)
    with open_movie(path, growing=True) as movie:
        assert movie.shape[0] == 6
        assert "whole frames, which are read, and an end that is not whole" in movie.notes[0]
        with movie.reopen() as again:
            assert again.shape == movie.shape


@pytest.mark.parametrize("announced", [8, 9])
def test_a_stack_with_one_page_table_grows_by_its_pixels(announced: int, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES, imagej=True, truncate=True)
    content = path.read_bytes()
    for key in (b"images=", b"channels="):
        content = content.replace(key + b"8", key + b"%d" % announced)
    first = content.index(FRAMES.tobytes())
    path.write_bytes(content[: first + 2 * FRAMES[0].nbytes + 5])
    with open_movie(path, growing=True) as movie:
        assert movie.shape[0] == 2
        for count in (4, 8):
            path.write_bytes(content[: first + count * FRAMES[0].nbytes])
            assert movie.refresh() == count
            np.testing.assert_array_equal(movie.read(0, count), FRAMES[:count])
        assert bool(movie.notes) == (announced != 8)


def test_what_grows_must_have_one_whole_frame(
    tmp_path: Path, micromanager_pages: Callable[..., tuple[bytes, list[int], list[int]]]
) -> None:
    content, ends, _ = micromanager_pages(FRAMES)
    path = tmp_path / "m.tif"
    for start in (9, 40, ends[0] - 60):
        path.write_bytes(content[:start])
        with pytest.raises(InputError):
            open_movie(path, growing=True)


def test_descriptions_that_come_at_the_end(
    tmp_path: Path,
    micromanager_pages: Callable[..., tuple[bytes, list[int], list[int]]],
    ome: Callable[..., str],
) -> None:
    planes = [("m.ome.tif", page) for page in range(8)]
    texts = (ome(planes, PhysicalSizeX=0.11, PhysicalSizeY=0.11), "ImageJ=1.52p\nframes=8\n")
    content, ends, _ = micromanager_pages(FRAMES, texts=texts)
    path = tmp_path / "m.ome.tif"
    path.write_bytes(content[: ends[4]])
    with open_movie(path, growing=True) as movie:
        assert (movie.shape[0], movie.pixel_size_nm) == (5, None)
        path.write_bytes(content)
        assert movie.refresh() == 8
        assert movie.pixel_size_nm == pytest.approx(110)
        assert movie.notes == ()


def test_a_file_that_was_replaced_is_not_taken_for_grown(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    tifffile.imwrite(path, FRAMES[:3], photometric="minisblack")
    with open_movie(path) as movie:
        tifffile.imwrite(tmp_path / "n.tif", FRAMES, photometric="minisblack")
        (tmp_path / "n.tif").replace(path)
        with pytest.raises(InputError, match="replaced"):
            movie.refresh()
        np.testing.assert_array_equal(movie.read(0, 3), FRAMES[:3])


def test_an_ndtiff_folder_grows(tmp_path: Path, write_ndtiff: Callable[..., Path]) -> None:
    axes = [{"time": time} for time in range(8)]
    whole = write_ndtiff(tmp_path / "run", [FRAMES[:5], FRAMES[5:]], axes)
    files = {path.name: path.read_bytes() for path in whole.iterdir()}
    index, entry = files["NDTiff.index"], len(files["NDTiff.index"]) // 8
    (whole / "NDTiff.index").write_bytes(index[: 3 * entry - 7])
    (whole / "run_NDTiffStack_1.tif").unlink()
    with open_movie(whole, growing=True) as movie:
        assert movie.shape[0] == 2
        (whole / "NDTiff.index").write_bytes(index[: 5 * entry])
        assert movie.refresh() == 5
        (whole / "run_NDTiffStack_1.tif").write_bytes(files["run_NDTiffStack_1.tif"])
        (whole / "NDTiff.index").write_bytes(index)
        assert movie.refresh() == 8
        np.testing.assert_array_equal(movie.read(0, 8), FRAMES)


WRITER = """
import sys, numpy as np, tifffile
for number in range(150):
    frame = np.full((40, 50), number + 1, np.uint16)
    tifffile.imwrite(
        sys.argv[1], frame, photometric="minisblack", metadata=None, append=True,
        compression=sys.argv[2] or None,
    )
"""


@pytest.mark.parametrize("compression", ["", "zlib"])
def test_another_process_writes_meanwhile(compression: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    append(path, np.zeros((40, 50), np.uint16), compression=compression or None)
    command = [sys.executable, "-c", WRITER, str(path), compression]
    seen = [1]
    with open_movie(path) as movie, subprocess.Popen(command) as writer:
        while writer.poll() is None or seen[-1] < movie.refresh():
            count = movie.refresh()
            assert count >= seen[-1]
            if count > seen[-1]:
                frames = movie.read(seen[-1] - 1, count)
                expected = np.arange(seen[-1] - 1, count)
                np.testing.assert_array_equal(frames.min(axis=(1, 2)), expected)
                np.testing.assert_array_equal(frames.max(axis=(1, 2)), expected)
            seen.append(count)
        assert writer.returncode == 0
        assert movie.refresh() == 151
    assert len(set(seen)) > 3
