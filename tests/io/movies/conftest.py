from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest

Frames = npt.NDArray[Any]
Laid = tuple[bytes, list[int], list[int]]
"""A file, where its pages end and where its pixels begin."""


def _micromanager_pages(
    frames: Frames,
    head: bytes = b"",
    texts: tuple[str, ...] = (),
    per_cm: int = 10_000,
    page: dict[str, Any] | None = None,
    finished: bool = True,
) -> Laid:
    """Lay out pages as Micro-Manager does: each points to where the next one will be.

    Behind the pixels of a page are its resolution and a text in JSON; the descriptions, of which
    there may be two, come at the end of the file.
    """
    out = bytearray(struct.pack("<2sHI", b"II", 42, 8 + len(head)) + head)
    ends, pixels, described = [], [], 0
    for index, frame in enumerate(frames.astype("<u2")):
        tail = json.dumps({"Frame": index, "Note": "x" * (index % 7)} | (page or {})).encode()
        codes = [256, 257, 258, 259, 262, *[270] * (len(texts) if index == 0 else 0)]
        codes += [273, 277, 278, 279, 282, 283, 296, 51123]
        data = len(out) + 2 + 12 * len(codes) + 4
        end = data + frame.nbytes
        height, width = frame.shape
        described = described or len(out) + 2 + 12 * 5
        values = {
            256: (4, 1, width),
            257: (4, 1, height),
            258: (3, 1, 16),
            259: (3, 1, 1),
            262: (3, 1, 1),
            270: (2, 0, 0),
            273: (4, 1, data),
            277: (3, 1, 1),
            278: (3, 1, height),
            279: (4, 1, frame.nbytes),
            282: (5, 1, end),
            283: (5, 1, end),
            296: (3, 1, 3),
            51123: (2, len(tail), end + 8),
        }
        tags = b"".join(struct.pack("<HHII", code, *values[code]) for code in codes)
        following = end + 8 + len(tail)
        if finished and index == len(frames) - 1:
            following = 0
        out += struct.pack("<H", len(codes)) + tags + struct.pack("<I", following)
        out += frame.tobytes() + struct.pack("<II", per_cm, 1) + tail
        pixels.append(data)
        ends.append(len(out))
    for number, text in enumerate(texts):
        raw = text.encode() + b"\0"
        struct.pack_into("<II", out, described + 12 * number + 4, len(raw), len(out))
        out += raw
    return bytes(out), ends, pixels


@pytest.fixture(scope="session")
def micromanager_pages() -> Callable[..., Laid]:
    """Lay out a file as Micro-Manager does."""
    return _micromanager_pages


def _write_ndtiff(folder: Path, parts: list[Frames], axes: list[dict[str, Any]]) -> Path:
    """Write an NDTiff folder, one file for each part, and the axes of each frame in the index."""
    folder.mkdir()
    summary = json.dumps({"Prefix": folder.name}).encode()
    head = struct.pack("<IIIII", 483729, 3, 3, 2355492, len(summary)) + summary
    index, remaining = bytearray(), iter(axes)
    for number, frames in enumerate(parts):
        name = f"{folder.name}_NDTiffStack{f'_{number}' if number else ''}.tif"
        content, _, pixels = _micromanager_pages(frames, head, page={"PixelSizeUm": 0.108})
        (folder / name).write_bytes(content)
        for offset in pixels:
            for text in (json.dumps(next(remaining)), name):
                index += struct.pack("<I", len(text)) + text.encode()
            height, width = frames.shape[1:]
            index += struct.pack("<IiiiiIii", offset, width, height, 1, 0, 0, 0, 0)
    (folder / "NDTiff.index").write_bytes(index)
    return folder


@pytest.fixture(scope="session")
def write_ndtiff() -> Callable[..., Path]:
    """Write an NDTiff folder."""
    return _write_ndtiff


def _ome(files: list[tuple[str, int]], announced: int | None = None, **sizes: Any) -> str:
    """Describe planes, (file, page) each, as Micro-Manager and Bio-Formats do."""
    planes = "".join(
        f'<TiffData FirstC="0" FirstT="{frame}" FirstZ="0" IFD="{page}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
        for frame, (name, page) in enumerate(files)
    )
    values = {"SizeT": announced or len(files), "SizeC": 1, "SizeZ": 1} | sizes
    attributes = " ".join(f'{key}="{value}"' for key, value in values.items())
    return (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
        f"{attributes}>{planes}</Pixels></Image></OME>"
    )


@pytest.fixture(scope="session")
def ome() -> Callable[..., str]:
    """Describe the planes of an OME-TIFF movie."""
    return _ome


def _write_ome_series(folder: Path, parts: list[Frames]) -> list[Path]:
    """Write a movie in several files; the first describes all, the others name the first."""
    names = [f"m_MMStack{f'_{number}' if number else ''}.ome.tif" for number in range(len(parts))]
    planes = [
        (name, page) for name, part in zip(names, parts, strict=True) for page in range(len(part))
    ]
    size = {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    imagej = f"ImageJ=1.52p\nimages={len(planes)}\nframes={len(planes)}\nunit=um\n"
    other = f'<OME><BinaryOnly MetadataFile="{names[0]}" UUID="urn:uuid:0"/></OME>'
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        texts = (other if number else _ome(planes, **size), imagej)
        (folder / name).write_bytes(_micromanager_pages(part, texts=texts)[0])
    return [folder / name for name in names]


@pytest.fixture(scope="session")
def write_ome_series() -> Callable[..., list[Path]]:
    """Write an OME-TIFF movie in several files."""
    return _write_ome_series
