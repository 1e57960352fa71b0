"""The pages of a TIFF movie: their common layout, and where each one's pixels begin."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np

from deepstorm.arrays import Int64Array
from deepstorm.errors import InputError
from deepstorm.io.movies.tiff.directory import ByteOrder, DirectoryReader, Entry

_WIDTH, _HEIGHT, _BITS, _COMPRESSION = 256, 257, 258, 259
_FILL_ORDER, _DESCRIPTION, _SAMPLES, _ROWS_PER_STRIP = 266, 270, 277, 278
_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES = 273, 279, 324, 325
_TILE_WIDTH, _TILE_HEIGHT, _PREDICTOR, _SAMPLE_FORMAT, _DEPTH = 322, 323, 317, 339, 32997
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _IMAGEJ_METADATA = 282, 283, 296, 50839
_METAMORPH_PLANES = 33629

_LAYOUT_TAGS = {
    "height": (_HEIGHT, 0),
    "width": (_WIDTH, 0),
    "bits": (_BITS, 1),
    "sample_format": (_SAMPLE_FORMAT, 1),
    "samples": (_SAMPLES, 1),
    "compression": (_COMPRESSION, 1),
    "predictor": (_PREDICTOR, 1),
    "fill_order": (_FILL_ORDER, 1),
    "depth": (_DEPTH, 1),
    "rows_per_strip": (_ROWS_PER_STRIP, 0),
    "tile_width": (_TILE_WIDTH, 0),
    "tile_height": (_TILE_HEIGHT, 0),
}
_NAMED_IN_MESSAGES = ("height", "width", "bits", "sample_format", "samples", "compression")
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What all pages of a movie must share; the fields are the TIFF tags of these names."""

    height: int
    width: int
    bits: int
    sample_format: int
    samples: int
    compression: int
    predictor: int
    fill_order: int
    depth: int
    rows_per_strip: int
    tile_width: int
    tile_height: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in the byte order of this machine."""
        size = next(size for size in (1, 2, 4, 8) if 8 * size >= self.bits)
        return np.dtype(f"{_KINDS[self.sample_format]}{size}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame once it is decoded."""
        return self.height * self.width * self.dtype.itemsize

    @property
    def is_stored_raw(self) -> bool:
        """Whether the bytes in the file are the pixels, in order."""
        return (
            self.compression == self.predictor == self.fill_order == 1
            and self.tile_width == 0
            and self.bits == 8 * self.dtype.itemsize
        )


@dataclass(frozen=True, slots=True)
class PageTable:
    """All that the directories of a TIFF file say of its pages.

    Parameters
    ----------
    layout : Layout
        Common to all pages.
    offsets : ndarray of int64, shape (page,)
        Byte at which the pixels of each page begin.
    contiguous : bool
        Whether the pixels of each page lie in one uncompressed run from its offset on.
    byte_order : str
        ``"<"`` or ``">"``.
    description : str
        The text of the first page's ImageDescription tag.
    resolution : tuple of float
        Pixels per unit along (x, y) of the first page; 0 where it is not given.
    resolution_unit : int
        1 none, 2 inch, 3 centimetre.
    imagej_metadata : bytes
        The binary block in which ImageJ keeps what it knew of the original file.
    file_bytes : int
        Size of the file.
    """

    layout: Layout
    offsets: Int64Array
    contiguous: bool
    byte_order: ByteOrder
    description: str
    resolution: tuple[float, float]
    resolution_unit: int
    imagej_metadata: bytes
    file_bytes: int


def read_page_table(handle: BinaryIO, name: str, most_pixels: int) -> PageTable:
    """Read the page table of an open TIFF file and check it against the file's size.

    Parameters
    ----------
    handle : binary file
    name : str
        What the file is called in messages.
    most_pixels : int
        A header that claims larger frames is not believed.

    Raises
    ------
    InputError
        If the file is not a TIFF, is truncated or damaged, has no pages, or its pages differ, have
        several samples per pixel, or hold anything but real numbers.
    """
    reader = DirectoryReader(handle, name)
    first: dict[int, Entry] = {}
    layout: Layout | None = None
    offsets: list[int] = []
    contiguous = True
    for index, tags in enumerate(reader.directories()):
        if layout is None:
            first, layout = tags, _layout(reader, tags)
            _check_layout(layout, name, most_pixels)
        elif not _same_entries(first, tags):
            _check_same(layout, _layout(reader, tags), index, name)
        offset, in_one_run = _pixels(reader, tags, layout, index, name)
        offsets.append(offset)
        contiguous = contiguous and in_one_run
    if layout is None:
        raise InputError(f"'{name}' holds no images")
    if len(offsets) == 1 and _METAMORPH_PLANES in first and first[_METAMORPH_PLANES].values > 1:
        raise InputError(f"'{name}' is a MetaMorph stack; save it as plain TIFF, e.g. with Fiji")
    return _page_table(reader, first, layout, np.array(offsets, np.int64), contiguous)


