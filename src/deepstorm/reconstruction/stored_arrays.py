"""Arrays in a file of their own, without pickle, and checked when they are read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.structures import Localizations

Arrays = dict[str, AnyArray]

Value = TypeVar("Value")

CHUNK_BYTES = 2**24
MOST_HEADER_BYTES = 2**12
_DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, IndexError),
    *(NotImplementedError, zipfile.BadZipFile),
)


def write_arrays(target: PathLike | BinaryIO, arrays: Mapping[str, AnyArray]) -> None:
    """Write arrays as NumPy's ``.npz``, whose every part has a checksum."""
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            ordered = np.asarray(array, order="C")
            header = np.lib.format.header_data_from_array_1_0(ordered)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array_header_1_0(part, header)
                part.write(ordered.reshape(-1).view(np.uint8).data)


def store_arrays(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Put arrays into a working file: whole, should the process be killed.

    Whether it survives a power cut is left to chance; if not, reading it says so.
    """
    unfinished = path.with_suffix(".tmp")
    write_arrays(unfinished, arrays)
    unfinished.replace(path)


def read_arrays(path: PathLike, parse: Callable[[Arrays], Value]) -> Value:
    """Read what :func:`write_arrays` wrote.

    Parameters
    ----------
    path : path-like
    parse : callable
        Makes a value of the arrays; what it misses is damage of the file.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"there is no file '{source}'")
    try:
        with source.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            named = {each.filename.removesuffix(".npy"): each for each in members}
            return parse({name: _read_member(archive, each) for name, each in named.items()})
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"'{source}' is damaged ({error}); delete it and restart") from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> AnyArray:
    """Read an array, which takes no more memory than the file has bytes."""
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError("it is compressed")
    buffer = np.empty(member.file_size, np.uint8)
    with archive.open(member) as part:
        filled = 0
        while chunk := part.read(CHUNK_BYTES):  # the checksum is compared at the end
            buffer[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
    header = io.BytesIO(buffer[:MOST_HEADER_BYTES].tobytes())
    if np.lib.format.read_magic(header) != (1, 0):
        raise ValueError("it was not written by this program")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.hasobject or is_fortran:
        raise ValueError("it was not written by this program")
    return buffer[header.tell() :].view(dtype).reshape(shape)


def packed_tables(tables: Mapping[int, Localizations]) -> Arrays:
    """Return tables of localizations, by the first frame of their block, as arrays."""
    starts = sorted(tables)
    ordered = [tables[start] for start in starts]
    arrays: Arrays = {
        "table.starts": np.array(starts, np.int64),
        "table.ends": np.cumsum([len(table) for table in ordered], dtype=np.int64),
    }
    columns = Localizations.concatenate(ordered).columns()
    return arrays | {f"table.{name}": column for name, column in columns.items()}


def unpacked_tables(arrays: Mapping[str, AnyArray]) -> dict[int, Localizations]:
    """Return what :func:`packed_tables` packed."""
    of_tables = {
        name.removeprefix("table."): part
        for name, part in arrays.items()
        if name.startswith("table.")
    }
    starts, ends = of_tables.pop("starts"), of_tables.pop("ends")
    whole = Localizations(**of_tables)
    edges = pairwise([0, *ends.tolist()])
    return {
        int(start): whole.select(slice(*edge)) for start, edge in zip(starts, edges, strict=True)
    }
