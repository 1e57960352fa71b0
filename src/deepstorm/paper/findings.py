"""What a part of the reproduction hands back: figures, tables for people, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

Value = str | float | int | None
Row = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure, and how much it differs from seed to seed.

    Parameters
    ----------
    value : float or None
        Mean over the repeats; ``None`` where one of them could not be measured.
    spread : float or None
        Standard deviation over the repeats; ``None`` of a single one.
    repeats : int
        Seeds, angles or whatever was varied.
    failure : str
        Where it was tried and there is no number, what to say instead; worse than any number.
    """

    value: float | None
    spread: float | None = None
    repeats: int = 1
    failure: str = ""

    @classmethod
    def of(cls, values: Sequence[float | None], failure: str = "") -> Measured:
        """Summarise repeats; one without a number leaves the mean unknown, and is the failure."""
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return cls(None, None, len(values), failure)
        spread = float(np.std(known, ddof=1)) if len(known) > 1 else None
        return cls(float(np.mean(known)), spread, len(known))

    def shown(self) -> Value:
        """Return a cell: the value, with its spread where there is one."""
        if self.failure:
            return self.failure
        if self.value is None or self.spread is None:
            return self.value
        return f"{shown(self.value)} ± {shown(self.spread)}"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under one title; the headings are the keys of the rows.

    Parameters
    ----------
    title : str
        What was measured.
    note : str
        How: conditions, criterion, number of emitters.
    rows : list of dict
    """

    title: str
    note: str
    rows: list[Row]

    @property
    def headings(self) -> list[str]:
        """All keys of the rows, in the order of their first appearance."""
        return list(dict.fromkeys(heading for row in self.rows for heading in row))


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a part.

    Parameters
    ----------
    name : str
        Unique within the part; a part of the file's name.
    caption : str
        What is seen, in sentences.
    png : bytes
    """

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """Everything that a part found.

    Parameters
    ----------
    tables : tuple of Table
    pictures : tuple of Picture
    figures : mapping of str to Measured
        By name, for the comparison with the paper's claims.
    missing : str
        Why the part could not run at all; empty where it did.
    """

    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    figures: Mapping[str, Measured] = field(default_factory=dict)
    missing: str = ""


def shown(value: Value) -> str:
    """Return a cell: three significant digits of fractions, whole numbers as they are."""
    if value is None:
        return "–"
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
