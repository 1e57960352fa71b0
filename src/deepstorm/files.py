"""Outputs appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from deepstorm.errors import InputError

if TYPE_CHECKING:  # with it comes NumPy, for which no help should wait
    from deepstorm.arrays import PathLike


def check_named(path: PathLike) -> Path:
    """Return ``path`` if it can be the name of a file, as that of a folder cannot.

    Raises
    ------
    InputError
        If it is a folder.
    """
    file = Path(path)
    if file.is_dir():
        raise InputError(f"'{file}' is a folder; give the name of a file")
    return file


def check_outputs(
    outputs: Iterable[PathLike | None],
    *,
    overwrite: bool,
    inputs: Iterable[object] = (),
) -> None:
    """Refuse outputs that may not be written together, before any work is done.

    Parameters
    ----------
    outputs : iterable of path-like
        None stands for one that is not wanted.
    overwrite : bool
        Whether existing files may be replaced.
    inputs : iterable
        What is read; no output may replace it. Only what is named by a path is looked at.

    Raises
    ------
    InputError
        If an output is a file that is read, two have the same name, or as :func:`check_writable`.
    """
    targets = [Path(path) for path in outputs if path is not None]
    sources = [Path(source) for source in inputs if isinstance(source, str | os.PathLike)]
    for target, source in product(targets, sources):
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(
                f"the output '{target}' would replace the input '{source}'; choose another name"
            )
    for target in targets:
        check_writable(target, overwrite=overwrite)
    if len({target.resolve() for target in targets}) < len(targets):
        raise InputError("two of the outputs have the same name; give each its own")


def check_writable(path: PathLike, *, overwrite: bool) -> Path:
    """Return ``path`` if an output may be written there, before any work is done.

    Raises
    ------
    InputError
        If the folder is missing or not writable, the path is a folder, or the file exists and
        ``overwrite`` is false.
    """
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"the output folder '{folder}' does not exist; create it first")
    if target.is_dir():
        raise InputError(f"the output '{target}' is a folder; give the name of a file")
    if target.exists() and not overwrite:
        raise InputError(f"the output '{target}' exists; choose another name or allow --overwrite")
    if not os.access(folder, os.W_OK):
        raise InputError(f"the output folder '{folder}' is not writable; choose another one")
    return target


@contextlib.contextmanager
def written_whole(path: PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; rename it on success, remove it on any failure.

    The temporary name keeps the suffix of ``path``, so that libraries which look at it agree.

    Parameters
    ----------
    path : path-like
        Where the finished file shall be.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        As :func:`check_writable`.
    """
    target = check_writable(path, overwrite=overwrite)
    partial = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.partial{target.suffix}")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        # Some libraries write through private files of their own; outputs are for everyone.
        partial.chmod(mode)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def file_checksum(path: PathLike) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
