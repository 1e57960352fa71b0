"""What the description of a TIFF file says of its axes and its pixel size.

Three programs describe their stacks, each in its own way: ImageJ in lines of ``key=value``, OME in
XML, tifffile in JSON. Everything else is a plain series of pages.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import dataclass, field, replace
from itertools import pairwise

from deepstorm.errors import InputError
from deepstorm.io.movies.tiff.ome import OmeImage, is_ome, read_ome
from deepstorm.io.movies.tiff.page_tables import PageTable
from deepstorm.io.movies.tiff.pixel_sizes import (
    CAMERA_PIXELS_NM,
    TIFF_UNITS,
    StatedSize,
    size_from_micromanager,
    size_from_ome,
    size_from_tags,
    unit_in_nm,
)

_IMAGEJ_AXES = {"T": "frames", "C": "channels", "Z": "slices"}

_CENTIMETRES: dict[int, tuple[str, float | None]] = {3: TIFF_UNITS[3]}


@dataclass(frozen=True, slots=True)
class StackMetadata:
    """What a description says of the whole stack.

    Parameters
    ----------
    axes : dict of str to int
        Length of each axis besides y and x that is longer than 1.
    pixel_size : StatedSize, optional
        As it is written, credible or not.
    announced : int, optional
        Number of frames, where the description gives one.
    notes : tuple of str
        What is odd about the description; sentences without the name of the file.
    """

    axes: dict[str, int] = field(default_factory=dict)
    pixel_size: StatedSize | None = None
    announced: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of planes that the axes make."""
        return math.prod(self.axes.values())

    def credible_pixel_size_nm(self, limits_nm: tuple[float, float]) -> float | None:
        """Return the pixel size if it is believed; see :meth:`StatedSize.doubt`."""
        stated = self.pixel_size
        if stated is None or stated.nm is None or stated.doubt(limits_nm):
            return None
        return stated.nm[0]

    def pixel_size_doubt(self, limits_nm: tuple[float, float]) -> str:
        """Say what is stated and why it is not believed; nothing where it is or none is."""
        return "" if self.pixel_size is None else self.pixel_size.doubt(limits_nm)


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


def read_stack_metadata(table: PageTable, name: str, *, file: str | None = None) -> StackMetadata:
    """Interpret the description of a TIFF file.

    Parameters
    ----------
    table : PageTable
    name : str
        What the movie is called in messages.
    file : str, optional
        A file whose planes are wanted, where the movie may be in several; otherwise the one that is
        described must be a movie by itself.

    Raises
    ------
    SeveralFilesError
        If it must be, but is one of several that make a movie together.
    InputError
        If it holds several images.
    """
    description = description_of(table)
    if is_ome(description):
        found = _ome(table, name, file)
    elif _is_imagej(description):
        found = _imagej(table)
    elif _is_shaped(description):
        found = _shaped(table)
    else:
        found = _undescribed(table)
    return _with_micromanager(found, table)


def description_of(table: PageTable) -> str:
    """Return the description that counts: OME's, which says most, or else the last one."""
    texts = table.first.descriptions
    return next(filter(is_ome, texts), texts[-1] if texts else "")


def _undescribed(table: PageTable) -> StackMetadata:
    """Return what MetaMorph or nobody says."""
    first, axes = table.first, {}
    if len(table.offsets) == 1 and first.planes > 1:
        axes = {"C": first.wavelengths, "I": first.planes // max(first.wavelengths, 1)}
    long = _long(axes)
    announced = math.prod(long.values()) if long else None
    return StackMetadata(long, size_from_tags(first, TIFF_UNITS), announced)


def _long(axes: dict[str, int]) -> dict[str, int]:
    return {axis: length for axis, length in axes.items() if length > 1}


def _with_micromanager(found: StackMetadata, table: PageTable) -> StackMetadata:
    """Return metadata with the pixel size of Micro-Manager where nothing else gives one."""
    stated = found.pixel_size
    if not table.first.micromanager or (stated is not None and stated.may_be_measured):
        return found
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        said = json.loads(table.first.micromanager.split(b"\0", 1)[0])
        size = size_from_micromanager(said) if isinstance(said, dict) else None
        if size is not None and (stated is None or size.may_be_measured):
            return replace(found, pixel_size=size)
    return found


def _is_imagej(description: str) -> bool:
    return description.startswith("ImageJ=")


def _imagej(table: PageTable) -> StackMetadata:
    lines = (line.partition("=") for line in description_of(table).splitlines())
    values = {key.strip(): value for key, _, value in lines}
    axes = {axis: _whole(values.get(key, "")) for axis, key in _IMAGEJ_AXES.items()}
    long = _long(axes)
    if not long and _whole(values.get("images", "")) > 1:
        long = {"I": _whole(values["images"])}
    announces = any(key in values for key in ("images", *_IMAGEJ_AXES.values()))
    unit = values.get("unit", "").strip()
    units = {table.first.resolution_unit: (unit, unit_in_nm(unit))}
    size = size_from_tags(table.first, units if "unit" in values else _CENTIMETRES)
    if size is not None and size.doubt(CAMERA_PIXELS_NM):
        # Micro-Manager names µm, but means the unit of the tags.
        by_tags = size_from_tags(table.first, TIFF_UNITS)
        size = by_tags if by_tags is not None and by_tags.may_be_measured else size
    if size is not None and _says_uncalibrated(table.first.imagej_metadata):
        size = replace(size, why_not="but its original file says that no calibration was made")
    return StackMetadata(long, size, math.prod(long.values()) if announces else None)


def _says_uncalibrated(imagej_metadata: bytes) -> bool:
    """Whether the original file's own header says that its pixel size is a default.

    Nikon's ND2 files carry a calibration even where none was ever made, and say so beside it.
    """
    note = "bCalibrated = false"
    return any(note.encode(coding) in imagej_metadata for coding in ("utf-16-le", "utf-16-be"))


def _whole(text: str) -> int:
    """Return the whole number that a text is, or 1."""
    return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text) else 1


