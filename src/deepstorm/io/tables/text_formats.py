"""The text formats of localization tables, one class each.

Every convention that differs from the package's own — frames from 1, positions from the centre of
the first pixel, lengths in pixels — is converted here, where the format is read or written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.errors import InputError
from deepstorm.io.tables.emitter_columns import lateral, localizations_from_columns
from deepstorm.io.tables.numbers import Head, append_rows, read_numbers, write_rows
from deepstorm.io.tables.table_format import TableFormat, WriteOptions, needed_pixel_size
from deepstorm.structures import Localizations

_MEANINGS = {
    "frame": "frame",
    "frame number": "frame",
    "first frame": "frame",
    "x": "x_nm",
    "y": "y_nm",
    "z": "z_nm",
    "position x": "x_nm",
    "position y": "y_nm",
    "position z": "z_nm",
    "intensity": "photons",
    "photon #": "photons",
    "photons": "photons",
    "phot": "photons",
    "number photons": "photons",
    "sigma": "sigma_nm",
    "psfx": "sigma_nm",
    "sigma1": "sigma1_nm",
    "sigma2": "sigma2_nm",
    "offset": "background_photons",
    "bg": "background_photons",
    "uncertainty": "uncertainty_nm",
    "uncertainty_xy": "uncertainty_nm",
    "locprec": "uncertainty_nm",
    "precision": "uncertainty_nm",
    "confidence": "confidence",
}
_LENGTHS_NM = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3}
_PIXELS = ("px", "pix", "pixel", "pixels")
_PHOTONS = ("photon", "photons", "")
_IN_BRACKETS = re.compile(r"([^\[(]*)[\[(]([^\])]*)[\])]?\s*")
# Without brackets: SMAP's ``xnm``, and ``x_nm``.
_IN_NAME = re.compile(r"(x|y|z|sigma|locprec|psfx|uncertainty)[ _]?(nm|um|µm|μm|px|pix)")


def _name_and_unit(cell: str) -> tuple[str, str]:
    """Return what a heading names and in which unit, both in lower case."""
    text = cell.strip().lower()
    parts = _IN_BRACKETS.fullmatch(text) or _IN_NAME.fullmatch(text)
    name, unit = parts.groups() if parts else (text, "")
    return name.strip(), unit.strip()


def names_positions(head: Head) -> bool:
    """Whether a header names the place of every entry, in whichever unit."""
    fields = {_MEANINGS.get(_name_and_unit(cell)[0]) for cell in head.names}
    return {"x_nm", "y_nm"} <= fields


def _factor(field: str, unit: str, pixel_size_nm: float | None, path: Path) -> float | None:
    """Return what turns a column into the unit of a field; None leaves the column out."""
    if field.endswith("_nm"):
        if unit in _PIXELS:
            return needed_pixel_size(pixel_size_nm, f"'{path.name}' holds lengths in camera pixels")
        return _LENGTHS_NM.get(unit)
    # Light in camera counts cannot be told in photons without the camera's gain.
    return None if field.endswith("photons") and unit not in _PHOTONS else 1.0


def _known_columns(head: Head, pixel_size_nm: float | None) -> dict[str, AnyArray]:
    """Read a table and return the columns whose name and unit are known, by field."""
    columns: dict[str, AnyArray] = {}
    unclear: dict[str, str] = {}
    for cell, values in zip(head.names, read_numbers(head).T, strict=True):
        name, unit = _name_and_unit(cell)
        field = _MEANINGS.get(name)
        if field is None:
            continue
        factor = _factor(field, unit, pixel_size_nm, head.path)
        if factor is None:
            unclear[field] = cell
        elif field in columns and field in ("frame", "x_nm", "y_nm"):
            raise InputError(f"'{head.path.name}' has two columns for {name}; keep one")
        else:
            columns.setdefault(field, scaled(values, factor))
    _require_positions(columns, unclear, head.path.name)
    return columns


def _require_positions(
    columns: Mapping[str, AnyArray], unclear: Mapping[str, str], name: str
) -> None:
    """Refuse positions whose unit is not known, rather than say that there are none."""
    for field in ("x_nm", "y_nm"):
        if field in unclear and field not in columns:
            raise InputError(
                f"'{name}': the unit of the column '{unclear[field]}' is not understood; expected "
                f"nm, um or px in brackets, as in '{field[0]} [nm]'"
            )


class _UnitHeader(TableFormat):
    """Tables whose header gives a name and a unit for each column; frames count from 1.

    Some programs write such tables with frames counted from 0, as Picasso does: one that has an
    entry in frame 0 is read so.
    """

    quote = ""
    layout: tuple[tuple[str, str, str], ...]
    """What is written: the heading, the field it comes from, and the printf format."""

    def read(self, head: Head, pixel_size_nm: float | None) -> Localizations:
        columns = _known_columns(head, pixel_size_nm)
        sigma = [columns.pop(field, None) for field in ("sigma1_nm", "sigma2_nm")]
        if sigma[0] is not None and sigma[1] is not None:
            columns.setdefault("sigma_nm", lateral(sigma[0], sigma[1]))
        return finished(head, columns, first_frame=1)

    def write(
        self, files: Sequence[Path], localizations: Localizations, options: WriteOptions
    ) -> None:
        columns, formats = self._chosen(localizations, 1)
        names = ",".join(f"{self.quote}{heading}{self.quote}" for heading in columns)
        write_rows(files[0], names + "\n", list(columns.values()), formats)

    def append(self, path: Path, localizations: Localizations, first_id: int) -> None:
        """Add entries to a table that :meth:`write` began with the same columns."""
        columns, formats = self._chosen(localizations, first_id)
        append_rows(path, list(columns.values()), formats)

    def _chosen(
        self, localizations: Localizations, first_id: int
    ) -> tuple[dict[str, AnyArray], list[str]]:
        """Return the known columns by heading, and the format of each."""
        known = _numbered(localizations, first_id)
        chosen = [column for column in self.layout if column[1] in known]
        columns = {heading: known[field] for heading, field, _ in chosen}
        return columns, [printf for _, _, printf in chosen]


def _numbered(localizations: Localizations, first_id: int = 1) -> dict[str, AnyArray]:
    """Return the columns of a record with frames counted from 1 and entries from ``first_id``."""
    columns: dict[str, AnyArray] = dict(localizations.columns())
    columns["frame"] = columns["frame"] + 1
    columns["id"] = np.arange(first_id, first_id + len(localizations))
    return columns


def scaled(values: AnyArray, factor: float) -> AnyArray:
    """Return a column in another unit."""
    with np.errstate(over="ignore"):  # an absurd number becomes infinite and is refused as such
        return values * factor


def finished(head: Head, columns: Mapping[str, AnyArray], *, first_frame: int) -> Localizations:
    """Make a record of the columns of a text table.

    Parameters
    ----------
    head : Head
    columns : mapping of str to ndarray, shape (n,)
    first_frame : int
        The number that the format gives to the first frame. A table of a format that counts from 1
        counts from 0 if it has an entry in frame 0. What the head says of it comes before both.
    """
    if first_frame == 1 and "frame" in columns and (columns["frame"] == 0).any():
        first_frame = 0
    return localizations_from_columns(
        columns,
        first_frame=first_frame if head.first_frame is None else head.first_frame,
        name=head.path.name,
        where=head.where,
    )


class ThunderStorm(_UnitHeader):
    """CSV tables of ThunderSTORM: quoted headings with units, corner origin, frames from 1.

    Tables of others whose headings say what is what are read in the same way, such as those of SMAP
    and of ZEISS Elyra. The position uncertainty is read in both its spellings, and written as
    ``uncertainty_xy``, for which other programs look. The two widths of a 3D fit are read as their
    root mean square.
    """

    name = "thunderstorm"
    suffixes = (".csv",)
    quote = '"'
    layout = (
        ("id", "id", "%d"),
        ("frame", "frame", "%d"),
        ("x [nm]", "x_nm", "%.3f"),
        ("y [nm]", "y_nm", "%.3f"),
        ("z [nm]", "z_nm", "%.3f"),
        ("sigma [nm]", "sigma_nm", "%.3f"),
        ("intensity [photon]", "photons", "%.3f"),
        ("offset [photon]", "background_photons", "%.3f"),
        ("uncertainty_xy [nm]", "uncertainty_nm", "%.3f"),
        ("confidence [a.u.]", "confidence", "%.6f"),
    )

    def matches(self, head: Head) -> bool:
        """Recognise any header with units, and any that names positions."""
        return any("[" in cell for cell in head.names) or names_positions(head)


class ZeroCostDl4Mic(_UnitHeader):
    """CSV tables of the ZeroCostDL4Mic Deep-STORM notebook: its training truth and its results.

    Written are the columns of both that are known.
    """

    name = "zerocost"
    layout = (
        ("index", "id", "%d"),
        ("frame", "frame", "%d"),
        ("x [nm]", "x_nm", "%.3f"),
        ("y [nm]", "y_nm", "%.3f"),
        ("Photon #", "photons", "%.3f"),
        ("Sigma [nm]", "sigma_nm", "%.3f"),
        ("confidence [a.u]", "confidence", "%.6f"),
    )

    def matches(self, head: Head) -> bool:
        """Recognise the columns that only the notebook has."""
        names = {cell.lower() for cell in head.names}
        return "photon #" in names or "confidence [a.u]" in names


class Challenge2013(_UnitHeader):
    """CSV tables of the 2013 SMLM challenge: ``frame,x [nm],y [nm]``."""

    name = "smlm-challenge-2013"
    layout = (("frame", "frame", "%d"), ("x [nm]", "x_nm", "%.5f"), ("y [nm]", "y_nm", "%.5f"))

    def matches(self, head: Head) -> bool:
        """Recognise these three columns and no others."""
        return tuple(map(_name_and_unit, head.names)) == (("frame", ""), ("x", "nm"), ("y", "nm"))


class Challenge(TableFormat):
    """Standardised tables of the SMLM challenge: ``frame, x, y, z, intensity`` without a header.

    Lengths in nm, frames from 1, corner origin. The format cannot leave a column out, so z or the
    intensity of an unknown value is written as 0, and a column of zeros is read as unknown.
    """

    name = "smlm-challenge"
    header = ""
    fields: tuple[str, ...] = ("frame", "x_nm", "y_nm", "z_nm", "photons")
    formats: tuple[str, ...] = ("%d", "%.3f", "%.3f", "%.3f", "%.3f")

    def matches(self, head: Head) -> bool:
        """Recognise a table of numbers alone."""
        return head.width > 0 and not head.names

    def read(self, head: Head, pixel_size_nm: float | None) -> Localizations:
        """Read the five columns."""
        if head.width != len(self.fields):
            raise InputError(
                f"'{head.path.name}' has {head.width} columns and no header; expected the five of "
                "the SMLM challenge (frame, x, y, z, intensity) or a header that names the columns"
            )
        return finished(head, _without_zeros(self.fields, read_numbers(head)), first_frame=1)

    def write(
        self, files: Sequence[Path], localizations: Localizations, options: WriteOptions
    ) -> None:
        """Write all columns of the format."""
        known = _numbered(localizations)
        unknown = np.zeros(len(localizations))
        columns = [known.get(field, unknown) for field in self.fields]
        write_rows(files[0], self.header, columns, self.formats)


class ChallengeTruth(Challenge):
    """Ground truth of the SMLM challenge: as its tables, with an identifier and a header."""

    name = "smlm-challenge-truth"
    header = "Ground-truth, frame, xnano, ynano, znano, intensity \n"
    fields = ("id", "frame", "x_nm", "y_nm", "z_nm", "photons")
    formats = ("%d", *Challenge.formats)
    _headings = ("ground-truth", "frame", "xnano", "ynano", "znano", "intensity")

    def matches(self, head: Head) -> bool:
        """Recognise the names of the coordinates."""
        return "xnano" in {cell.lower() for cell in head.names}

    def read(self, head: Head, pixel_size_nm: float | None) -> Localizations:
        """Read the columns by their names."""
        columns = dict(
            zip([cell.lower() for cell in head.names], read_numbers(head).T, strict=True)
        )
        known = [
            (field, columns[heading])
            for field, heading in zip(self.fields, self._headings, strict=True)
            if heading in columns and field != "id"
        ]
        names = [field for field, _ in known]
        values = np.array([values for _, values in known]).T
        return finished(head, _without_zeros(names, values), first_frame=1)


def _without_zeros(fields: Sequence[str], numbers: AnyArray) -> dict[str, AnyArray]:
    """Name the columns, leaving out z and intensity where they are zero throughout."""
    columns = dict(zip(fields, numbers.T, strict=True))
    return {
        field: values
        for field, values in columns.items()
        if field not in ("z_nm", "photons") or values.any() or not len(values)
    }
