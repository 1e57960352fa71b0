"""Outputs appear whole or not at all, and those that belong together, together."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from deepstorm.errors import InputError
from deepstorm.locks import signals_wait
from deepstorm.publishing import (
    Reservation,
    is_being_published,
    keep_elsewhere,
    lock_name,
    place,
    publish,
    remove_leftovers,
    staged_name,
    workspace_name,
)

if TYPE_CHECKING:  # with it comes NumPy, for which no help should wait
    from deepstorm.arrays import PathLike

# Where the sets of this process are being written; what is written there belongs to a set already.
_STAGED: set[Path] = set()


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


def stem_of(path: PathLike) -> str:
    """Return the name of a file without its ending, of which ``.ome.tif`` is one; a folder's whole.

    Parameters
    ----------
    path : path-like
    """
    file = Path(path)
    if file.is_dir():
        return file.resolve().name
    stem = file.stem
    return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem


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
    if len({place(target) for target in targets}) < len(targets):
        raise InputError("two of the outputs have the same name; give each its own")


def check_writable(path: PathLike, *, overwrite: bool) -> Path:
    """Return ``path`` if an output may be written there, before any work is done.

    A set that a dead run has left half published is made whole first.

    Raises
    ------
    InputError
        If the folder is missing or not writable, the path is a folder, a device or a link to
        nothing, another run is writing it, or the file exists and ``overwrite`` is false.
    """
    target = Path(path)
    if place(target) in _STAGED:
        return target
    _check_place(target)
    if lock_name(place(target)).exists():
        with _reserved([place(target)]):
            pass
    _check_absent(target, overwrite=overwrite)
    return target


def _check_place(target: Path) -> None:
    """Refuse what no file can be written in place of."""
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"the output folder '{folder}' does not exist; create it first")
    try:
        target.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(f"the output '{target}' cannot be written: {error.strerror}") from None
    if target.is_dir():
        raise InputError(f"the output '{target}' is a folder; give the name of a file")
    if target.is_symlink() and not target.exists():
        raise InputError(
            f"the output '{target}' is a link to '{target.readlink()}', which does not exist; "
            "delete the link or choose another name"
        )
    if target.exists() and not target.is_file():
        raise InputError(
            f"the output '{target}' is a device or a pipe; give the name of an ordinary file"
        )
    if not os.access(folder, os.W_OK):
        raise InputError(f"the output folder '{folder}' is not writable; choose another one")


def _check_absent(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise InputError(f"the output '{target}' exists; choose another name or `overwrite=True`")


@contextlib.contextmanager
def _reserved(places: list[Path]) -> Iterator[Reservation]:
    reservation = Reservation()
    with signals_wait():
        try:
            reservation.take(places)
            yield reservation
        finally:
            reservation.release()


class OutputSet:
    """Files that are being written, and appear together; see :func:`output_set`."""

    def __init__(self, targets: list[Path]) -> None:
        self._targets = targets
        # Those that are staged files of another set are written where they are.
        self._places = [place(each) for each in targets if place(each) not in _STAGED]
        self._reservation = Reservation()
        self._is_reserved = self._has_workspace = self._keeps_workspace = False
        self._mode = 0o666

    def staged(self, path: PathLike) -> Path:
        """Return where to write a file of the set: beside it, hidden, with the same suffix.

        An empty file is there already.

        Raises
        ------
        ValueError
            If the file is not of this set.
        """
        target = Path(path)
        if target not in self._targets:
            raise ValueError(f"'{path}' is not a file of this set")
        if place(target) in _STAGED:
            return target
        name = staged_name(target)
        name.touch()
        self._mode = name.stat().st_mode
        return name

    @property
    def workspace(self) -> Path:
        """A folder for the run's own files, beside the first file of the set; made when needed."""
        folder = workspace_name(self._targets[0])
        self._has_workspace = True
        folder.mkdir(exist_ok=True)
        return folder

    def keep_workspace(self) -> None:
        """Let the workspace stay where the set fails, for a run that goes on from it."""
        self._keeps_workspace = True

    def _reserve(self, *, overwrite: bool, inputs: Iterable[object]) -> None:
        """Make sure that the files may be written, by this run and no other."""
        check_outputs(self._targets, overwrite=overwrite, inputs=inputs)
        self._reservation.take(self._places)
        self._is_reserved = True
        _STAGED.update(staged_name(each) for each in self._places)
        for each in self._places:
            _check_absent(each, overwrite=overwrite)  # it may have come before it was reserved

    def _publish(self, *, overwrite: bool) -> None:
        """Put the files in place, all of them or none.

        Raises
        ------
        InputError
            If one of them must not be replaced; the new ones are kept under other names then.
        OSError
            If the system refuses; the old files are there then.
        """
        if not self._places:
            return
        for each in self._places:
            # Some libraries write through private files of their own; outputs are for everyone.
            staged_name(each).chmod(self._mode)
        try:
            for each in self._places:
                if os.path.lexists(each) and not overwrite:  # it was not there at the beginning
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(each))
            publish(self._places)
        except (PermissionError, FileExistsError) as error:
            if is_being_published(self._places):
                raise
            old = error.filename2 or error.filename or self._targets[0]
            kept = ", ".join(f"'{name}'" for name in keep_elsewhere(self._places))
            raise InputError(
                f"'{old}' cannot be replaced ({error.strerror}); the finished output is kept as "
                f"{kept}: close the program that has the old file open, and rename the one that "
                "was kept"
            ) from error

    def _end(self) -> None:
        """Remove what was not published, and let go of the names."""
        if self._is_reserved:
            self._is_reserved = False  # what another run may be writing from now on stays
            self._clear()
        self._reservation.release()

    def _clear(self) -> None:
        _STAGED.difference_update(staged_name(each) for each in self._places)
        if self._places and is_being_published(self._places):
            # Neither done nor undone: a next run finds it by its locks, and completes it.
            self._reservation.in_disorder.update(self._places)
            return
        remove_leftovers(self._places)
        if self._has_workspace and not self._keeps_workspace:
            shutil.rmtree(workspace_name(self._targets[0]), ignore_errors=True)


