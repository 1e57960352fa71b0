"""Descriptions in OME-XML, as different programs write them."""

from __future__ import annotations

import html
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie

Laid = tuple[bytes, list[int], list[int]]
FRAMES = np.random.default_rng(0).integers(1, 4000, (12, 6, 7)).astype(np.uint16)
NAME = "m.ome.tif"


def write(path: Path, frames: Any, description: str) -> Path:
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(path, frames, description=description.encode(), **options)
    return path


def image(name: str, planes: list[tuple[str, int, dict[str, int]]], **attributes: Any) -> str:
    """Describe one image; each plane is in a file, on a page, at places along the axes."""

    def places(first: dict[str, int]) -> str:
        return " ".join(f"First{axis}='{at}'" for axis, at in first.items())

    tiff = "".join(
        f"<TiffData {places(first)} IFD='{page}' PlaneCount='1'>"
        f"<UUID FileName='{file}'>urn:uuid:0</UUID></TiffData>"
        for file, page, first in planes
    )
    given = " ".join(f"{key}='{value}'" for key, value in attributes.items())
    return f"<Image ID='Image:0' Name='{name}'><Pixels {given}>{tiff}</Pixels></Image>"


@pytest.mark.parametrize("seed", range(30))
def test_xml_is_read_however_it_is_written(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)

    def either(*choices: str) -> str:
        return str(rng.choice(choices))

    size_nm = round(float(rng.uniform(60, 200)), 2)
    unit, size = [("nm", size_nm), ("µm", size_nm / 1000), ("mm", size_nm / 1e6)][
        int(rng.integers(3))
    ]
    quote, prefix, space = either("'", '"'), either("", "OME:", "o:"), either("", " ", "\n  ")
    spelled = either(unit, html.escape(unit).replace("µ", "&#181;"), unit.replace("µ", "&#xB5;"))
    attributes = {
        "SizeT": len(FRAMES),
        "SizeC": 1,
        "SizeZ": 1,
        "PhysicalSizeX": f"{size:.12g}",
        "PhysicalSizeXUnit": spelled,
    }
    if rng.random() < 0.5:
        attributes |= {"PhysicalSizeY": f"{size:.12g}", "PhysicalSizeYUnit": spelled}
    keys = rng.permutation(list(attributes))
    inner = " ".join(f"{key}{space}={space}{quote}{attributes[key]}{quote}" for key in keys)
    top = either("", '<?xml version="1.0" encoding="UTF-8"?>', "<?xml version='1.0'?>\n")
    comment = either("", "<!-- Warning: PhysicalSizeX='9' is <Pixels> in a comment. -->")
    xml = (
        f"{top}{comment}<{prefix}OME xmlns{':' + prefix[:-1] if prefix else ''}='urn:x'>"
        f"<{prefix}Image><{prefix}Pixels {inner}{either('/>', f'></{prefix}Pixels>')}"
        f"</{prefix}Image>{comment}</{prefix}OME>{either('', ' ', chr(10))}"
    )
    with open_movie(write(tmp_path / NAME, FRAMES, xml)) as movie:
        assert movie.pixel_size_nm == pytest.approx(size_nm)
        assert (movie.shape[0], movie.notes, movie.pixel_size_doubt) == (12, (), "")


@pytest.mark.parametrize("depth", [3, 12, 40])
def test_endless_entities_end_at_once(depth: int, tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, depth))
    doctype = f'<!DOCTYPE OME [<!ENTITY a0 "ha">{entities}]>'
    xml = f"<?xml version='1.0'?>{doctype}<OME><Image Name='&a{depth - 1};'/></OME>"
    start = time.process_time()
    with open_movie(write(tmp_path / NAME, FRAMES, xml)) as movie:
        (note,) = movie.notes
    assert "cannot be read: it has a document type" in note
    assert time.process_time() - start < 1


@pytest.mark.parametrize("seed", range(6))
def test_xml_that_breaks_off_is_told(seed: int, tmp_path: Path) -> None:
    whole = f"<OME>{image('a', [], SizeT=12, PhysicalSizeX='0.1')}<More>{'x' * 60}</More></OME>"
    rng = np.random.default_rng(seed)
    start, end = whole.index("</Pixels>"), len(whole) - 1
    cut = whole[: int(rng.integers(start, end))]
    with open_movie(write(tmp_path / NAME, FRAMES, cut)) as movie:
        assert movie.pixel_size_nm == pytest.approx(100)
        (note,) = movie.notes
    assert note.startswith("'m.ome.tif' has a description in OME-XML that breaks off: ")


