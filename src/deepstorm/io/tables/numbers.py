"""Tables of numbers in text files: read fast, and every fault named with its line."""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array
from deepstorm.errors import InputError
from deepstorm.io.tables.cells import (
    BLANKS,
    NumberReader,
    delimiter_of,
    headings,
    looks_like_number,
    split,
    with_points,
)

_MAX_LINE = 100_000
_ROWS_PER_CHUNK = 20_000
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How text of two bytes a letter begins."""
_START_BYTES = 8
# What no text has: control characters besides tab, line feed, form feed and carriage return.
_CONTROL_CODES = frozenset(range(32)) - frozenset(b"\t\n\f\r")
# What some programs write below their tables, after a blank line: ``VoxelSizeX : 0.1``.
_FOOTER = re.compile(r"[A-Za-z]\w*\s*:(\s|$)")


@dataclass(frozen=True, slots=True)
class Head:
    """How a file begins: what stands above the numbers of a table.

    Parameters
    ----------
    path : Path
        The file.
    start : bytes
        The first 8 bytes. Where they are no text, nothing else is known.
    comments : tuple of str
        The lines at the top that begin with ``#``, without it.
    names : tuple of str
        The cells of the header, without quotes; empty if the table has no header.
    delimiter : str
        What separates the cells: a comma, a semicolon, a tab, or a blank for any number of blanks.
    width : int
        Number of columns; 0 if the file is no text.
    lines_above : int
        Number of lines before the first row of numbers.
    first_frame : int, optional
        The number of the first frame, where somebody says it; else the format does.
    """

    path: Path
    start: bytes
    comments: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    delimiter: str = ","
    width: int = 0
    lines_above: int = 0
    first_frame: int | None = None

    def where(self, row: int) -> str:
        """Say in which file and line the numbers of a row stand; blank lines are not rows."""
        with _opened(self) as handle:
            for number, line in enumerate(handle, self.lines_above + 1):
                row -= bool(line.strip())
                if row < 0:
                    return f"'{self.path.name}', line {number}"
        return f"'{self.path.name}'"


def is_text(start: bytes) -> bool:
    """Whether the first bytes of a file may be those of a text."""
    return not _CONTROL_CODES.intersection(start)


def read_head(path: Path) -> Head:
    """Read how a file begins: its first bytes, and the comments and the header of a text table.

    Raises
    ------
    InputError
        If it is text without a table, or of two bytes a letter.
    """
    with path.open("rb") as raw:
        start = raw.read(_START_BYTES)
    if start.startswith(UTF_16):
        raise InputError(f"'{path.name}' is text in UTF-16; save it again in UTF-8")
    if not is_text(start):
        return Head(path, start)
    comments: list[str] = []
    lines_above = 0
    with path.open(encoding="utf-8-sig", errors="replace") as handle:
        while line := handle.readline(_MAX_LINE):
            if len(line) == _MAX_LINE:
                break
            if line.strip() and not line.startswith("#"):
                return _head(Head(path, start, tuple(comments), lines_above=lines_above), line)
            comments += [line[1:].strip()] if line.startswith("#") else []
            lines_above += 1
    raise InputError(f"'{path.name}' holds no table of localizations")


def _head(above: Head, line: str) -> Head:
    """Add the header to what stands above it, or that the line is the first row of numbers."""
    delimiter = delimiter_of(line)
    names = headings(line, delimiter)
    known = replace(above, delimiter=delimiter, width=len(names))
    if all(map(looks_like_number, names)):
        return replace(known, names=_names_in_comments(above.comments, len(names)))
    return replace(known, names=tuple(names), lines_above=above.lines_above + 1)


def _names_in_comments(comments: Sequence[str], width: int) -> tuple[str, ...]:
    """Return the names of columns in the last comment above them, if that is what it has."""
    for line in comments[-1:]:
        names = headings(line, delimiter_of(line))
        if len(names) == width and any("frame" in name.lower() for name in names):
            return tuple(names)
    return ()


def _opened(head: Head) -> TextIO:
    """Open a table and step over what stands above the numbers."""
    handle = head.path.open(encoding="utf-8-sig", errors="replace")
    for _ in range(head.lines_above):
        handle.readline()
    return handle


def read_numbers(head: Head) -> Float64Array:
    """Read all numbers of a table; an empty cell is NaN.

    Returns
    -------
    ndarray, shape (row, column)
        Without rows if the table has none.

    Raises
    ------
    InputError
        If a row has another number of cells than the header, or a cell is not a number.
    """
    with _opened(head) as handle:
        start = handle.tell()
        first = next((line for line in iter(handle.readline, "") if line.strip()), "")
        if not first:
            return np.empty((0, head.width))
        handle.seek(start)
        try:
            numbers = _read_fast(handle, head, decimal_comma="," in first and head.delimiter != ",")
        except ValueError:
            numbers = np.empty((0, 0))
        if numbers.shape[1] == head.width:
            return numbers
        handle.seek(start)
        return _read_line_by_line(handle, head)


def _read_fast(handle: TextIO, head: Head, *, decimal_comma: bool) -> Float64Array:
    return np.loadtxt(
        with_points(handle, head.delimiter) if decimal_comma else handle,
        delimiter=None if head.delimiter == BLANKS else head.delimiter,
        comments=None,
        quotechar='"',
        ndmin=2,
    )


def _read_line_by_line(handle: TextIO, head: Head) -> Float64Array:
    """Read what the fast way could not: empty cells, quotes, or a fault, which is named."""
    values, reader, after_blank = array("d"), NumberReader(head.delimiter), False
    number = head.lines_above
    for number, line in enumerate(handle, head.lines_above + 1):
        if not line.strip():
            after_blank = True
        elif after_blank and _FOOTER.match(line):
            break
        else:
            values.extend(_cells(line, head, number, reader))
    with _named(head, number):
        reader.finish()
    return np.array(values).reshape(-1, head.width)


def _cells(line: str, head: Head, number: int, reader: NumberReader) -> list[float]:
    with _named(head, number):
        cells = split(line, head.delimiter)
        if len(cells) != head.width:
            raise ValueError(
                f"{len(cells)} values where {head.width} are expected; the file may be damaged or "
                "cut off"
            )
        return [reader.read(cell) for cell in cells]


@contextlib.contextmanager
def _named(head: Head, line: int) -> Iterator[None]:
    """Say in which line of which file something is wrong."""
    try:
        yield
    except (ValueError, csv.Error) as error:
        raise InputError(f"'{head.path.name}', line {line}: {error}") from None


def write_rows(
    path: Path, header: str, columns: Sequence[AnyArray], formats: Sequence[str]
) -> None:
    """Write a header and columns of numbers, separated by commas.

    Parameters
    ----------
    path : Path
        The file, which is replaced.
    header : str
        What stands above the numbers, with its line ends.
    columns : sequence of ndarray, shape (n,)
        One array for each column.
    formats : sequence of str
        The printf format of each column.
    """
    with path.open("w", encoding="utf-8", newline="") as handle:
        handle.write(header)
    append_rows(path, columns, formats)


def append_rows(path: Path, columns: Sequence[AnyArray], formats: Sequence[str]) -> None:
    """Add columns of numbers to a file; see :func:`write_rows`."""
    line = ",".join(formats) + "\n"
    with path.open("a", encoding="utf-8", newline="") as handle:
        for start in range(0, len(columns[0]), _ROWS_PER_CHUNK):
            chunk = np.column_stack([column[start : start + _ROWS_PER_CHUNK] for column in columns])
            text = line * len(chunk) % tuple(chunk.ravel().tolist())
            # Java, in which ThunderSTORM reads, knows these words alone.
            handle.write(text.replace("nan", "NaN").replace("inf", "Infinity"))
