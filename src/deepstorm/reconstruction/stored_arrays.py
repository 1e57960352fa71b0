"""Arrays in a file of their own, without pickle, and checked when they are read."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.structures import Localizations

Arrays = dict[str, AnyArray]


def write_arrays(target: PathLike | BinaryIO, arrays: Mapping[str, AnyArray]) -> None:
    """Write arrays as NumPy's ``.npz``, whose every part has a checksum."""
    # Names may be those of savez's own parameters.
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as part:
                np.lib.format.write_array(part, np.asanyarray(array), allow_pickle=False)


def store_arrays(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Put arrays into a working file: whole, should the process be killed.

    Whether it survives a power cut is left to chance; if not, reading it says so.
    """
    unfinished = path.with_suffix(".tmp")
    write_arrays(unfinished, arrays)
    unfinished.replace(path)


def read_arrays(path: PathLike) -> Arrays:
    """Read what :func:`write_arrays` wrote.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"there is no file '{source}'")
    try:
        with np.load(source, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"'{source}' is damaged ({error}); delete it and start again") from error


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
