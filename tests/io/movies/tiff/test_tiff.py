from __future__ import annotations

import io
import threading
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
from deepstorm.io.movies.tiff.stack import TiffMovie

FRAMES = np.random.default_rng(0).integers(0, 4000, (5, 33, 47)).astype(np.uint16)
FLAVOURS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without metadata": {"metadata": None},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "big-endian BigTIFF": {"byteorder": ">", "bigtiff": True},
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 32)},
    "deflate": {"compression": "zlib"},
    "LZW with predictor": {"compression": "lzw", "predictor": True, "rowsperstrip": 7},
    "Zstandard, big-endian": {"compression": "zstd", "byteorder": ">"},
    "PackBits": {"compression": "packbits"},
    "JPEG 2000": {"compression": "jpeg2000"},
    "12 bits": {"bitspersample": 12},
    "one page table": {"truncate": True},
    "ImageJ": {"imagej": True},
    "ImageJ, one page table": {"imagej": True, "truncate": True},
    "OME": {"ome": True},
    "OME, compressed": {"ome": True, "compression": "zlib"},
}


def written(path: Path, frames: npt.NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, frames, photometric="minisblack", **options)
    return path


def complaint_about(path: Path, expected: npt.NDArray[Any] | None = None) -> str:
    """Read a movie; return what is said against it, or nothing."""
    try:
        with open_movie(path) as movie:
            frames = movie.read(0, movie.shape[0] if expected is not None else 1)
            assert frames.shape[1:] == movie.shape[1:]
            if expected is not None:
                np.testing.assert_array_equal(frames, expected)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("options", FLAVOURS.values(), ids=FLAVOURS)
def test_every_flavour_gives_the_same_frames(options: dict[str, Any], tmp_path: Path) -> None:
    with open_movie(written(tmp_path / "m.tif", FRAMES, **options)) as movie:
        assert movie.shape == FRAMES.shape
        assert movie.dtype == np.uint16
        np.testing.assert_array_equal(movie.read(0, 5), FRAMES)
        np.testing.assert_array_equal(movie.read(2, 4), FRAMES[2:4])
        assert movie.read(1, 1).shape == (0, 33, 47)


@pytest.mark.parametrize("axis", "TZC")
@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_any_single_axis_is_time(kind: str, axis: str, tmp_path: Path) -> None:
    options = {kind: True, "metadata": {"axes": f"{axis}YX"}}
    with open_movie(written(tmp_path / "m.tif", FRAMES, **options)) as movie:
        np.testing.assert_array_equal(movie.read(0, 5), FRAMES)


@pytest.mark.parametrize("kind", ["imagej", "ome", "shaped"])
def test_two_long_axes_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"metadata": {"axes": "TCYX"}}
    path = written(tmp_path / "m.tif", FRAMES[:4].reshape(2, 2, 33, 47), **options, **{kind: True})
    with pytest.raises(InputError, match=r"T = 2.*C = 2|C = 2.*T = 2"):
        open_movie(path)


def test_unnamed_axes_are_refused_too(tmp_path: Path) -> None:
    path = written(tmp_path / "m.tif", FRAMES[:4].reshape(2, 2, 33, 47))
    with pytest.raises(InputError, match="several axes"):
        open_movie(path)


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8", "i8", "u8"]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_number_types_are_kept(dtype: str, compression: str | None, tmp_path: Path) -> None:
    frames = (FRAMES % 100).astype(dtype)
    with open_movie(written(tmp_path / "m.tif", frames, compression=compression)) as movie:
        assert movie.dtype == np.dtype(dtype) == movie.read(0, 1).dtype
        np.testing.assert_array_equal(movie.read(0, 5), frames)


def test_one_page_is_a_movie_of_one_frame(tmp_path: Path) -> None:
    with open_movie(written(tmp_path / "m.tif", FRAMES[0])) as movie:
        assert movie.shape == (1, 33, 47)
        np.testing.assert_array_equal(movie.read(0, 1), FRAMES[:1])


