"""The pages of a TIFF movie: their common layout, and where each one's pixels begin."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np

from deepstorm.arrays import Int64Array
from deepstorm.errors import CutOffError, InputError
from deepstorm.io.movies.tiff.directory import ByteOrder, DirectoryReader, Entry
from deepstorm.io.movies.tiff.first_page import FirstPage, read_first_page

_WIDTH, _HEIGHT, _BITS, _COMPRESSION = 256, 257, 258, 259
_FILL_ORDER, _SAMPLES, _ROWS_PER_STRIP = 266, 277, 278
_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES = 273, 279, 324, 325
_TILE_WIDTH, _TILE_HEIGHT, _PREDICTOR, _SAMPLE_FORMAT, _DEPTH = 322, 323, 317, 339, 32997

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
_LAYOUT_CODES = [code for code, _ in _LAYOUT_TAGS.values()]
_LAST_BYTES, _ROOM_BYTES = 4, 64  # by which it is seen that the end of a page was never written
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
    first : FirstPage
        What the first page says of all.
    file_bytes : int
        Size of the file.
    following : int
        Where the last page says that the next one is, 0 if it does not.
    unfinished : str
        Why the file does not end after the last page as it should, else empty.
    """

    layout: Layout
    offsets: Int64Array
    contiguous: bool
    byte_order: ByteOrder
    first: FirstPage
    file_bytes: int
    following: int
    unfinished: str


class PageReader:
    """Reads the pages of an open TIFF file and checks them against the file's size.

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
        If the file is not a TIFF.
    """

    def __init__(self, handle: BinaryIO, name: str, most_pixels: int) -> None:
        self._reader = DirectoryReader(handle, name)
        self._name = name
        self._most_pixels = most_pixels
        self._first: dict[int, Entry] = {}
        self._last: dict[int, Entry] = {}
        self._layout: Layout | None = None
        self._pages: list[tuple[int, bool]] = []

    def read_on(self, *, growing: bool) -> PageTable:
        """Read the pages that came since, and return the table of all.

        Parameters
        ----------
        growing : bool
            Whether a page that is not whole yet ends the movie so far; else it is an error.

        Raises
        ------
        InputError
            If the file is truncated or damaged, has no pages, or its pages differ, have several
            samples per pixel, or hold anything but real numbers.
        """
        unfinished = ""
        self._reader.look_again()
        del self._pages[-1:]  # it comes again
        try:
            for tags in self._reader.directories():
                self._take(tags, growing=growing)
        except InputError as reason:
            if not (growing and self._pages):
                raise
            unfinished = str(reason)
        if self._reader.breaks_off:
            unfinished = (
                "the program that wrote it did not finish; saved again, for instance with Fiji, it "
                "is an ordinary file"
            )
        if self._layout is None or not self._pages:
            raise InputError(f"'{self._name}' holds no images")
        table = self._table(self._layout, unfinished, growing=growing)
        self._reader.look_again()
        return table

    def _take(self, tags: dict[int, Entry], *, growing: bool) -> None:
        """Check a page and remember where its pixels are."""
        index, reader = len(self._pages), self._reader
        if growing and 0 in tags:
            raise InputError(
                f"'{self._name}': the page table of frame {index} has not been written yet"
            )
        layout = self._layout if index else None
        if layout is None:
            layout = _layout(reader, tags)
            _check_layout(layout, self._name, self._most_pixels)
            self._first, self._layout = tags, layout
        elif not _same_entries(self._first, tags):
            _check_same(layout, _layout(reader, tags), index, self._name)
        self._pages.append(_pixels(reader, tags, layout, index, self._name))
        self._last = tags

    def _whole(self, layout: Layout) -> int:
        """Return how many pages are whole.

        The last one is not if it ends in zeros and nothing but zeros follow: in a file for which
        room was set aside, its pixels may still have to come.
        """
        offset, in_one_run = self._pages[-1]
        end = offset + layout.frame_bytes if in_one_run else 0
        end = max(end, *(self._reader.end_of(entry) for entry in self._last.values()))
        size = self._reader.file_bytes
        lacks = end > size
        if end < size:
            lacks = self._reader.is_blank(max(end - _LAST_BYTES, 0), min(end + _ROOM_BYTES, size))
        return len(self._pages) - lacks

    def _table(self, layout: Layout, unfinished: str, *, growing: bool) -> PageTable:
        reader, whole = self._reader, len(self._pages)
        if growing or reader.breaks_off:
            whole = self._whole(layout)
        if whole == 0:
            raise InputError(f"'{self._name}' contains no complete frame yet")
        return PageTable(
            layout=layout,
            offsets=np.array([offset for offset, _ in self._pages[:whole]], np.int64),
            contiguous=all(in_one_run for _, in_one_run in self._pages[:whole]),
            byte_order=reader.byte_order,
            first=read_first_page(reader, growing=growing),
            file_bytes=reader.file_bytes,
            following=reader.following,
            unfinished=unfinished,
        )


def _same_entries(first: dict[int, Entry], tags: dict[int, Entry]) -> bool:
    """Whether two directories say the same of the layout in the same bytes, as most do."""
    return list(map(first.get, _LAYOUT_CODES)) == list(map(tags.get, _LAYOUT_CODES))


def _layout(reader: DirectoryReader, tags: dict[int, Entry]) -> Layout:
    values = {
        field: reader.integer(tags, code, default)
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
            f"'{name}' claims frames of {layout.height} × {layout.width} pixels; expected at "
            f"most {most_pixels} of them, so the file is damaged or not what it seems to be"
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
        raise CutOffError(
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
        raise CutOffError(
            f"'{name}' is truncated: the pixels of frame {index} (counted from 0) end at byte "
            f"{end}, the file has {file_bytes}; copy or export it again"
        )
