"""Movies in Micro-Manager's NDTiff: TIFF files with an index of their frames beside them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from deepstorm.errors import InputError
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.tiff.metadata import StackMetadata, require_one_axis
from deepstorm.io.movies.tiff.series import Place, SeriesMovie

_INDEX = "NDTiff.index"
_SIGNATURE = 483729
_LENGTH, _REST = struct.Struct("<I"), struct.Struct("<IiiiiIii")


class NDTiffFormat:
    """A folder of NDTiff files, or one of the files in it."""

    name = "NDTiff"
    suffixes = (f"a folder with {_INDEX}",)

    @staticmethod
    def matches(head: bytes, path: Path) -> bool:
        """Whether a folder has an index, or a TIFF file begins as those of NDTiff do."""
        if not head:
            return (path / _INDEX).is_file()
        order: Literal["little", "big"] = "big" if head.startswith(b"MM") else "little"
        is_tiff = head.startswith((b"II\x2a\0", b"MM\0\x2a"))
        return is_tiff and int.from_bytes(head[8:12], order) == _SIGNATURE

    @staticmethod
    def open(path: Path, *, growing: bool) -> Movie:
        """Open the movie of a whole folder."""
        index = (path if path.is_dir() else path.parent) / _INDEX
        if not index.is_file():
            raise InputError(
                f"'{path.name}' is a file of an NDTiff movie, whose '{_INDEX}' is missing; keep "
                "all files of the movie in one folder"
            )
        return NDTiffMovie(index, opened=path.absolute().name, growing=growing)


class _Entry(NamedTuple):
    """One frame of the index: its place along each axis, its file, and where its pixels begin."""

    axes: dict[str, int | str]
    file: str
    offset: int


class NDTiffMovie(SeriesMovie):
    """Frames of an NDTiff folder along its one long axis."""

    # The index says which frames there are; what a file has after them does not matter.
    _tolerant = True

    def _places(self, *, growing: bool) -> Iterator[Place]:
        entries = self._in_time(list(self._entries(growing=growing)))
        self._require(entry.file for entry in entries)
        pages = {
            file: {int(offset): page for page, offset in enumerate(self._part(file).table.offsets)}
            for file in dict.fromkeys(entry.file for entry in entries)
        }
        for frame, entry in enumerate(entries):
            page = pages[entry.file].get(entry.offset)
            if page is None:
                if growing:
                    return
                raise InputError(
                    f"'{self.name}' is incomplete: its index has frame {frame} (counted from 0) "
                    f"where '{entry.file}' has none; copy or export it again"
                )
            yield Place(entry.file, page, frame, 1)

    def _notes(self, said: StackMetadata) -> Iterator[str]:
        yield from super()._notes(said)
        unlisted = sum(part.shape[0] for part in self._parts.values()) - self.shape[0]
        if unlisted > 0:
            yield f"the files of '{self.name}' hold {unlisted} pages that its index leaves out"
        for path in sorted(self._path.parent.glob("*NDTiffStack*.tif")):
            if path.name not in self._parts:
                yield f"'{path.name}' is a file of '{self.name}' that its index leaves out"

    def _in_time(self, entries: list[_Entry]) -> list[_Entry]:
        """Return the last entry of each frame, in the order of the one axis that is long."""
        values: dict[str, dict[int | str, None]] = {}
        for entry in entries:
            for axis, value in entry.axes.items():
                values.setdefault(axis, {})[value] = None
        long = {axis: len(found) for axis, found in values.items() if len(found) > 1}
        require_one_axis(long, self.name)
        axis = next(iter(long), "")
        frames = {entry.axes.get(axis, 0): entry for entry in entries}
        numbers = sorted(value for value in frames if isinstance(value, int))
        return [frames[value] for value in (numbers if len(numbers) == len(frames) else frames)]

    def _entries(self, *, growing: bool) -> Iterator[_Entry]:
        """Yield the frames of the index; one that is half written ends a movie that grows."""
        raw, position = self._path.read_bytes(), 0
        while position < len(raw):
            try:
                entry, position = _entry(raw, position)
            except (ValueError, struct.error, RecursionError) as error:
                if growing:
                    return
                raise InputError(
                    f"'{self.name}': its '{_INDEX}' is damaged or cut off at byte {position}; copy "
                    "the whole folder again"
                ) from error
            yield entry


def _entry(raw: bytes, position: int) -> tuple[_Entry, int]:
    """Return the frame that is described from a byte on, and where the next one is."""
    axes, position = _text(raw, position)
    file, position = _text(raw, position)
    offset, *_ = _REST.unpack_from(raw, position)
    found = json.loads(axes)
    if not (isinstance(found, dict) and all(isinstance(at, int | str) for at in found.values())):
        raise ValueError(axes)
    return _Entry(found, file, offset), position + _REST.size


def _text(raw: bytes, position: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(raw, position)
    start = position + _LENGTH.size
    if start + length > len(raw):
        raise ValueError("cut off")
    return raw[start : start + length].decode(), start + length
