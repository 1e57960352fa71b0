"""What a result was made from: the file as it was when it was opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepstorm.io.movies.movie import Movie
from deepstorm.structures import Caution


@dataclass(frozen=True, slots=True)
class InputFile:
    """A movie's file at one moment; size and time stand for its content, for speed.

    Parameters
    ----------
    path : Path, optional
        Absolute; absent for what is no file.
    status : os.stat_result, optional
        Absent where the file is.
    """

    path: Path | None
    status: os.stat_result | None

    @classmethod
    def of(cls, source: object) -> InputFile:
        """Look at what a movie was opened from, right after opening it."""
        if not isinstance(source, str | os.PathLike):
            return cls(None, None)
        path = Path(source).absolute()
        try:
            return cls(path, path.stat())
        except OSError:
            return cls(path, None)

    def record(self, movie: Movie) -> dict[str, Any]:
        """Describe the movie for a run record, as it was when it was looked at.

        Parameters
        ----------
        movie : Movie
            What was used of it.
        """
        described: dict[str, Any] = {"name": movie.name, "shape": list(movie.shape)}
        if self.path is None:
            return described
        described["path"] = str(self.path)
        if self.status is not None:
            described |= {"bytes": self.status.st_size, "modified": _date(self.status.st_mtime)}
        return described

    def warnings(self) -> list[Caution]:
        """Say what has become of the file since: nothing, unless the result may mix two movies."""
        if self.path is None or self.status is None:
            return []
        now = InputFile.of(self.path).status
        if now is None:
            gone = f"'{self.path.name}' was deleted or renamed while it was read."
            return [Caution("input-changed", gone)]
        if (now.st_size, now.st_mtime_ns) != (self.status.st_size, self.status.st_mtime_ns):
            changed = (
                f"'{self.path.name}' was changed or replaced while it was read; the record tells "
                "size and time of the file that was opened, the result may be of both."
            )
            return [Caution("input-changed", changed)]
        return []


def _date(seconds: float) -> str | None:
    """Return a date as ISO 8601 writes it, which ends with the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
