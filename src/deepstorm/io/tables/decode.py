"""The tables of DECODE, whose positions count from the centre of a pixel."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.errors import InputError
from deepstorm.io.tables.emitter_columns import lateral
from deepstorm.io.tables.numbers import Head, read_numbers, write_rows
from deepstorm.io.tables.table_format import TableFormat, WriteOptions, needed_pixel_size
from deepstorm.io.tables.text_formats import finished, scaled
from deepstorm.structures import Localizations


class Decode(TableFormat):
    """CSV tables of DECODE: three lines of comments, then named columns; frames from 0.

    Positions are in px or nm from the *centre* of the first pixel, half a pixel from the corner
    that this package counts from. The columns x and y are taken by their names. DECODE's own fits
    of a camera TIFF have x along the rows of the image (DECODE issue 42); exchange the columns of
    such a table before it is compared with others.
    """

    name = "decode"
    _headings = (
        "x,y,z,phot,frame_ix,id,prob,bg,x_cr,y_cr,z_cr,phot_cr,bg_cr,"
        "x_sig,y_sig,z_sig,phot_sig,bg_sig"
    )

    def matches(self, head: Head) -> bool:
        """Recognise the name of the frame column, which no other format has."""
        return "frame_ix" in head.names

    def read(self, head: Head, pixel_size_nm: float | None) -> Localizations:
        """Read the table in the unit that its comments name."""
        pixel_x, pixel_y, scale = _decode_units(head, pixel_size_nm)
        found = dict(zip(head.names, read_numbers(head).T, strict=True))
        named = {"frame_ix": "frame", "z": "z_nm", "phot": "photons", "prob": "confidence"}
        named["bg"] = "background_photons"
        columns = {field: found[name] for name, field in named.items() if name in found}
        for axis, pixel_nm in (("x", pixel_x), ("y", pixel_y)):
            if axis in found:
                nm = scaled(found[axis], pixel_nm if scale == "px" else 1.0)
                columns[f"{axis}_nm"] = nm + pixel_nm / 2
        if "x_sig" in found and "y_sig" in found:
            sigma = lateral(found["x_sig"], found["y_sig"])
            columns["uncertainty_nm"] = scaled(sigma, pixel_x if scale == "px" else 1.0)
        if "z_nm" in columns and len(columns["z_nm"]) and not columns["z_nm"].any():
            del columns["z_nm"]  # DECODE writes a z of 0 for 2D data
        return finished(head, columns, first_frame=0)

    def write(
        self, files: Sequence[Path], localizations: Localizations, options: WriteOptions
    ) -> None:
        """Write positions in pixels, with every column that DECODE looks for."""
        pixel_nm = needed_pixel_size(options.pixel_size_nm, "DECODE tables are in camera pixels")
        known = _decode_columns(localizations, pixel_nm)
        unknown = np.full(len(localizations), np.nan)
        names = self._headings.split(",")
        meta = json.dumps({"xy_unit": "px", "px_size": [pixel_nm, pixel_nm]})
        header = f'# DECODE EmitterSet\n# {{"version": "deepstorm"}}\n# {meta}\n{self._headings}\n'
        write_rows(
            files[0],
            header,
            [known.get(name, unknown) for name in names],
            ["%d" if name in ("frame_ix", "id") else "%.6f" for name in names],
        )


def _decode_columns(localizations: Localizations, pixel_nm: float) -> dict[str, AnyArray]:
    """Return DECODE's columns in pixels, counted from the centre of the first one."""
    columns: dict[str, AnyArray] = {
        "x": localizations.x_nm / pixel_nm - 0.5,
        "y": localizations.y_nm / pixel_nm - 0.5,
        "z": np.zeros(len(localizations)) if localizations.z_nm is None else localizations.z_nm,
        "frame_ix": localizations.frame,
        "id": np.arange(len(localizations)),
    }
    if localizations.uncertainty_nm is not None:
        columns["x_sig"] = columns["y_sig"] = localizations.uncertainty_nm / pixel_nm
    optional = {
        "phot": localizations.photons,
        "prob": localizations.confidence,
        "bg": localizations.background_photons,
    }
    return columns | {name: values for name, values in optional.items() if values is not None}


def _decode_units(head: Head, pixel_size_nm: float | None) -> tuple[float, float, str]:
    """Return the size of a pixel along x and y in nm, and the unit of the positions."""
    meta = _decode_meta(head)
    unit, size = meta.get("xy_unit"), _pixel_size(meta.get("px_size"))
    if unit not in ("px", "nm"):
        raise InputError(
            f"'{head.path.name}' does not say whether its positions are in px or nm; add xy_unit "
            "to its third line"
        )
    if pixel_size_nm is None and size:
        return *size, unit
    what = f"'{head.path.name}' counts from the centre of a camera pixel and gives no px_size"
    nm = needed_pixel_size(pixel_size_nm, what)
    return nm, nm, unit


def _decode_meta(head: Head) -> dict[str, Any]:
    """Return the comment that describes the table, or nothing."""
    for comment in head.comments:
        if re.match(r"\{.*\"xy_unit\"", comment):
            try:
                return dict(json.loads(comment))
            except (ValueError, TypeError, RecursionError):
                break
    return {}


def _pixel_size(given: object) -> tuple[float, float] | None:
    """Return the pixel size along (x, y) in nm if that is what was given."""
    if not isinstance(given, list) or len(given) != 2:
        return None
    numbers = [float(length) for length in given if isinstance(length, (int, float))]
    if len(numbers) != 2 or not all(0 < length < 1e6 for length in numbers):
        return None
    return numbers[0], numbers[1]