@contextlib.contextmanager
def output_set(
    paths: Iterable[PathLike | None], *, overwrite: bool = False, inputs: Iterable[object] = ()
) -> Iterator[OutputSet]:
    """Reserve files, yield where to write them, and put all of them in place at the end.

    No other run can write one of them meanwhile. They appear when the block ends, on the disk, the
    last one last; an error within leaves the files that were there, and nothing else. Signals wait
    until the set is complete. What a run that was killed has left of these files goes, but for its
    workspace (:func:`leftover_workspace`).

    Parameters
    ----------
    paths : iterable of path-like
        All files of the set, the one that describes the others last; each has to be written. None
        stands for one that is not wanted. A set of another set's staged files is part of that.
    overwrite : bool
        Whether existing files may be replaced.
    inputs : iterable
        What is read, and so may not be replaced.

    Raises
    ------
    InputError
        As :func:`check_outputs`, and if another run is writing one of the files, or one cannot be
        replaced at the end.
    """
    outputs = OutputSet([Path(path) for path in paths if path is not None])
    try:
        with signals_wait():
            outputs._reserve(overwrite=overwrite, inputs=inputs)
        yield outputs
        with signals_wait():
            outputs._publish(overwrite=overwrite)
            outputs._keeps_workspace = False  # there is nothing to go on with
            outputs._end()
    except BaseException:
        with signals_wait():
            outputs._end()
        raise


@contextlib.contextmanager
def written_whole(path: PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield where to write a file that appears when it is complete: an :func:`output_set` of one.

    Raises
    ------
    InputError
        As :func:`output_set`.
    """
    with output_set([path], overwrite=overwrite) as outputs:
        yield outputs.staged(path)


def leftover_workspace(path: PathLike) -> Path | None:
    """Return the workspace of a run that was to write ``path`` first, if it is there.

    Within the :func:`output_set` of ``path``, before its own workspace is asked for, this is that
    of a run which was killed or chose to keep it.
    """
    folder = workspace_name(Path(path))
    return folder if folder.is_dir() else None


def file_checksum(path: PathLike) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
