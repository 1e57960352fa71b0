"""What the description of a TIFF file says of its axes and its pixel size.

Three programs describe their stacks, each in its own way: ImageJ in lines of ``key=value``, OME in
XML, tifffile in JSON. Everything else is a plain series of pages.
"""

from __future__ import annotations

import contextlib
import html
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from deepstorm.errors import InputError
from deepstorm.io.movies.tiff.page_tables import PageTable

CAMERA_PIXELS_NM = (10.0, 1000.0)
"""Between these lie the pixels of every camera behind a single-molecule microscope."""

IMAGE_PIXELS_NM = (0.1, 10_000.0)
"""Between these lie the pixels of an image of a sample; those of a page for print are larger."""

_NM_PER_UNIT = {
    "nm": 1.0,
    "nanometer": 1.0,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "um": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "m": 1e9,
    "meter": 1e9,
    "pm": 1e-3,
    "å": 0.1,
}
_DEFAULT_NM = 1000.0  # what Micro-Manager writes where no pixel size was ever set
_NM_PER_RESOLUTION_UNIT = {2: 25.4e6, 3: 1e7}
_CENTIMETRE = 3
_OME_AXES = ("T", "C", "Z")
_IMAGEJ_AXES = {"T": "frames", "C": "channels", "Z": "slices"}


@dataclass(frozen=True, slots=True)
class StackMetadata:
    """What a description says of the whole stack.

    Parameters
    ----------
    axes : dict of str to int
        Length of each axis besides y and x that is longer than 1.
    pixel_size_nm : tuple of float, optional
        Size along (x, y) as it is written, credible or not.
    """

    axes: dict[str, int] = field(default_factory=dict)
    pixel_size_nm: tuple[float, float] | None = None

    @property
    def count(self) -> int:
        """Number of planes that the axes make."""
        return math.prod(self.axes.values())

    def credible_pixel_size_nm(self, limits_nm: tuple[float, float]) -> float | None:
        """Return the pixel size if it is square within 1 % and inside ``limits_nm``, else None."""
        if self.pixel_size_nm is None:
            return None
        x, y = self.pixel_size_nm
        square = abs(x - y) <= 0.01 * max(x, y)
        return x if square and limits_nm[0] <= x <= limits_nm[1] else None


class SeveralFilesError(InputError):
    """A file that is a part of a movie; ``described_in`` is the file that describes it."""

    def __init__(self, message: str, described_in: str) -> None:
        super().__init__(message)
        self.described_in = described_in


def require_one_axis(axes: dict[str, int], name: str) -> None:
    """Refuse what has more than one axis besides y and x.

    Raises
    ------
    InputError
        If it has.
    """
    if len(axes) > 1:
        lengths = ", ".join(f"{axis} = {length}" for axis, length in axes.items())
        raise InputError(
            f"'{name}' has several axes besides y and x ({lengths}); a movie has only one, "
            "time: save a single channel and plane"
        )


def read_stack_metadata(table: PageTable, name: str, *, alone: bool = True) -> StackMetadata:
    """Interpret the description of a TIFF file.

    Parameters
    ----------
    table : PageTable
    name : str
        What the file is called in messages.
    alone : bool
        Whether the file must be a movie by itself.

    Raises
    ------
    SeveralFilesError
        If it must be, but is one of several that make a movie together.
    InputError
        If it holds several images.
    """
    description = description_of(table)
    if alone and _is_ome(description):
        _check_alone(description, name)
    for recognises, parse in _PARSERS:
        if recognises(description):
            return _with_micromanager(parse(table, name), table)
    return _with_micromanager(_undescribed(table), table)


def description_of(table: PageTable) -> str:
    """Return the description that counts: OME's, which says most, or else the last one."""
    texts = table.first.descriptions
    return next(filter(_is_ome, texts), texts[-1] if texts else "")


