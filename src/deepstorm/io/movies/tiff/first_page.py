"""What the first page of a TIFF file says in its own and in other programs' words."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from deepstorm.errors import InputError
from deepstorm.io.movies.tiff.directory import DirectoryReader, Entry

_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 270, 282, 283, 296
_METAMORPH_PLANES, _METAMORPH_WAVELENGTHS = 33629, 33630
_IMAGEJ_METADATA, _MICROMANAGER = 50839, 51123


@dataclass(frozen=True, slots=True)
class FirstPage:
    """What programs write about a whole stack into its first page.

    Parameters
    ----------
    descriptions : tuple of str
        The texts of its ImageDescription tags: mostly one, Micro-Manager writes two.
    resolution : tuple of float
        Pixels per unit along (x, y); 0 where it is not given.
    resolution_unit : int
        1 none, 2 inch, 3 centimetre.
    imagej_metadata : bytes
        The binary block in which ImageJ keeps what it knew of the original file.
    micromanager : bytes
        What Micro-Manager says of the page, in JSON.
    planes : int
        Frames that MetaMorph puts behind one page, 0 in files of others.
    wavelengths : int
        How many different ones MetaMorph gives to these frames.
    """

    descriptions: tuple[str, ...]
    resolution: tuple[float, float]
    resolution_unit: int
    imagej_metadata: bytes
    micromanager: bytes
    planes: int
    wavelengths: int


def read_first_page(reader: DirectoryReader, *, growing: bool) -> FirstPage:
    """Read the tags of the first page that say something of the whole stack.

    Parameters
    ----------
    reader : DirectoryReader
    growing : bool
        Whether texts that are not written yet are passed over; else they are an error.

    Raises
    ------
    InputError
        If a tag points to where the file has nothing.
    """
    entries = reader.first_entries()
    tags = dict(entries)

    def raw(entry: Entry | None, *, lenient: bool = growing) -> bytes:
        with contextlib.suppress(*((InputError,) if lenient else ())):
            return reader.raw(entry, "the description") if entry else b""
        return b""

    def ratio(code: int) -> float:
        return reader.ratio(tags[code], "the resolution") if code in tags else 0.0

    planes = tags.get(_METAMORPH_PLANES)
    wavelengths = raw(tags.get(_METAMORPH_WAVELENGTHS) if planes else None, lenient=True)
    return FirstPage(
        descriptions=tuple(_text(raw(entry)) for code, entry in entries if code == _DESCRIPTION),
        resolution=(ratio(_X_RESOLUTION), ratio(_Y_RESOLUTION)),
        resolution_unit=reader.integer(tags, _RESOLUTION_UNIT, 2),
        imagej_metadata=raw(tags.get(_IMAGEJ_METADATA)),
        micromanager=raw(tags.get(_MICROMANAGER), lenient=True),
        planes=planes.values if planes else 0,
        wavelengths=len({wavelengths[i : i + 8] for i in range(0, len(wavelengths), 8)}),
    )


def _text(raw: bytes) -> str:
    """Decode a description: UTF-8 by OME and most others, Latin-1 by old ImageJ."""
    stripped = raw.split(b"\0", 1)[0]
    try:
        return stripped.decode("utf-8")
    except UnicodeDecodeError:
        return stripped.decode("latin-1")
