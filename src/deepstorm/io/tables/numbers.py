"""Tables of numbers in text files: read fast, and every fault named with its line."""

from __future__ import annotations

import codecs
import csv
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from deepstorm.arrays import AnyArray, Float64Array
from deepstorm.errors import InputError

_DELIMITERS = ",\t;"
_MAX_LINE = 100_000
_ROWS_PER_CHUNK = 20_000
_START_BYTES = 8
# What no text has: control characters besides tab, line feed, form feed and carriage return.
_CONTROL_CODES = frozenset(range(32)) - frozenset(b"\t\n\f\r")


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
        What separates the cells.
    width : int
        Number of columns; 0 if the file is no text.
    lines_above : int
        Number of lines before the first row of numbers.
    """

    path: Path
    start: bytes
    comments: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    delimiter: str = ","
    width: int = 0
    lines_above: int = 0

    def where(self, row: int) -> str:
        """Say in which file and line the numbers of a row stand; blank lines are not rows."""
        with _opened(self) as handle:
            for number, line in enumerate(handle, self.lines_above + 1):
                row -= bool(line.strip())
                if row < 0:
                    return f"'{self.path.name}', line {number}"
        return f"'{self.path.name}'"


def read_head(path: Path) -> Head:
    """Read how a file begins: its first bytes, and the comments and the header of a text table.

    Raises
    ------
    InputError
        If it is text without a table, or of two bytes a letter.
    """
    with path.open("rb") as raw:
        start = raw.read(_START_BYTES)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"'{path.name}' is text in UTF-16; save it again in UTF-8")
    if _CONTROL_CODES.intersection(start):
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
    delimiter = max(_DELIMITERS, key=line.count)
    names = tuple(cell.strip() for cell in next(csv.reader([line.strip()], delimiter=delimiter)))
    known = replace(above, delimiter=delimiter, width=len(names))
    if all(map(_is_number, names)):
        return known
    return replace(known, names=names, lines_above=above.lines_above + 1)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
        if not any(line.strip() for line in iter(handle.readline, "")):
            return np.empty((0, head.width))
        handle.seek(start)
        try:
            numbers = np.loadtxt(
                handle, delimiter=head.delimiter, comments=None, quotechar='"', ndmin=2
            )
        except ValueError:
            numbers = np.empty((0, 0))
        if numbers.shape[1] == head.width:
            return numbers
        handle.seek(start)
        return _read_line_by_line(handle, head)


def _read_line_by_line(handle: TextIO, head: Head) -> Float64Array:
    """Read what the fast way could not: empty cells, or a fault, which is named."""
    values = array("d")
    for number, line in enumerate(handle, head.lines_above + 1):
        if line.strip():
            values.extend(_cells(line, head, number))
    return np.array(values).reshape(-1, head.width)


def _cells(line: str, head: Head, number: int) -> list[float]:
    cells = line.rstrip("\r\n").split(head.delimiter)
    if len(cells) != head.width:
        raise InputError(
            f"'{head.path.name}', line {number}: {len(cells)} values where {head.width} are "
            "expected; the file may be damaged or cut off"
        )
    return [_number(cell.strip().strip('"'), head, number) for cell in cells]


def _number(cell: str, head: Head, line: int) -> float:
    try:
        if "_" in cell:  # Python reads 1_0 as ten; no table means that.
            raise ValueError
        return float(cell) if cell else np.nan
    except ValueError:
        raise InputError(
            f"'{head.path.name}', line {line}: '{cell[:40]}' is not a number"
        ) from None


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