def test_a_movie_beyond_4_gb_with_one_page_table(tmp_path: Path) -> None:
    side, count = 1024, 2200
    path = tmp_path / "large.tif"
    with tifffile.TiffWriter(path, imagej=True) as writer:
        writer.write(np.full((side, side), 7, np.uint16), metadata={"unit": "um"})
    with tifffile.TiffFile(path, mode="r+") as file:
        page = file.pages.first
        offset = page.dataoffsets[0]
        description = f"ImageJ=1.53t\nimages={count}\nframes={count}\nhyperstack=true\n"
        page.tags["ImageDescription"].overwrite(description)
    last = offset + (count - 1) * side * side * 2
    with path.open("r+b") as raw:
        # The frames between are holes in the file, which take no room on the disk.
        raw.truncate(last + side * side * 2)
        raw.seek(last)
        raw.write(np.full((side, side), 9, np.uint16).tobytes())
    assert path.stat().st_size > 2**32
    with open_movie(path) as movie:
        assert movie.shape == (count, side, side)
        assert np.unique(movie.read(0, 1)).tolist() == [7]
        assert np.unique(movie.read(count - 1, count)).tolist() == [9]


def test_a_stack_with_one_page_table_that_is_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path / "m.tif", FRAMES, imagej=True, truncate=True)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="announces 5 frames, the file holds 4"):
        open_movie(path)


def test_colour_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", np.zeros((3, 8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(InputError, match="samples per pixel"):
        open_movie(tmp_path / "m.tif")


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (np.zeros((2, 8, 8), np.complex64), "complex"),
        (np.zeros((2, 8, 8), bool), "black-and-white"),
    ],
)
def test_pixels_that_are_no_numbers(frames: npt.NDArray[Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=reason):
        open_movie(written(tmp_path / "m.tif", frames))


@pytest.mark.parametrize("second", [np.zeros((8, 9), np.uint16), np.zeros((8, 8), np.uint8)])
def test_pages_that_differ(second: npt.NDArray[Any], tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        writer.write(np.zeros((8, 8), np.uint16), metadata=None)
        writer.write(second, metadata=None)
    with pytest.raises(InputError, match="page 1 differs from the first"):
        open_movie(tmp_path / "m.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_nan_in_a_file_names_its_frame(compression: str | None, tmp_path: Path) -> None:
    frames = np.ones((4, 8, 8), np.float32)
    frames[2, 3, 3] = np.nan
    with open_movie(written(tmp_path / "m.tif", frames, compression=compression)) as movie:
        movie.read(0, 2)
        with pytest.raises(InputError, match=r"m\.tif.*frame 2"):
            movie.read(0, 4)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_movie(tmp_path / "m.tif")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        open_movie(tmp_path)


@pytest.mark.parametrize(
    "content", [b"II", b"frame,x,y\n1,2,3\n", b"\x89PNG\r\n\x1a\n" + bytes(40), b"II\x2a\0"]
)
def test_not_a_tiff_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(content)
    with pytest.raises(InputError, match="is not a TIFF"):
        open_movie(tmp_path / "m.tif")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "m.tif").touch()
    with pytest.raises(InputError, match="is empty"):
        open_movie(tmp_path / "m.tif")


@pytest.mark.parametrize("options", FLAVOURS.values(), ids=FLAVOURS)
@pytest.mark.parametrize("left", [0.1, 0.5, 0.95, 0.999])
def test_a_truncated_file_is_found_out_when_it_is_opened(
    options: dict[str, Any], left: float, tmp_path: Path
) -> None:
    path = written(tmp_path / "m.tif", FRAMES, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content))])
    complaint = complaint_about(path, FRAMES)
    # Nothing is lost where only a tag of the last page is missing that no reader needs.
    assert "truncated" in complaint or (complaint == "" and left > 0.99)


