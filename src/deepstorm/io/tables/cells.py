"""How a line of a table falls into cells, and a cell into a number, whoever exported it.

Spreadsheets and languages disagree: cells stand between commas, semicolons, tabs or blanks, alone
or in quotes, sometimes a whole line in one pair of them, and decimals follow a point or a comma.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

BLANKS = " "
"""The delimiter of tables whose cells are separated by any number of blanks."""

_MARKS = (",", "\t", ";")
_QUOTED = re.compile(r'"[^"]*"')
_PADDING = re.compile(r",\s+")
# A heading may hold blanks before its unit: ``x [nm]``, ``y (nm)``.
_HEADING = re.compile(r'"[^"]*"|[^\s\[(]+(?:\s*(?:\[[^\]]*\]|\([^)]*\)))?')
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+")


def delimiter_of(line: str) -> str:
    """Return what separates the cells of a line: one of ``,``, ``;``, tab, and :data:`BLANKS`."""
    text = _PADDING.sub(",", _QUOTED.sub("", unwrapped(line)))
    commas, *others = (text.count(mark) for mark in _MARKS)
    most = max(others)
    # Every cell of a row may have a decimal comma, and there is one cell more than delimiters.
    if most and commas <= most + 1:
        return _MARKS[1 + others.index(most)]
    parts = text.split()
    between_blanks = len(parts) > 1 and all(map(_DECIMAL_COMMA.fullmatch, parts))
    return "," if commas and not between_blanks else BLANKS


def unwrapped(line: str) -> str:
    """Return a line without the quotes that enclose all its cells together."""
    text = line.strip()
    inner = text[1:-1].replace('""', "")
    enclosed = len(text) > 2 and text[0] == text[-1] == '"' and '"' not in inner
    if enclosed and any(mark in inner for mark in _MARKS):
        return text[1:-1].replace('""', '"')
    return line.rstrip("\r\n")


def headings(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line of names."""
    if delimiter == BLANKS:
        return [cell.strip('"') for cell in _HEADING.findall(unwrapped(line))]
    return [cell.strip() for cell in split(line, delimiter)]


def split(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line, without their quotes.

    Raises
    ------
    csv.Error
        If quotes are not closed as they should be.
    """
    text = unwrapped(line)
    if delimiter == BLANKS:
        return [cell.strip('"') for cell in text.split()]
    if '"' in text:
        return next(csv.reader([text.strip(" ")], delimiter=delimiter, skipinitialspace=True))
    return text.split(delimiter)


def looks_like_number(cell: str) -> bool:
    """Whether a cell is a number, with a decimal point or comma."""
    try:
        float(cell.strip().strip('"').replace(",", ".", 1))
    except ValueError:
        return False
    return True


def with_points(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """Yield lines whose decimal commas have become points.

    Raises
    ------
    ValueError
        At a line that has points already, so that its commas may mean something else, and at one
        in quotes.
    """
    for line in lines:
        if "." in line or '"' in line or delimiter == ",":
            raise ValueError("decimal points or quotes")
        yield line.replace(",", ".")


class NumberReader:
    """Reads the cells of one table one by one, and holds them to one way of writing numbers.

    Parameters
    ----------
    delimiter : str
        What separates the cells.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._point = self._comma = ""
        self._grouped = ""
        self._is_decimal = False

    def read(self, cell: str) -> float:
        """Return the number in a cell; an empty one is NaN.

        Raises
        ------
        ValueError
            If it is none; the message says what is wrong with it.
        """
        text = cell.strip().strip('"').strip()
        if not text:
            return float("nan")
        if "," in text:
            self._note_comma(text)
            text = text.replace(",", ".")
        elif "." in text:
            self._point = self._point or text
        if self._point and self._comma:
            raise ValueError(
                f"'{self._comma}' has a decimal comma and '{self._point}' a decimal point; export "
                "the table with one of them throughout"
            )
        try:
            if "_" in text:  # Python reads 1_0 as ten; no table means that.
                raise ValueError
            return float(text)
        except ValueError:
            raise ValueError(f"'{cell.strip()[:40]}' is not a number") from None

    def _note_comma(self, text: str) -> None:
        if "." in text or text.count(",") > 1:
            raise ValueError(
                f"'{text[:40]}' has separators of thousands, which cannot be told from decimal "
                "ones; export the table without them"
            )
        self._comma = self._comma or text
        if _GROUPED.fullmatch(text):
            self._grouped = self._grouped or text
        else:
            self._is_decimal = True

    def finish(self) -> None:
        """Refuse a table whose commas may as well separate thousands.

        Between semicolons or tabs a comma is a decimal one; beside commas as delimiters, it is only
        if one number shows it.

        Raises
        ------
        ValueError
            If none does.
        """
        if self._delimiter == "," and self._grouped and not self._is_decimal:
            raise ValueError(
                f"the comma in '{self._grouped}' may separate decimals or thousands; export the "
                "table with decimal points"
            )
