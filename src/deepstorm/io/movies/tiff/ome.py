"""What OME-XML says of a movie: its images, the axes of each, and where its planes are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from xml.parsers import expat

from deepstorm.errors import InputError

AXES = ("T", "C", "Z")
"""Those besides y and x."""

_NAMED_IN_MESSAGES = 4
_OPENING = re.compile(r"<(?:\w+:)?OME\b")
# Before the first element stand a declaration and comments.
_OPENING_WITHIN = 4096


class OmePlanes(NamedTuple):
    """Planes that follow each other: in which file (empty: this one), from which page on.

    ``first`` is the place of the first of them along each axis; ``page`` and ``number`` are missing
    where the description leaves them out.
    """

    file: str
    first: Mapping[str, int]
    page: int | None
    number: int | None


@dataclass(slots=True)
class OmeImage:
    """One image of a description: a movie, or one position of several.

    Parameters
    ----------
    name : str
    pixels : dict of str to str
        The attributes of its ``Pixels``.
    planes : list of OmePlanes
    """

    name: str
    pixels: dict[str, str] = field(default_factory=dict)
    planes: list[OmePlanes] = field(default_factory=list)

    @property
    def files(self) -> set[str]:
        """The files in which it says its planes are."""
        return {planes.file for planes in self.planes} - {""}

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis that it gives, besides y and x."""
        given = {axis: _whole(self.pixels.get(f"Size{axis}", "")) for axis in AXES}
        return {axis: length for axis, length in given.items() if length is not None}


@dataclass(slots=True)
class OmeDescription:
    """A whole description.

    Parameters
    ----------
    images : list of OmeImage
        Those that have pixels.
    described_in : str
        The file that has the description, where this one only has planes.
    fault : str
        Why it could not be read to its end; empty where it could.
    """

    images: list[OmeImage] = field(default_factory=list)
    described_in: str = ""
    fault: str = ""

    def image_of(self, file: str, name: str) -> OmeImage | None:
        """Return the image of which a file holds planes.

        Parameters
        ----------
        file : str
        name : str
            What the movie is called in messages.

        Raises
        ------
        InputError
            If there are several, which must not be mixed.
        """
        images = self.images
        if len(images) > 1:
            images = [image for image in images if file in image.files or not image.files]
        if len(images) > 1 or (not images and self.images):
            names = [f"'{image.name}'" for image in self.images[:_NAMED_IN_MESSAGES]]
            more = ", …" if len(self.images) > _NAMED_IN_MESSAGES else ""
            raise InputError(
                f"'{name}' holds {len(self.images)} OME images, such as positions "
                f"({', '.join(names)}{more}), and a movie is one of them: save that one on its "
                "own, for instance with Fiji, whose Bio-Formats importer asks which series to open"
            )
        return images[0] if images else None


def is_ome(description: str) -> bool:
    """Whether a description is OME-XML, or the beginning of one."""
    text = description.strip()
    return text.endswith("OME>") or bool(
        text.startswith("<") and _OPENING.search(text, 0, _OPENING_WITHIN)
    )


@lru_cache(maxsize=4)
def read_ome(description: str) -> OmeDescription:
    """Read OME-XML up to its end, or up to where it makes no sense.

    No entity is ever expanded: a document type, which they need, ends the reading at once.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(description.strip(), True)
    except (expat.ExpatError, UnicodeError, _DoctypeError) as error:
        reader.found.fault = str(error)
    return reader.found


class _DoctypeError(Exception):
    """A document type, which OME-XML does not have."""


def _refuse_doctype(*_: object) -> None:
    raise _DoctypeError("it has a document type, which may define endless entities")


class _Reader:
    """Takes elements as they come."""

    def __init__(self) -> None:
        self.found = OmeDescription()
        self._image = OmeImage("")
        self._waiting: dict[str, str] | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take what stands in the opening of an element."""
        match tag.rpartition(":")[2]:
            case "Image":
                number = len(self.found.images)
                name = attributes.get("Name") or attributes.get("ID") or f"image {number}"
                self._image = OmeImage(name)
            case "Pixels":
                self._image.pixels = attributes
                self.found.images.append(self._image)
            case "BinaryOnly":
                self.found.described_in = attributes.get("MetadataFile", "")
            case "TiffData":
                self._waiting = attributes
            case "UUID" if self._waiting is not None:
                self._add(self._waiting, attributes.get("FileName", ""))
                self._waiting = None

    def end(self, tag: str) -> None:
        """Take planes whose file is not named."""
        if self._waiting is not None and tag.rpartition(":")[2] == "TiffData":
            self._add(self._waiting, "")
            self._waiting = None

    def _add(self, attributes: dict[str, str], file: str) -> None:
        first = {axis: _whole(attributes.get(f"First{axis}", "")) or 0 for axis in AXES}
        page, number = (_whole(attributes.get(key, "")) for key in ("IFD", "PlaneCount"))
        self._image.planes.append(OmePlanes(file, first, page, number))


def _whole(text: str) -> int | None:
    """Return the whole number that a text is, if it is one."""
    return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", text) else None