def _page_table(
    reader: DirectoryReader,
    first: dict[int, Entry],
    layout: Layout,
    offsets: Int64Array,
    contiguous: bool,
) -> PageTable:
    def raw(code: int) -> bytes:
        return reader.raw(first[code], "the description") if code in first else b""

    def ratio(code: int) -> float:
        return reader.ratio(first[code], "the resolution") if code in first else 0.0

    return PageTable(
        layout=layout,
        offsets=offsets,
        contiguous=contiguous,
        byte_order=reader.byte_order,
        description=_text(raw(_DESCRIPTION)),
        resolution=(ratio(_X_RESOLUTION), ratio(_Y_RESOLUTION)),
        resolution_unit=_integer(reader, first, _RESOLUTION_UNIT, 2),
        imagej_metadata=raw(_IMAGEJ_METADATA),
        file_bytes=reader.file_bytes,
    )


def _text(raw: bytes) -> str:
    """Decode a description: UTF-8 by OME and most others, Latin-1 by old ImageJ."""
    stripped = raw.split(b"\0", 1)[0]
    try:
        return stripped.decode("utf-8")
    except UnicodeDecodeError:
        return stripped.decode("latin-1")


def _integer(reader: DirectoryReader, tags: dict[int, Entry], code: int, default: int) -> int:
    entry = tags.get(code)
    if entry is None or entry.values < 1:
        return default
    return reader.integers(entry, f"tag {code}")[0]


def _same_entries(first: dict[int, Entry], tags: dict[int, Entry]) -> bool:
    """Whether two directories say the same of the layout in the same bytes, as most do."""
    return all(first.get(code) == tags.get(code) for code, _ in _LAYOUT_TAGS.values())


def _layout(reader: DirectoryReader, tags: dict[int, Entry]) -> Layout:
    values = {
        field: _integer(reader, tags, code, default)
        for field, (code, default) in _LAYOUT_TAGS.items()
    }
    height = values["height"]
    # A writer that puts all rows in one strip may say so by any number from the height up.
    values["rows_per_strip"] = min(values["rows_per_strip"] or height, height)
    return Layout(**values)


def _check_layout(layout: Layout, name: str, most_pixels: int) -> None:
    pixels = layout.height * layout.width
    if pixels == 0:
        raise InputError(f"'{name}' has frames without pixels ({layout.height} × {layout.width})")
    if pixels > most_pixels:
        raise InputError(
            f"'{name}' claims frames of {layout.height} × {layout.width} pixels; expected at most "
            f"{most_pixels} of them, so that the file is damaged or not what it is taken for"
        )
    if layout.samples != 1:
        raise InputError(
            f"'{name}' has {layout.samples} samples per pixel (axis S, a colour image); expected "
            "one grey value, so convert it to greyscale or split its channels"
        )
    if layout.depth > 1:
        raise InputError(f"'{name}' stores volumes (ImageDepth {layout.depth}); expected 2D frames")
    _check_numbers(layout, name)


def _check_numbers(layout: Layout, name: str) -> None:
    if layout.sample_format not in _KINDS:
        raise InputError(f"'{name}' holds complex pixels; expected real numbers")
    if layout.bits == 1:
        raise InputError(f"'{name}' holds black-and-white pixels; expected grey values")
    floats = layout.sample_format == 3
    if layout.bits not in ((16, 32, 64) if floats else range(2, 65)):
        raise InputError(f"'{name}' has {layout.bits} bits per pixel, which is not supported")


def _check_same(first: Layout, page: Layout, index: int, name: str) -> None:
    if page == first:
        return
    differs = [
        field for field in _NAMED_IN_MESSAGES if getattr(page, field) != getattr(first, field)
    ]
    details = ", ".join(
        f"{field} {getattr(page, field)} instead of {getattr(first, field)}" for field in differs
    )
    raise InputError(
        f"'{name}': page {index} differs from the first one ({details or 'strips or tiles'}); all "
        "frames of a movie must have the same size and type"
    )


def _pixels(
    reader: DirectoryReader, tags: dict[int, Entry], layout: Layout, index: int, name: str
) -> tuple[int, bool]:
    """Return where a page's pixels begin and whether they lie there in one raw run."""
    tiled = layout.tile_width > 0
    where = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    sizes = tags.get(_TILE_BYTES if tiled else _STRIP_BYTES)
    if where is None or where.values < 1:
        raise InputError(f"'{name}': page {index} has no image data")
    offsets = reader.integers(where, f"the data table of frame {index}")
    if 0 in offsets:
        raise InputError(
            f"'{name}' is incomplete: the pixels of frame {index} (counted from 0) were never "
            "written; copy or export it again"
        )
    if layout.is_stored_raw and len(offsets) == 1:
        # The byte count of a single raw strip is not needed, and some writers get it wrong.
        _check_end(offsets[0] + layout.frame_bytes, reader.file_bytes, index, name)
        return offsets[0], True
    counts = reader.integers(sizes, f"the data table of frame {index}") if sizes else ()
    if len(counts) != len(offsets):
        raise InputError(f"'{name}': page {index} does not say how long its image data are")
    ends = [offset + count for offset, count in zip(offsets, counts, strict=True)]
    _check_end(max(ends), reader.file_bytes, index, name)
    in_one_run = all(
        end == offset for end, (_, offset) in zip(ends, pairwise(offsets), strict=False)
    )
    exact = sum(counts) == layout.frame_bytes
    return offsets[0], layout.is_stored_raw and in_one_run and exact


def _check_end(end: int, file_bytes: int, index: int, name: str) -> None:
    if end > file_bytes:
        raise InputError(
            f"'{name}' is truncated: the pixels of frame {index} (counted from 0) end at byte "
            f"{end}, the file has {file_bytes}; copy or export it again"
        )
