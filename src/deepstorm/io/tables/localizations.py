"""Tables of localizations in and out; the only place where their conventions are converted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import numpy as np

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError
from deepstorm.files import OutputSet, output_set
from deepstorm.io.checking import existing_file, head_of
from deepstorm.io.tables.numbers import UTF_16, Head, is_text, read_head
from deepstorm.io.tables.picasso import HDF5_SIGNATURE
from deepstorm.io.tables.table_format import GrowingFormat, TableFormat, WriteOptions
from deepstorm.structures import Localizations

# The first that matches is taken, so the particular ones come before the general ones.
TABLE_FORMATS = (
    "deepstorm.io.tables.picasso:Picasso",
    "deepstorm.io.tables.decode:Decode",
    "deepstorm.io.tables.text_formats:ChallengeTruth",
    "deepstorm.io.tables.text_formats:Challenge",
    "deepstorm.io.tables.text_formats:Challenge2013",
    "deepstorm.io.tables.text_formats:ZeroCostDl4Mic",
    "deepstorm.io.tables.text_formats:ThunderStorm",
)
_FORMATS: tuple[TableFormat, ...] = tuple(resolve_name(place)() for place in TABLE_FORMATS)
_BY_SUFFIX = {suffix: form.name for form in _FORMATS for suffix in form.suffixes}

_MATLAB = b"MATLAB 5.0 MAT-file"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")

FORMATS = tuple(sorted(form.name for form in _FORMATS))
"""The names of all formats, for reading and for writing."""


def is_table(path: PathLike) -> bool:
    """Whether a file is a table, by how it begins: as HDF5 or as text, but not as MATLAB's.

    Raises
    ------
    InputError
        If it is missing, empty or no regular file.
    """
    head = head_of(existing_file(path))
    if head.startswith(_MATLAB):
        return False
    return head.startswith((HDF5_SIGNATURE, *UTF_16)) or is_text(head)


def read_localizations(
    path: PathLike, *, pixel_size_nm: float | None = None, first_frame: int | None = None
) -> Localizations:
    """Read a table of localizations; its format is recognised from its content.

    Parameters
    ----------
    path : path-like
        ThunderSTORM CSV, Picasso HDF5 with its YAML file, SMLM challenge, DECODE CSV or
        ZeroCostDL4Mic CSV.
    pixel_size_nm : float, optional
        Size of a camera pixel, for tables that count in pixels. It takes the place of the size that
        the file itself may give.
    first_frame : int, optional
        The number that the table gives to the first frame of its movie, 0 or 1. Where absent, its
        format decides; a table in a format that counts from 1, but with an entry in frame 0, counts
        from 0.

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
        head = replace(read_head(file), first_frame=first_frame)
        return _format_of(head).read(head, pixel_size_nm)
    except OSError as error:
        raise InputError(f"the file '{file}' cannot be read: {error}") from error


def _format_of(head: Head) -> TableFormat:
    for form in _FORMATS:
        if form.matches(head):
            return form
    shown = f"its columns are {', '.join(head.names)[:80]!r}" if head.names else "it is not text"
    if head.start.startswith(_WORKBOOKS):
        shown = "it is an Excel workbook, which has to be saved as CSV first"
    raise InputError(
        f"'{head.path.name}' is not a known table of localizations: {shown}; expected one of the "
        f"formats {', '.join(FORMATS)}"
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
    form, options = _chosen_format(Path(path), format), WriteOptions(pixel_size_nm, shape)
    with output_set(form.files(Path(path)), overwrite=overwrite) as outputs:
        _write(form, outputs, path, localizations, options)


def _write(
    form: TableFormat,
    outputs: OutputSet,
    path: PathLike,
    localizations: Localizations,
    options: WriteOptions,
) -> None:
    _require_finite_positions(localizations)
    files = [outputs.staged(file) for file in form.files(Path(path))]
    form.write(files, localizations, options)


def files_of_table(path: PathLike | None) -> list[Path]:
    """Return the files that a table of this name will consist of; none for no table.

    Raises
    ------
    MissingExtraError
        If the table could not be written because an extra is not installed.
    InputError
        If the name does not tell the format.
    """
    return [] if path is None else _chosen_format(Path(path), None).files(Path(path))


@contextlib.contextmanager
def localization_stream(
    path: PathLike,
    *,
    pixel_size_nm: float | None = None,
    shape: tuple[int, int, int] | None = None,
    overwrite: bool = False,
) -> Iterator[Callable[[Localizations], None]]:
    """Yield a function that adds localizations to a table, which appears when all are written.

    A table in a :class:`GrowingFormat` is written as localizations come, so that it may be longer
    than memory; others are written at the end.

    Parameters
    ----------
    path : path-like
        See :func:`write_localizations`, as for the other parameters. All parts must have the same
        columns.
    """
    form, options = _chosen_format(Path(path), None), WriteOptions(pixel_size_nm, shape)
    with output_set(form.files(Path(path)), overwrite=overwrite) as outputs:
        if isinstance(form, GrowingFormat):
            yield _Appender(form, outputs.staged(path))
            return
        parts: list[Localizations] = []
        yield parts.append
        _write(form, outputs, path, Localizations.concatenate(parts), options)


class _Appender:
    """Adds to a table; the first part writes its header."""

    def __init__(self, form: GrowingFormat, path: Path) -> None:
        self._form = form
        self._path = path
        self._next_id = 1
        form.write([path], Localizations.concatenate([]), WriteOptions())

    def __call__(self, part: Localizations) -> None:
        _require_finite_positions(part)
        if self._next_id == 1:
            self._form.write([self._path], part, WriteOptions())
        else:
            self._form.append(self._path, part, self._next_id)
        self._next_id += len(part)


def _chosen_format(path: Path, format_name: str | None) -> TableFormat:
    chosen = format_name or _BY_SUFFIX.get(path.suffix.lower())
    if chosen is None:
        raise InputError(
            f"the format of '{path.name}' is not known from its name; end it in "
            f"{' or '.join(_BY_SUFFIX)}, or choose a format: {', '.join(FORMATS)}"
        )
    for form in _FORMATS:
        if form.name == chosen:
            return form
    raise InputError(f"'{chosen}' is not a table format; choose among {', '.join(FORMATS)}")


def _require_finite_positions(localizations: Localizations) -> None:
    for name in ("x_nm", "y_nm"):
        if not np.isfinite(getattr(localizations, name)).all():
            raise InputError(f"the localizations have positions {name} that are not finite")
    if len(localizations) and int(np.min(localizations.frame)) < 0:
        raise InputError("the localizations have negative frames; they count from 0")
