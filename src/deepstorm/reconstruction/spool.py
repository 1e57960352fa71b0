"""Localizations that wait on disk until all pieces of their frames are done."""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import Self

import numpy as np

from deepstorm.structures import Localizations

COLUMNS = ("frame", "x_nm", "y_nm", "uncertainty_nm", "confidence")


class LocalizationSpool:
    """Keeps the localizations of blocks in a temporary file, and gives them back block by block.

    A context manager; the file goes when it ends.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._places: dict[int, list[tuple[int, int]]] = {}

    def __enter__(self) -> Self:
        """Return the spool itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the file."""
        self._file.close()

    def add(self, first_frame: int, found: Localizations) -> None:
        """Keep some of a block's localizations; blocks are known by their first frame."""
        columns = found.columns()
        table = np.stack([columns[name] for name in COLUMNS]).astype(np.float64)
        place = self._file.seek(0, 2)
        self._file.write(table.tobytes())
        self._places.setdefault(first_frame, []).append((place, len(found)))

    def take(self, first_frame: int) -> list[Localizations]:
        """Return all that was kept of a block, in the order in which it came."""
        return [self._read(*place) for place in self._places.pop(first_frame, [])]

    def _read(self, place: int, count: int) -> Localizations:
        self._file.seek(place)
        stored = self._file.read(count * len(COLUMNS) * 8)
        table = np.frombuffer(stored).reshape(len(COLUMNS), count)
        frame, *others = table
        return Localizations(frame.astype(np.int64), **dict(zip(COLUMNS[1:], others, strict=True)))
