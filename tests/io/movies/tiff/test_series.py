"""Movies in several TIFF files."""

from __future__ import annotations

import contextlib
import json
import re
import struct
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

Laid = tuple[bytes, list[int], list[int]]
FRAMES = np.random.default_rng(0).integers(1, 4000, (9, 6, 7)).astype(np.uint16)
PARTS = [FRAMES[:4], FRAMES[4:8], FRAMES[8:]]
DAMAGE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def by_tifffile(path: Path, frames: npt.NDArray[Any], ome: str) -> None:
    """Write pages with a description by an independent writer, compressed."""
    tifffile.imwrite(
        path,
        frames,
        photometric="minisblack",
        description=ome,
        metadata=None,
        compression="zlib",
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_any_file_of_a_series_is_the_whole_movie(
    number: int, tmp_path: Path, write_ome_series: Callable[..., list[Path]]
) -> None:
    paths = write_ome_series(tmp_path, PARTS)
    with open_movie(paths[number]) as movie:
        assert movie.name == paths[number].name
        assert movie.shape == FRAMES.shape
        assert movie.pixel_size_nm == pytest.approx(100)
        assert movie.notes == ()
        np.testing.assert_array_equal(movie.read(0, 9), FRAMES)
        np.testing.assert_array_equal(movie.read(3, 9), FRAMES[3:])


def test_compressed_files_of_a_series(tmp_path: Path, ome: Callable[..., str]) -> None:
    planes = [("a.ome.tif", page) for page in range(4)] + [("b.ome.tif", page) for page in range(5)]
    by_tifffile(tmp_path / "a.ome.tif", FRAMES[:4], ome(planes))
    by_tifffile(tmp_path / "b.ome.tif", FRAMES[4:], ome(planes))
    with open_movie(tmp_path / "b.ome.tif") as movie:
        np.testing.assert_array_equal(movie.read(2, 7), FRAMES[2:7])


def test_the_description_orders_the_frames(tmp_path: Path, ome: Callable[..., str]) -> None:
    places = [("b", 2), ("a", 1), ("a", 0), ("b", 0), ("b", 1)]
    planes = [(f"{name}.ome.tif", page) for name, page in places]
    by_tifffile(tmp_path / "a.ome.tif", FRAMES[[2, 1]], ome(planes))
    by_tifffile(tmp_path / "b.ome.tif", FRAMES[[3, 4, 0]], ome(planes))
    with open_movie(tmp_path / "a.ome.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 5), FRAMES[:5])


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_the_file_that_is_missing_is_named(
    missing: int, tmp_path: Path, write_ome_series: Callable[..., list[Path]]
) -> None:
    paths = write_ome_series(tmp_path, PARTS)
    paths[missing].unlink()
    for path in paths:
        if path.exists():
            with pytest.raises(InputError, match=re.escape(paths[missing].name)):
                open_movie(path)


def test_a_part_that_lacks_frames_is_not_half_a_movie(
    tmp_path: Path,
    write_ome_series: Callable[..., list[Path]],
    micromanager_pages: Callable[..., Laid],
) -> None:
    paths = write_ome_series(tmp_path, PARTS)
    paths[1].write_bytes(micromanager_pages(FRAMES[4:6])[0])
    with pytest.raises(InputError, match=r"frame 6 .* page 2 of 'm_MMStack_1\.ome\.tif', which"):
        open_movie(paths[0])
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    with pytest.raises(InputError, match="truncated"):
        open_movie(paths[0])


def test_frames_that_are_announced_but_not_described_are_noted(
    tmp_path: Path, ome: Callable[..., str], micromanager_pages: Callable[..., Laid]
) -> None:
    planes = [("a.ome.tif", 0), ("a.ome.tif", 1), ("b.ome.tif", 0)]
    texts = (ome(planes, announced=30), "ImageJ=1.52p\nframes=30\n")
    (tmp_path / "a.ome.tif").write_bytes(micromanager_pages(FRAMES[:2], texts=texts)[0])
    (tmp_path / "b.ome.tif").write_bytes(micromanager_pages(FRAMES[2:3])[0])
    with open_movie(tmp_path / "a.ome.tif") as movie:
        np.testing.assert_array_equal(movie.read(0, 3), FRAMES[:3])
        assert movie.notes == (
            "'a.ome.tif' announces 30 frames but holds 3, all of which are read; the recording may "
            "have been stopped, or other files may belong to it",
        )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (('FirstT="3"', 'FirstT="8"'), "none is frame 3"),
        (('FirstT="3"', 'FirstT="999999999999999"'), "none is frame 3"),
        (('FirstT="3"', 'FirstT="' + "9" * 5000 + '"'), "none is frame 3"),
        (('IFD="3" PlaneCount="1"', 'IFD="3" PlaneCount="999999999999"'), "which has 4 pages"),
        (('IFD="3"', 'IFD="77"'), "on page 77"),
        (("m_MMStack_1.ome.tif", "../m_MMStack_1.ome.tif"), "is missing"),
        (("m_MMStack_1.ome.tif", ".."), "is missing|is a folder"),
        (('SizeC="1"', 'SizeC="3"'), r"T = 9, C = 3"),
        (("</OME>", "<Image><Pixels/></Image></OME>"), "2 OME images"),
    ],
)
def test_descriptions_that_cannot_be_true(
    change: tuple[str, str],
    reason: str,
    tmp_path: Path,
    write_ome_series: Callable[..., list[Path]],
) -> None:
    paths = write_ome_series(tmp_path, PARTS)
    with tifffile.TiffFile(paths[0]) as file:
        told = file.pages.first.description
    raw = told.replace(*change).encode() + b"\0"
    content = bytearray(paths[0].read_bytes())
    tag = content.index(struct.pack("<HHI", 270, 2, len(told.encode()) + 1))
    struct.pack_into("<II", content, tag + 4, len(raw), len(content))
    paths[0].write_bytes(content + raw)
    with pytest.raises(InputError, match=reason):
        open_movie(paths[0])


