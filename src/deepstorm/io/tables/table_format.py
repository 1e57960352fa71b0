"""What any format of tables has to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from deepstorm.errors import PixelSizeNeededError
from deepstorm.io.checking import require_pixel_size
from deepstorm.io.tables.numbers import Head
from deepstorm.structures import Localizations


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What some formats say of the movie besides the localizations.

    Parameters
    ----------
    pixel_size_nm : float, optional
        Size of a camera pixel.
    shape : tuple of int, optional
        Shape (frame, y, x) of the movie.
    """

    pixel_size_nm: float | None = None
    shape: tuple[int, int, int] | None = None


class TableFormat(Protocol):
    """A way to lay out localizations in a file, or in several."""

    name: str
    suffixes: tuple[str, ...] = ()
    """Ends of names that are written in this format where no other is asked for."""

    def matches(self, head: Head) -> bool:
        """Whether a file that begins like this is in this format."""

    def read(self, head: Head, pixel_size_nm: float | None) -> Localizations:
        """Read the file that begins like this."""

    def files(self, path: Path) -> list[Path]:
        """Return the files that a table of this name consists of.

        Raises
        ------
        MissingExtraError
            If it could not be written because an extra is not installed.
        """
        return [path]

    def write(
        self, files: Sequence[Path], localizations: Localizations, options: WriteOptions
    ) -> None:
        """Write a table; ``files`` stand for those of :meth:`files`."""


@runtime_checkable
class GrowingFormat(TableFormat, Protocol):
    """A format of one file whose tables can be longer than memory."""

    def append(self, path: Path, localizations: Localizations, first_id: int) -> None:
        """Add entries, counted from ``first_id``, to a table of the same columns."""


def needed_pixel_size(pixel_size_nm: float | None, what: str) -> float:
    """Return the pixel size in nm, or say what it is needed for.

    Raises
    ------
    PixelSizeNeededError
        If there is none.
    InputError
        If it is not a positive number.
    """
    if pixel_size_nm is None:
        raise PixelSizeNeededError(
            f"{what}; give the size of a camera pixel, for instance `camera_pixel_size_nm=100` "
            "(in nm)"
        )
    return require_pixel_size(pixel_size_nm)