@pytest.mark.parametrize("seed", range(4))
def test_pages_in_another_order_than_time_are_put_in_order(seed: int, tmp_path: Path) -> None:
    order = np.random.default_rng(seed).permutation(len(FRAMES))
    axis = "TCZ"[seed % 3]
    planes = [(NAME, page, {axis: int(frame)}) for page, frame in enumerate(order)]
    xml = f"<OME>{image('a', planes, **{f'Size{axis}': 12})}</OME>"
    with open_movie(write(tmp_path / NAME, FRAMES[order], xml)) as movie:
        np.testing.assert_array_equal(movie.read(0, 12), FRAMES)


@pytest.mark.parametrize("positions", [2, 3, 4])
@pytest.mark.parametrize("binary_only", [False, True])
def test_a_file_of_each_position_is_the_movie_of_that_position(
    positions: int,
    binary_only: bool,
    tmp_path: Path,
    micromanager_pages: Callable[..., Laid],
) -> None:
    names = [f"m_MMStack_Pos{number}.ome.tif" for number in range(positions)]
    parts = np.array_split(FRAMES, positions)
    images = [
        image(
            f"Pos{number}",
            [(name, page, {"T": page}) for page in range(len(part))],
            SizeT=len(part),
            PhysicalSizeX=0.1 + number / 100,
        )
        for number, (name, part) in enumerate(zip(names, parts, strict=True))
    ]
    whole = f"<OME>{''.join(images)}</OME>"
    other = f"<OME><BinaryOnly MetadataFile='{names[0]}' UUID='urn:uuid:0'/></OME>"
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        texts = (other if binary_only and number else whole, "ImageJ=1.52p\nunit=um\n")
        (tmp_path / name).write_bytes(micromanager_pages(part, texts=texts)[0])
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        with open_movie(tmp_path / name) as movie:
            np.testing.assert_array_equal(movie.read(0, movie.shape[0]), part)
            assert movie.pixel_size_nm == pytest.approx(100 + 10 * number)
            assert movie.notes == ()


def test_positions_in_one_file_are_never_mixed(tmp_path: Path) -> None:
    planes = [(NAME, page, {"T": page}) for page in range(6)]
    two = image("left", planes, SizeT=6) + image("right", planes, SizeT=6)
    with pytest.raises(InputError, match=r"2 OME images.*'left', 'right'.*which series to open"):
        open_movie(write(tmp_path / NAME, FRAMES, f"<OME>{two}</OME>"))
    write(tmp_path / "renamed.tif", FRAMES, f"<OME>{image('a', planes)}{image('b', planes)}</OME>")
    with pytest.raises(InputError, match="2 OME images"):
        open_movie(tmp_path / "renamed.tif")


@pytest.mark.parametrize("axis", ["C", "Z"])
def test_a_single_channel_of_several_is_told(axis: str, tmp_path: Path) -> None:
    planes = [(NAME, page, {"T": page, axis: 2}) for page in range(12)]
    xml = f"<OME>{image('a', planes, SizeT=12, SizeC=1, SizeZ=1)}</OME>"
    with open_movie(write(tmp_path / NAME, FRAMES, xml)) as movie:
        assert movie.shape[0] == 12
        (note,) = movie.notes
    what = {"C": "channel", "Z": "plane"}[axis]
    assert f"holds {what} 2 (counted from 0) alone" in note
    planes = [(NAME, page, {"T": page // 2, axis: page % 2}) for page in range(12)]
    xml = f"<OME>{image('a', planes, SizeT=12, SizeC=1)}</OME>"
    with pytest.raises(InputError, match=rf"announces one {what} but places frames in several"):
        open_movie(write(tmp_path / NAME, FRAMES, xml))


def test_a_movie_that_is_described_elsewhere(tmp_path: Path) -> None:
    xml = "<OME><BinaryOnly MetadataFile='m.companion.ome' UUID='u'/></OME>"
    path = write(tmp_path / NAME, FRAMES, xml)
    with pytest.raises(InputError, match=r"'m\.companion\.ome' describes"):
        open_movie(path)
    (tmp_path / "m.companion.ome").write_text("<OME/>")
    with pytest.raises(InputError, match=r"'m\.companion\.ome' describes, which is no TIFF"):
        open_movie(path)


def test_the_time_that_planes_take_grows_with_their_number_alone(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        planes = [(NAME, page, {"T": page}) for page in range(count)]
        path = write(tmp_path / NAME, FRAMES, f"<OME>{image('a', planes, SizeT=count)}</OME>")
        start = time.process_time()
        with open_movie(path) as movie:
            assert f"announces {count} frames but holds 12" in movie.notes[0]
        return time.process_time() - start

    few, many = (min(seconds(count) for _ in range(3)) for count in (10_000, 80_000))
    assert many < 20 * few
