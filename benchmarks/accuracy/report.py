"""What a part of the benchmark hands back: tables for people, the same and more for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Value = str | float | int | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Table:
    """Rows under one title; the headings are the keys of the rows.

    Parameters
    ----------
    title : str
        What was measured.
    note : str
        How: conditions, criterion, number of emitters.
    rows : list of dict
    details : dict
        What only programs read, such as whole profiles; ready for JSON.
    """

    title: str
    note: str
    rows: list[Row]
    details: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return title, note and a Markdown table."""
        headings = list(dict.fromkeys(heading for row in self.rows for heading in row))
        lines = [headings, ["---"] * len(headings)]
        lines += [[shown(row.get(heading)) for heading in headings] for row in self.rows]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"### {self.title}\n\n{self.note}\n\n{table}\n"


def shown(value: Value) -> str:
    """Return a cell: three significant digits of fractions, whole numbers as they are."""
    if value is None:
        return "–"
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def against_targets(
    figure: str,
    network: str,
    value: Value,
    *,
    paper: Value = None,
    at_least: Value = None,
    aim: Value = None,
) -> Row:
    """Return a row that sets a figure beside the paper's and what is wanted."""
    return {
        "figure": figure,
        "network": network,
        "measured": value,
        "paper": paper,
        "at least": at_least,
        "aim": aim,
    }
