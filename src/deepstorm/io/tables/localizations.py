"""Tables of localizations in and out; the only place where their conventions are converted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError
from deepstorm.files import output_set, written_whole
from deepstorm.io.checking import existing_file
from deepstorm.io.tables.decode import Decode
from deepstorm.io.tables.numbers import Head, read_head
from deepstorm.io.tables.picasso import HDF5_SIGNATURE, Picasso, picasso_libraries
from deepstorm.io.tables.text_formats import (
    Challenge,
    Challenge2013,
    ChallengeTruth,
    TextFormat,
    ThunderStorm,
    WriteOptions,
    ZeroCostDl4Mic,
)
from deepstorm.structures import Localizations

# The first that matches is taken, so the particular ones come before the general ones.
_TEXT_FORMATS: tuple[TextFormat, ...] = (
    Decode(),
    ChallengeTruth(),
    Challenge(),
    Challenge2013(),
    ZeroCostDl4Mic(),
    ThunderStorm(),
)
_PICASSO = Picasso()
_BY_SUFFIX = {".csv": ThunderStorm.name, ".hdf5": Picasso.name, ".h5": Picasso.name}

FORMATS = tuple(sorted([Picasso.name, *(text.name for text in _TEXT_FORMATS)]))
"""The names of all formats, for reading and for writing."""


def read_localizations(path: PathLike, *, pixel_size_nm: float | None = None) -> Localizations:
    """Read a table of localizations; its format is recognised from its content.

    Parameters
    ----------
    path : path-like
        ThunderSTORM CSV, Picasso HDF5 with its YAML file, SMLM challenge, DECODE CSV or
        ZeroCostDL4Mic CSV.
    pixel_size_nm : float, optional
        Size of a camera pixel, for tables that count in pixels. It takes the place of the size that
        the file itself may give.

    Returns
    -------
    Localizations
        Frames from 0, positions in nm from the outer corner of the top-left camera pixel.

    Raises
    ------
    InputError
        If the file is missing or damaged, its format is not known, a value is not a number, or a
        position is not finite.
    PixelSizeNeededError
        If the table counts in camera pixels, and neither it nor the caller tells their size.
    """
    file = existing_file(path)
    try:
        with file.open("rb") as handle:
            is_hdf5 = handle.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
        if is_hdf5:
            return _PICASSO.read(file, pixel_size_nm)
        head = read_head(file)
        return _format_of(head).read(head, pixel_size_nm)
    except OSError as error:
        raise InputError(f"the file '{file}' cannot be read: {error}") from error


def _format_of(head: Head) -> TextFormat:
    for text in _TEXT_FORMATS:
        if text.matches(head):
            return text
    shown = ", ".join(head.names)[:80]
    raise InputError(
        f"'{head.path.name}' is not a known table of localizations: its columns are {shown!r}; "
        "expected one of ThunderSTORM, Picasso, DECODE, the SMLM challenge or ZeroCostDL4Mic"
    )


def write_localizations(
    path: PathLike,
    localizations: Localizations,
    *,
    format: str | None = None,  # noqa: A002
    pixel_size_nm: float | None = None,
    shape: tuple[int, int, int] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a table of localizations, whole or not at all.

    Parameters
    ----------
    path : path-like
        A name in ``.csv`` is written for ThunderSTORM, in ``.hdf5`` for Picasso, unless ``format``
        says otherwise.
    localizations : Localizations
        Columns that the format does not have are left out.
    format : str, optional
        One of :data:`FORMATS`.
    pixel_size_nm : float, optional
        Size of a camera pixel; needed by the formats that count in pixels, Picasso and DECODE.
    shape : tuple of int, optional
        Shape (frame, y, x) of the movie, which Picasso records; the least that holds all entries
        if not given.
    overwrite : bool
        Whether existing files may be replaced.

    Raises
    ------
    InputError
        If the format is not known, the pixel size is needed and missing, a position is not finite,
        or the file may not be written.
    """
    chosen = _chosen_format(Path(path), format)
    _require_finite_positions(localizations)
    options = WriteOptions(pixel_size_nm, shape)
    if chosen == Picasso.name:
        _PICASSO.write(path, localizations, options, overwrite=overwrite)
        return
    text = next(known for known in _TEXT_FORMATS if known.name == chosen)
    with written_whole(path, overwrite=overwrite) as partial:
        text.write(partial, localizations, options)


def files_of_table(path: PathLike | None) -> list[Path]:
    """Return the files that a table of this name will consist of; none for no table.

    Raises
    ------
    MissingExtraError
        If the table could not be written because an extra is not installed.
    InputError
        If the name does not tell the format.
    """
    if path is None:
        return []
    file = Path(path)
    if _chosen_format(file, None) != Picasso.name:
        return [file]
    picasso_libraries()
    return [file, file.with_suffix(".yaml")]


@contextlib.contextmanager
def localization_stream(
    path: PathLike,
    *,
    pixel_size_nm: float | None = None,
    shape: tuple[int, int, int] | None = None,
    overwrite: bool = False,
) -> Iterator[Callable[[Localizations], None]]:
    """Yield a function that adds localizations to a table, which appears when all are written.

    A ThunderSTORM table is written as localizations come, so that it may be longer than memory;
    other formats are written at the end.

    Parameters
    ----------
    path : path-like
        See :func:`write_localizations`, as for the other parameters. All parts must have the same
        columns.
    """
    with output_set(files_of_table(path), overwrite=overwrite) as outputs:
        if _chosen_format(Path(path), None) == ThunderStorm.name:
            yield _Appender(outputs.staged(path))
            return
        parts: list[Localizations] = []
        yield parts.append
        write_localizations(
            outputs.staged(path),
            Localizations.concatenate(parts),
            pixel_size_nm=pixel_size_nm,
            shape=shape,
        )


class _Appender:
    """Adds to a ThunderSTORM table; the first part writes its header."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_id = 1
        self._format = ThunderStorm()
        self._format.write(path, Localizations.concatenate([]), WriteOptions())

    def __call__(self, part: Localizations) -> None:
        _require_finite_positions(part)
        if self._next_id == 1:
            self._format.write(self._path, part, WriteOptions())
        else:
            self._format.append(self._path, part, self._next_id)
        self._next_id += len(part)


def _chosen_format(path: Path, format_name: str | None) -> str:
    chosen = format_name or _BY_SUFFIX.get(path.suffix.lower())
    if chosen is None:
        raise InputError(
            f"the format of '{path.name}' is not known from its name; end it in .csv for "
            f"ThunderSTORM or .hdf5 for Picasso, or choose a format: {', '.join(FORMATS)}"
        )
    if chosen not in FORMATS:
        raise InputError(f"'{chosen}' is not a table format; choose among {', '.join(FORMATS)}")
    return chosen


def _require_finite_positions(localizations: Localizations) -> None:
    for name in ("x_nm", "y_nm"):
        if not np.isfinite(getattr(localizations, name)).all():
            raise InputError(f"the localizations have positions {name} that are not finite")
    if len(localizations) and int(np.min(localizations.frame)) < 0:
        raise InputError("the localizations have negative frames; they count from 0")