def test_the_frame_at_which_a_file_is_cut_is_named(tmp_path: Path) -> None:
    # ImageJ puts the page tables after the pixels; other writers mix them.
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        for frame in FRAMES:
            writer.write(frame, metadata=None, contiguous=False)
    content = (tmp_path / "m.tif").read_bytes()
    (tmp_path / "m.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"truncated: .*frame [23]"):
        open_movie(tmp_path / "m.tif")


def test_a_file_that_shrinks_while_it_is_open(tmp_path: Path) -> None:
    path = written(tmp_path / "m.tif", FRAMES, imagej=True)
    with open_movie(path) as movie:
        with path.open("r+b") as raw:
            raw.truncate(3 * FRAMES[0].nbytes)
        with pytest.raises(InputError, match="ended within frame 2"):
            movie.read(0, 5)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "jpeg2000"])
def test_a_damaged_frame_is_named(
    compression: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "m.tif", FRAMES, compression=compression)
    with tifffile.TiffFile(path) as file:
        page = file.pages[3]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = b"\xff" * count
    path.write_bytes(content)
    with open_movie(path) as movie:
        np.testing.assert_array_equal(movie.read(0, 3), FRAMES[:3])
        with pytest.raises(InputError, match=r"frame 3 \(counted from 0\)"):
            movie.read(0, 5)
    assert capfd.readouterr() == ("", "")


def test_a_closed_movie_is_not_read(tmp_path: Path) -> None:
    movie = TiffMovie(written(tmp_path / "m.tif", FRAMES))
    movie.close()
    movie.close()
    with pytest.raises(ValueError, match="closed"):
        movie.read(0, 1)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_threads_may_share_a_movie(compression: str | None, tmp_path: Path) -> None:
    path = written(tmp_path / "m.tif", FRAMES, compression=compression)
    wrong: list[int] = []

    def read(movie: TiffMovie, frame: int) -> None:
        for _ in range(30):
            if not np.array_equal(movie.read(frame, frame + 1)[0], FRAMES[frame]):
                wrong.append(frame)

    with TiffMovie(path) as movie:
        threads = [threading.Thread(target=read, args=(movie, frame)) for frame in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def _seeds() -> list[bytes]:
    seeds = []
    for options in FLAVOURS.values():
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, FRAMES[:2, :7, :9], photometric="minisblack", **options)
        seeds.append(buffer.getvalue())
    return seeds


SEEDS = _seeds()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(
        st.tuples(st.integers(0, 700), st.sampled_from([0, 1, 2, 127, 128, 255])), max_size=6
    ),
    end=st.none() | st.integers(0, 900),
)
def test_damage_ends_in_frames_or_in_one_clear_error(
    seed: bytes, changes: list[tuple[int, int]], end: int | None, tmp_path: Path
) -> None:
    content = bytearray(seed[:end])
    for position, value in changes:
        if position < len(content):
            content[position] = value
    (tmp_path / "m.tif").write_bytes(content)
    complaint = complaint_about(tmp_path / "m.tif")
    assert complaint == "" or len(complaint) > 20


@pytest.mark.parametrize(
    ("name", "shape", "pixel_size_nm"),
    [
        ("fig4-microtubules/movie.tif", (361, 64, 64), 100.0),
        ("fig4-microtubules/training_frames.tif", (20, 64, 64), 100.0),
        ("real-dense-microtubules/movie.tif", (500, 30, 30), None),
        ("real-sparse-tirf/movie.tif", (10, 128, 128), None),
    ],
)
def test_published_movies(
    name: str, shape: tuple[int, int, int], pixel_size_nm: float | None, reference_data: Path
) -> None:
    with open_movie(reference_data / name) as movie:
        assert movie.shape == shape
        assert movie.dtype == np.uint16
        assert movie.pixel_size_nm == pytest.approx(pixel_size_nm)
        expected = tifffile.imread(reference_data / name, key=range(3, 7))
        np.testing.assert_array_equal(movie.read(3, 7), expected)
