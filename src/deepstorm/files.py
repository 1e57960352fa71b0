"""Outputs appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from deepstorm.errors import InputError


def check_writable(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
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
def written_whole(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
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