def test_files_of_other_frames_do_not_belong(
    tmp_path: Path,
    write_ome_series: Callable[..., list[Path]],
    micromanager_pages: Callable[..., Laid],
) -> None:
    paths = write_ome_series(tmp_path, PARTS)
    paths[2].write_bytes(micromanager_pages(FRAMES[8:, :5])[0])
    with pytest.raises(InputError, match="differ in the size or type"):
        open_movie(paths[0])


def test_two_long_axes_are_refused_by_name(
    tmp_path: Path, write_ndtiff: Callable[..., Path]
) -> None:
    frames = np.repeat(FRAMES, 15, axis=0)[:128]
    axes = [{"time": index // 16, "z": index % 16, "position": 0} for index in range(128)]
    folder = write_ndtiff(tmp_path / "run", [frames], axes)
    with pytest.raises(InputError, match=r"time = 8, z = 16"):
        open_movie(folder)


@pytest.mark.parametrize("axis", ["time", "z", "channel"])
def test_an_ndtiff_folder_has_one_long_axis(
    axis: str, tmp_path: Path, write_ndtiff: Callable[..., Path]
) -> None:
    order = [3, 1, 0, 2, 8, 5, 4, 6, 7]
    values = [f"channel {index}" for index in range(9)] if axis == "channel" else order
    axes = [{"position": "Default", axis: value} for value in values]
    folder = write_ndtiff(tmp_path / "run", PARTS, axes)
    with open_movie(folder) as movie:
        expected = FRAMES if axis == "channel" else FRAMES[np.argsort(order)]
        assert movie.name == "run"
        assert movie.pixel_size_nm == pytest.approx(108)
        np.testing.assert_array_equal(movie.read(0, 9), expected)


def test_an_ndtiff_file_needs_its_index(tmp_path: Path, write_ndtiff: Callable[..., Path]) -> None:
    folder = write_ndtiff(tmp_path / "run", PARTS, [{"time": time} for time in range(9)])
    index = (folder / "NDTiff.index").read_bytes()
    (folder / "run_NDTiffStack_2.tif").unlink()
    with pytest.raises(InputError, match=r"'run_NDTiffStack_2\.tif' is missing"):
        open_movie(folder)
    (folder / "NDTiff.index").write_bytes(index[:-3])
    with pytest.raises(InputError, match="damaged or cut off"):
        open_movie(folder)
    (folder / "NDTiff.index").unlink()
    with pytest.raises(InputError, match=r"'NDTiff\.index' is missing"):
        open_movie(folder / "run_NDTiffStack_1.tif")
    with pytest.raises(InputError, match="is a folder"):
        open_movie(folder)


def test_frames_of_ndtiff_that_no_file_has(
    tmp_path: Path, write_ndtiff: Callable[..., Path]
) -> None:
    folder = write_ndtiff(tmp_path / "run", PARTS, [{"time": time} for time in range(9)])
    first = folder / "run_NDTiffStack.tif"
    first.write_bytes(first.read_bytes()[:-150])
    with pytest.raises(InputError, match=r"frame 3 .* where 'run_NDTiffStack\.tif' has none"):
        open_movie(folder)


def test_pages_that_the_index_leaves_out_are_noted(
    tmp_path: Path, write_ndtiff: Callable[..., Path]
) -> None:
    folder = write_ndtiff(tmp_path / "run", PARTS, [{"time": time} for time in range(9)])
    index = (folder / "NDTiff.index").read_bytes()
    seventh = index.index(b'{"time": 6}') - 4
    (folder / "NDTiff.index").write_bytes(index[:seventh])
    with open_movie(folder) as movie:
        assert movie.shape[0] == 6
        assert [note.partition(" that")[0] for note in movie.notes] == [
            "the files of 'run' hold 2 pages",
            "'run_NDTiffStack_2.tif' is a file of 'run'",
        ]


@DAMAGE
@given(
    changes=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=4),
    end=st.none() | st.integers(1, 700),
    axes=st.sampled_from([{"time": 2**40}, {"time": []}, {"time": None}, [], "x", {}]),
)
def test_a_damaged_index_ends_in_one_clear_error(
    changes: list[tuple[int, int]],
    end: int | None,
    axes: Any,
    tmp_path: Path,
    write_ndtiff: Callable[..., Path],
) -> None:
    folder = tmp_path / "run"
    if not folder.exists():
        write_ndtiff(folder, PARTS, [{"time": time} for time in range(9)])
        (folder / "kept").write_bytes((folder / "NDTiff.index").read_bytes())
    content = bytearray((folder / "kept").read_bytes()[:end])
    for position, value in changes:
        content[min(position, len(content) - 1)] = value
    text = json.dumps(axes).encode()
    tail = struct.pack("<I", len(text)) + text if len(changes) == 4 else b""
    (folder / "NDTiff.index").write_bytes(bytes(content) + tail)
    with contextlib.suppress(InputError), open_movie(folder) as movie:
        assert movie.read(0, movie.shape[0]).shape == movie.shape


def test_metamorph_stacks(tmp_path: Path) -> None:
    def stack(name: str, planes: int, wavelengths: list[int], held: int = 9) -> Path:
        waves = struct.pack(f"<{2 * planes}I", *(n for w in wavelengths for n in (w, 1)))
        start = 8 + len(waves)
        tags = {
            256: (4, 1, 7),
            257: (4, 1, 6),
            258: (3, 1, 16),
            259: (3, 1, 1),
            273: (4, 1, start),
            278: (4, 1, 6),
            279: (4, 1, 84),
            33628: (4, 1, 8),
            33629: (5, planes, 8),
            33630: (5, planes, 8),
        }
        pixels = FRAMES[:held].tobytes()
        body = b"".join(struct.pack("<HHII", code, *tag) for code, tag in tags.items())
        header = struct.pack("<2sHI", b"II", 42, start + len(pixels))
        directory = struct.pack("<H", len(tags)) + body + bytes(4)
        (tmp_path / name).write_bytes(header + waves + pixels + directory)
        return tmp_path / name

    with open_movie(stack("m.stk", 9, [580] * 9)) as movie:
        np.testing.assert_array_equal(movie.read(0, 9), FRAMES)
        expected = tifffile.imread(tmp_path / "m.stk")
        np.testing.assert_array_equal(movie.read(0, 9), expected)
    with pytest.raises(InputError, match=r"C = 2, I = 4"):
        open_movie(stack("two.stk", 8, [580, 670] * 4))
    with pytest.raises(InputError, match="announces 9 frames, the file holds 5"):
        open_movie(stack("cut.stk", 9, [580] * 9, held=4))
