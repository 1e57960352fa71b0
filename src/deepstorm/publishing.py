"""How a set of files takes the place of an older one: all of it, or nothing.

While a run writes a file, these lie beside it, hidden:

=====================  ===========================================================================
``.NAME.lock``         locked by the run; says which files are one set
``.STEM.new.SUFFIX``   the new file, until it is renamed
``.STEM.old.SUFFIX``   the old file, while the set is published
``.NAME.publishing``   beside the first file of a set: all new ones are complete, renaming goes on
``.NAME.partial``      beside the first file of a set: a folder of working files
=====================  ===========================================================================

A run that dies leaves the old set before ``.publishing`` is there, and afterwards one that whoever
reserves one of its files next makes wholly new.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from deepstorm.errors import InputError
from deepstorm.locks import drop_lock, take_lock

# File systems take names of 255 bytes; longer stems than this are cut, longer suffixes dropped.
MOST_STEM_BYTES = 120
MOST_SUFFIX_BYTES = 20
KEPT_CHARACTERS = 24
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def place(path: Path) -> Path:
    """Return the one name of an output: its folder resolved, a link itself not."""
    return path.parent.resolve() / path.name


def staged_name(target: Path) -> Path:
    """Return where a new file is written."""
    return _hidden(target, "new", target.suffix)


def _backup_name(target: Path) -> Path:
    return _hidden(target, "old", target.suffix)


def lock_name(target: Path) -> Path:
    """Return the file whose lock reserves a target."""
    return _hidden(target, "lock")


def _mark_name(target: Path) -> Path:
    return _hidden(target, "publishing")


def workspace_name(target: Path) -> Path:
    """Return the folder of working files for a set that begins with this target."""
    return _hidden(target, "partial")


def _hidden(target: Path, role: str, suffix: str = "") -> Path:
    if len(os.fsencode(suffix)) > MOST_SUFFIX_BYTES:
        suffix = ""
    return target.with_name(f".{_short(target.name.removesuffix(suffix))}.{role}{suffix}")


def _short(stem: str) -> str:
    """Return a stem, a long one as its beginning and a checksum."""
    coded = os.fsencode(stem)
    if len(coded) <= MOST_STEM_BYTES:
        return stem
    return f"{stem[:KEPT_CHARACTERS]}-{hashlib.sha256(coded).hexdigest()[:16]}"


class Reservation:
    """The files that this run alone may write."""

    def __init__(self) -> None:
        self._locks: dict[Path, int] = {}
        # Files whose set is in disorder: their locks stay for the next run to find.
        self.in_disorder: set[Path] = set()

    def take(self, targets: Sequence[Path]) -> None:
        """Reserve files, once what dead runs left there is in order.

        Raises
        ------
        InputError
            If another run is writing one of them.
        """
        # In one order for all runs, so that of two with the same names one wins.
        for target in sorted(targets):
            self._lock(target)
        for target in sorted(targets):
            if target in self.in_disorder:
                self._put_in_order(_set_of(target))
        remove_leftovers(targets)
        for stranger in self._locks.keys() - set(targets):
            self._drop(stranger)
        if len(targets) > 1:
            self._note(targets)

    def release(self) -> None:
        """Let go of everything."""
        for target in list(self._locks):
            self._drop(target)

    def _lock(self, target: Path) -> None:
        descriptor = take_lock(lock_name(target))
        if descriptor is None:
            raise InputError(
                f"another run is writing '{target}'; wait until it ends, or choose another name"
            )
        self._locks[target] = descriptor
        if os.fstat(descriptor).st_size:
            self.in_disorder.add(target)

    def _drop(self, target: Path) -> None:
        descriptor = self._locks.pop(target)
        drop_lock(lock_name(target), descriptor, keeps_file=target in self.in_disorder)

    def _put_in_order(self, targets: list[Path]) -> None:
        """Make a set wholly new where a dead run was publishing it, else remove what it left."""
        reachable = {target for target in targets if target.parent.is_dir()}
        for target in sorted(reachable - self._locks.keys()):
            self._lock(target)
        # Some may have been left as they should be, and belong to another set now.
        there = [each for each in targets if each in reachable and _set_of(each) == targets]
        if is_being_published(targets):
            for target in there:
                if os.path.lexists(staged_name(target)):
                    staged_name(target).replace(target)
            _sync_folders(there)
            finish(targets)
        remove_leftovers(there)
        for target in there:
            lock_name(target).write_text("", encoding="utf-8")
        self.in_disorder.difference_update(there)

    def _note(self, targets: Sequence[Path]) -> None:
        """Write into every lock which files are one set, the first one first."""
        for target in targets:
            names = [
                other.name if other.parent == target.parent else str(other) for other in targets
            ]
            lock_name(target).write_text(json.dumps(names), encoding="utf-8")
            sync(lock_name(target))


def _set_of(target: Path) -> list[Path]:
    """Read from its lock which files are one set with a target."""
    try:
        names = json.loads(lock_name(target).read_text(encoding="utf-8"))
        return [target.parent / name for name in names]
    except (ValueError, TypeError):  # its run died while it wrote this, with nothing done yet
        return [target]


def publish(targets: Sequence[Path]) -> None:
    """Rename the new files of a set, the last one last; undo that where it fails.

    Raises
    ------
    OSError
        If a file cannot be written through to the disk or renamed; the old set is there then.
    """
    for target in targets:
        sync(staged_name(target))
    if len(targets) == 1:  # one renaming is whole by itself
        staged_name(targets[0]).replace(targets[0])
        _sync_folders(targets)
        finish(targets)
        return
    _sync_folders(targets)
    mark = _mark_name(targets[0])
    try:
        mark.touch()
        sync(mark.parent)
        for target in targets:
            if os.path.lexists(target):
                target.replace(_backup_name(target))
            staged_name(target).replace(target)
        _sync_folders(targets)
    except BaseException:
        _take_back(targets)
        mark.unlink(missing_ok=True)
        raise
    finish(targets)


def _take_back(targets: Sequence[Path]) -> None:
    """Undo renamings; what has been undone can still be completed at any moment."""
    for target in reversed(targets):
        if not os.path.lexists(staged_name(target)):
            target.replace(staged_name(target))
        if os.path.lexists(_backup_name(target)):
            _backup_name(target).replace(target)


def finish(targets: Sequence[Path]) -> None:
    """Remove what a set needed until it was published: working files, the mark, old files."""
    shutil.rmtree(workspace_name(targets[0]), ignore_errors=True)
    _mark_name(targets[0]).unlink(missing_ok=True)
    remove_leftovers(targets)


def remove_leftovers(targets: Iterable[Path]) -> None:
    """Remove new and old files that belong to no set any more."""
    for target in targets:
        shutil.rmtree(workspace_name(staged_name(target)), ignore_errors=True)
        for name in (staged_name(target), _backup_name(target)):
            with contextlib.suppress(OSError):  # what is still open elsewhere waits for a next run
                name.unlink()


def is_being_published(targets: Sequence[Path]) -> bool:
    """Tell whether some files of a set may be new and others old."""
    return _mark_name(targets[0]).exists()


def keep_elsewhere(targets: Sequence[Path]) -> list[Path]:
    """Rename the new files of a set to names that are free, beside their targets; return these."""
    for number in count(2):
        names = [
            target.with_name(f"{_short(target.stem)}_{number}{target.suffix}") for target in targets
        ]
        if not any(os.path.lexists(name) for name in names):
            break
    for target, name in zip(targets, names, strict=True):
        staged_name(target).replace(name)
    return names


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def _sync_folders(targets: Iterable[Path]) -> None:
    for folder in {target.parent for target in targets}:
        sync(folder)