def _ome(table: PageTable, name: str, file: str | None) -> StackMetadata:
    described = read_ome(description_of(table))
    if described.fault and not described.images:
        note = f"has a description in OME-XML that cannot be read: {described.fault}"
        return replace(_undescribed(table), notes=(note,))
    if described.described_in and file is None:
        raise SeveralFilesError(
            f"'{name}' is one of several files of one OME-TIFF movie, which "
            f"'{described.described_in}' describes; put all of them into one folder, or join them "
            "with Fiji",
            described.described_in,
        )
    image = described.image_of(name if file is None else file, name)
    if image is None:
        return StackMetadata(pixel_size=size_from_tags(table.first, TIFF_UNITS))
    if file is None:
        _check_alone(image, name)
    long = _long(image.sizes)
    notes = channel_notes(image, long)
    if described.fault:
        notes += (f"has a description in OME-XML that breaks off: {described.fault}",)
    count = math.prod(image.sizes.values()) if image.sizes else None
    return StackMetadata(long, size_from_ome(image.pixels), count, notes)


def _check_alone(image: OmeImage, name: str) -> None:
    """Refuse one of several files, and one whose pages are in another order than its frames."""
    files = sorted(image.files)
    if len(files) > 1:
        raise SeveralFilesError(
            f"'{name}' is one of {len(files)} files of one OME-TIFF movie "
            f"({', '.join(files[:3])}, …); join them into one file, for instance with Fiji",
            name,
        )
    axis = next(iter(_long(image.sizes)), "T")
    places = sorted(
        (planes.page, planes.first[axis]) for planes in image.planes if planes.page is not None
    )
    if any(later < earlier for (_, earlier), (_, later) in pairwise(places)):
        raise SeveralFilesError(f"'{name}' has its frames in another order than time", name)


def channel_notes(image: OmeImage, long: dict[str, int]) -> tuple[str, ...]:
    """Return notes on planes that are said to lie elsewhere along an axis of one place.

    Raises
    ------
    InputError
        If they lie at several such places: of a channel that is not announced, for instance.
    """
    notes = []
    for axis, what in (("C", "channel"), ("Z", "plane"), ("T", "time")):
        at = sorted({planes.first[axis] for planes in image.planes}) if axis not in long else []
        if len(at) > 1:
            raise InputError(
                f"the OME description of '{image.name}' announces one {what} but places frames in "
                f"several ({', '.join(map(str, at[:4]))}); save a single one, for instance with "
                "Fiji"
            )
        if at and at[0] > 0:
            notes.append(f"holds {what} {at[0]} (counted from 0) alone; others are elsewhere")
    return tuple(notes)


def _is_shaped(description: str) -> bool:
    return description.startswith('{"shape":')


def _shaped(table: PageTable) -> StackMetadata:
    try:
        values = json.loads(description_of(table))
        shape = [int(length) for length in values["shape"]]
        names = str(values.get("axes") or "I" * len(shape))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        shape, names = [], ""
    size = size_from_tags(table.first, TIFF_UNITS)
    frame = [table.layout.height, table.layout.width]
    while shape[-1:] == [1] and shape[-2:] != frame:  # the samples of a pixel, of which it has one
        shape, names = shape[:-1], names[:-1]
    if shape[-2:] != frame or len(names) != len(shape):
        return StackMetadata(pixel_size=size)
    # Unnamed axes may repeat a letter; numbering them keeps each apart.
    axes = {
        f"{letter}{index}" if names.count(letter) > 1 else letter: length
        for index, (letter, length) in enumerate(zip(names[:-2], shape[:-2], strict=True))
        if length > 1
    }
    return StackMetadata(axes, size, math.prod(axes.values()) if axes else None)