def _undescribed(table: PageTable) -> StackMetadata:
    """Return what MetaMorph or nobody says."""
    first, axes = table.first, {}
    if len(table.offsets) == 1 and first.planes > 1:
        axes = {"C": first.wavelengths, "I": first.planes // max(first.wavelengths, 1)}
    long = {axis: length for axis, length in axes.items() if length > 1}
    return StackMetadata(long, _from_tags(table, _NM_PER_RESOLUTION_UNIT))


def _with_micromanager(found: StackMetadata, table: PageTable) -> StackMetadata:
    """Return metadata with the pixel size of Micro-Manager where nothing else gives one."""
    if found.pixel_size_nm is not None or not table.first.micromanager:
        return found
    with contextlib.suppress(ValueError, TypeError, RecursionError, AttributeError):
        said = json.loads(table.first.micromanager.split(b"\0", 1)[0])
        size_nm = 1000 * float(said.get("PixelSizeUm") or said.get("PixelSize_um") or 0)
        if math.isfinite(size_nm) and size_nm > 0 and size_nm != _DEFAULT_NM:
            return replace(found, pixel_size_nm=(size_nm, size_nm))
    return found


def _unit_nm(text: str) -> float | None:
    """Return a unit of length in nm, whichever way its micro is written."""
    plain = text.strip().strip('"').replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u")
    return _NM_PER_UNIT.get(plain.lower())


def _from_tags(table: PageTable, nm_per_unit: dict[int, float]) -> tuple[float, float] | None:
    """Return the pixel size that the resolution tags give, in nm along (x, y)."""
    unit = table.first.resolution_unit
    unit_nm = nm_per_unit.get(unit)
    x, y = table.first.resolution
    # One pixel per unit is what writers put where they know nothing.
    if unit_nm is None or not (x > 0 and y > 0) or x == 1:
        return None
    if unit == _CENTIMETRE and unit_nm / x == _DEFAULT_NM:
        return None
    return unit_nm / x, unit_nm / y


def _is_imagej(description: str) -> bool:
    return description.startswith("ImageJ=")


def _imagej(table: PageTable, name: str) -> StackMetadata:
    lines = (line.partition("=") for line in description_of(table).splitlines())
    values = {key.strip(): value for key, _, value in lines}
    axes = {axis: _whole(values.get(key, "")) for axis, key in _IMAGEJ_AXES.items()}
    long = {axis: length for axis, length in axes.items() if length > 1}
    if not long and _whole(values.get("images", "")) > 1:
        long = {"I": _whole(values["images"])}
    unit_nm = _unit_nm(values.get("unit", ""))
    units = {table.first.resolution_unit: unit_nm} if unit_nm else {}
    if "unit" not in values:
        units = {3: _NM_PER_RESOLUTION_UNIT[3]}
    calibrated = not _says_uncalibrated(table.first.imagej_metadata)
    return StackMetadata(long, _from_tags(table, units) if calibrated else None)


def _says_uncalibrated(imagej_metadata: bytes) -> bool:
    """Whether the original file's own header says that its pixel size is a default.

    Nikon's ND2 files carry a calibration even where none was ever made, and say so beside it.
    """
    note = "bCalibrated = false"
    return any(note.encode(coding) in imagej_metadata for coding in ("utf-16-le", "utf-16-be"))


def _whole(text: str) -> int:
    """Return the whole number that a text is, or 1."""
    return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text) else 1


def _is_ome(description: str) -> bool:
    return description.rstrip().endswith("OME>")


def _check_alone(description: str, name: str) -> None:
    """Refuse one of several files."""
    files = sorted(set(re.findall(r'\bFileName="([^"]*)"', description)))
    if len(files) > 1:
        raise SeveralFilesError(
            f"'{name}' is one of {len(files)} files of one OME-TIFF movie "
            f"({', '.join(files[:3])}, …); join them into one file, for instance with Fiji",
            name,
        )
    described = re.search(r'<(?:\w+:)?BinaryOnly\b[^>]*\bMetadataFile="([^"]*)"', description)
    if described:
        raise SeveralFilesError(
            f"'{name}' is one of several files of one OME-TIFF movie, which "
            f"'{described[1]}' describes; put all of them into one folder, or join them with Fiji",
            html.unescape(described[1]),
        )


def _ome(table: PageTable, name: str) -> StackMetadata:
    images = re.findall(r"<(?:\w+:)?Pixels\b([^>]*)>", description_of(table))
    if len(images) > 1:
        raise InputError(f"'{name}' holds {len(images)} OME images; save the one movie on its own")
    if not images:
        return StackMetadata(pixel_size_nm=_from_tags(table, _NM_PER_RESOLUTION_UNIT))
    values = dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', images[0]))
    axes = {axis: _whole(values.get(f"Size{axis}", "")) for axis in _OME_AXES}
    long = {axis: length for axis, length in axes.items() if length > 1}
    return StackMetadata(long, _ome_pixel_size(values))


def _ome_pixel_size(values: dict[str, str]) -> tuple[float, float] | None:
    x = _ome_length_nm(values, "PhysicalSizeX")
    y = _ome_length_nm(values, "PhysicalSizeY") if "PhysicalSizeY" in values else x
    return None if x is None or y is None else (x, y)


def _ome_length_nm(values: dict[str, str], key: str) -> float | None:
    unit_nm = _unit_nm(html.unescape(values.get(f"{key}Unit", "µm")))
    with contextlib.suppress(ValueError):
        size = float(values.get(key, ""))
        # A size of exactly one unit is what writers put where they know nothing.
        if unit_nm is not None and math.isfinite(size) and size > 0 and size != 1:
            return size * unit_nm
    return None


def _is_shaped(description: str) -> bool:
    return description.startswith('{"shape":')


def _shaped(table: PageTable, name: str) -> StackMetadata:
    try:
        values = json.loads(description_of(table))
        shape = [int(length) for length in values["shape"]]
        names = str(values.get("axes") or "I" * len(shape))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        shape, names = [], ""
    size = _from_tags(table, _NM_PER_RESOLUTION_UNIT)
    frame = [table.layout.height, table.layout.width]
    while shape[-1:] == [1] and shape[-2:] != frame:  # the samples of a pixel, of which it has one
        shape, names = shape[:-1], names[:-1]
    if shape[-2:] != frame or len(names) != len(shape):
        return StackMetadata(pixel_size_nm=size)
    # Unnamed axes may repeat a letter; numbering them keeps each apart.
    axes = {
        f"{letter}{index}" if names.count(letter) > 1 else letter: length
        for index, (letter, length) in enumerate(zip(names[:-2], shape[:-2], strict=True))
        if length > 1
    }
    return StackMetadata(axes, size)


_Parser = Callable[[PageTable, str], StackMetadata]
_PARSERS: tuple[tuple[Callable[[str], bool], _Parser], ...] = (
    (_is_imagej, _imagej),
    (_is_ome, _ome),
    (_is_shaped, _shaped),
)
