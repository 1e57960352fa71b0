"""Where the pages of a TIFF file lie, read from its directories alone.

A header may claim anything. Here every claim is checked against the size of the file before it is
believed, so that a truncated or hostile file ends in one clear error: no loop is followed, nothing
is allocated because a tag says so, and the end of every page's data is known to be inside the file.
The layout follows the TIFF 6.0 specification and its 64-bit variant, BigTIFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from deepstorm.errors import CutOffError, InputError

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
_INTEGER_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_RATIONAL = 5
_MAX_TAGS = 4096


class Entry(NamedTuple):
    """One tag of a directory: the type and number of its values, and what or where they are."""

    kind: int
    values: int
    inline: bytes


ByteOrder = Literal["<", ">"]


class _Variant(NamedTuple):
    """How a TIFF flavour lays out its directories."""

    order: ByteOrder
    tag_count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct


def _variant(order: ByteOrder, *, big: bool) -> _Variant:
    count, entry, offset = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    return _Variant(
        order,
        struct.Struct(order + count),
        struct.Struct(order + entry),
        struct.Struct(order + offset),
    )


class DirectoryReader:
    """Walks the chain of directories of an open TIFF file.

    Parameters
    ----------
    handle : binary file
        Open for reading; its position is moved.
    name : str
        The file, for messages.

    Raises
    ------
    InputError
        If the file is not a TIFF file.
    """

    def __init__(self, handle: BinaryIO, name: str) -> None:
        self._handle = handle
        self._name = name
        self.look_again()
        self._variant, self._start = self._header()
        self._link = self._start
        self._seen: set[int] = set()
        self.following = 0
        self.breaks_off = False

    def look_again(self) -> None:
        """Take in how long the file is by now, and forget what was read ahead of it."""
        self.file_bytes = self._handle.seek(0, 2)
        # Directories and their arrays lie side by side in an honest file. Reading much more than
        # the file holds means that they overlap, which can keep a reader busy without end.
        self._budget = 4 * self.file_bytes + 4096

    @property
    def byte_order(self) -> ByteOrder:
        """Byte order of the numbers in the file, ``"<"`` or ``">"``."""
        return self._variant.order

    def _header(self) -> tuple[_Variant, int]:
        """Return the flavour, and where the header says where the first directory is."""
        start = self._take(0, min(16, self.file_bytes), "the header")
        orders: dict[bytes, ByteOrder] = {b"II": "<", b"MM": ">"}
        order = orders.get(start[:2])
        magic = struct.unpack(order + "H", start[2:4])[0] if order and len(start) >= 4 else None
        if order and magic == 42 and len(start) >= 8:
            return _variant(order, big=False), 4
        if order and magic == 43 and len(start) == 16:
            return _variant(order, big=True), 8
        raise InputError(f"'{self._name}' is not a TIFF file; save the movie as TIFF")

    def _take(self, offset: int, count: int, what: str) -> bytes:
        """Read bytes that a header points to, if they are inside the file."""
        self._budget -= count
        if self._budget < 0:
            raise InputError(f"'{self._name}' is damaged: its page tables overlap")
        if offset + count > self.file_bytes:
            raise CutOffError(
                f"'{self._name}' is truncated: {what} would end at byte {offset + count}, the file "
                f"has {self.file_bytes}; copy or export it again"
            )
        self._handle.seek(offset)
        taken = self._handle.read(count)
        if len(taken) != count:
            raise InputError(f"'{self._name}' could not be read up to the end of {what}")
        return taken

    def directories(self) -> Iterator[dict[int, Entry]]:
        """Yield the tags of each page, the next time from the last one again that was taken.

        The last page of a file that is being written may be patched until another one follows. A
        page is taken when the next one is asked for. Afterwards ``following`` says where the last
        one announces a successor, 0 if it does not, and ``breaks_off`` whether there is nothing but
        zeros: so end files whose writer had no time to finish them.

        Raises
        ------
        InputError
            If a directory lies outside the file or the chain of them forms a loop.
        """
        self.breaks_off = False
        last: tuple[int, int] | None = None
        self.following = self._pointer(self._link, "the first page table")
        while offset := self.following:
            if offset in self._seen or (last and offset == last[0]):
                raise InputError(f"'{self._name}' is damaged: its page tables form a loop")
            what = f"the page table of frame {len(self._seen) + (last is not None)}"
            entries, link, following = self._directory(offset, what)
            if not entries and not following:
                self.breaks_off = True
                return
            yield {
                code: Entry(kind, values, inline)
                for code, kind, values, inline in self._variant.entry.iter_unpack(entries)
            }
            if last:
                self._seen.add(last[0])
                self._link = last[1]
            last, self.following = (offset, link), following

    def first_entries(self) -> list[tuple[int, Entry]]:
        """Return the tags of the first page, also those that come several times."""
        what = "the page table of frame 0"
        entries, *_ = self._directory(self._pointer(self._start, what), what)
        unpacked = self._variant.entry.iter_unpack(entries)
        return [(code, Entry(*entry)) for code, *entry in unpacked]

    def _pointer(self, where: int, what: str) -> int:
        pointer = self._variant.offset
        return int(pointer.unpack(self._take(where, pointer.size, what))[0])

    def _directory(self, offset: int, what: str) -> tuple[bytes, int, int]:
        """Return the entries of a directory, where its pointer to the next one stands, and that."""
        counter, entry, pointer = self._variant[1:]
        (tag_count,) = counter.unpack(self._take(offset, counter.size, what))
        if tag_count > _MAX_TAGS:
            raise InputError(f"'{self._name}' is damaged: {what} claims {tag_count} tags")
        length = tag_count * entry.size
        block = self._take(offset + counter.size, length + pointer.size, what)
        following = int(pointer.unpack(block[length:])[0])
        return block[:length], offset + counter.size + length, following

    def end_of(self, entry: Entry) -> int:
        """Return the byte at which the values of a tag end, 0 where they are in the tag itself."""
        total = _TYPE_BYTES.get(entry.kind, 0) * entry.values
        if total <= len(entry.inline):
            return 0
        return int(self._variant.offset.unpack(entry.inline)[0]) + total

    def is_blank(self, start: int, stop: int) -> bool:
        """Whether the file holds nothing but zeros between two places."""
        return not any(self._take(start, stop - start, "the last frame"))

    def raw(self, entry: Entry, what: str) -> bytes:
        """Return the bytes of a tag's values."""
        size = _TYPE_BYTES.get(entry.kind)
        if size is None:
            raise InputError(f"'{self._name}' is damaged: {what} has unknown type {entry.kind}")
        total = size * entry.values
        if total <= len(entry.inline):
            return entry.inline[:total]
        (offset,) = self._variant.offset.unpack(entry.inline)
        return self._take(offset, total, what)

    def integers(self, entry: Entry, what: str) -> tuple[int, ...]:
        """Return the values of a tag of unsigned integers."""
        code = _INTEGER_CODES.get(entry.kind)
        if code is None:
            raise InputError(f"'{self._name}' is damaged: {what} is not an integer")
        return struct.unpack(f"{self.byte_order}{entry.values}{code}", self.raw(entry, what))

    def integer(self, tags: dict[int, Entry], code: int, default: int) -> int:
        """Return the first value of a tag of unsigned integers, or the default of TIFF."""
        entry = tags.get(code)
        if entry is None or entry.values < 1:
            return default
        return self.integers(entry, f"tag {code}")[0]

    def ratio(self, entry: Entry, what: str) -> float:
        """Return the value of a tag with one rational number; 0 where it makes no sense."""
        if entry.kind != _RATIONAL or entry.values != 1:
            return 0.0
        numerator, denominator = struct.unpack(self.byte_order + "II", self.raw(entry, what))
        return float(numerator / denominator) if denominator else 0.0
