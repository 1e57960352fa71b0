"""Faults at every system call, or every line, of what writes files."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

# What makes, changes or renames a file, but for what only deletes one.
SYSTEM_CALLS = ("open", "replace", "fsync", "chmod", "mkdir")
Action = Callable[[], None]

# A training of a second.
RECIPE = """
name = "tiny"
seed = {seed}
steps = 2
precision = "float32"
validate_every = 2
validation_batches = 1
[network]
kind = "native"
width = 4
deep_width = 8
upsampling = 4
[scaling]
kind = "photons"
[examples]
kind = "simulated"
patch_px = 12
scenes = 1
frames_per_scene = 2
[loss]
kind = "spike_cross_entropy"
[schedule]
kind = "cosine"
"""


def disk_is_full() -> None:
    """Refuse as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt() -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def is_killed() -> None:
    """End the process at once, as SIGKILL does."""
    os._exit(9)


@contextlib.contextmanager
def before_call(number: int, folder: Path, action: Action) -> Iterator[list[str]]:
    """Act before a system call that changes a folder; yield the names of those that are made.

    Parameters
    ----------
    number : int
        Which call, from 0.
    folder : Path
        Calls elsewhere do not count, but every one on an open file does.
    action : callable
    """
    made: list[str] = []

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(where: Any, *rest: Any, **named: Any) -> Any:
            only_reads = name in ("open", "file") and _only_reads(*rest, **named)
            if not only_reads and (isinstance(where, int) or _is_within(where, folder)):
                made.append(name)
                if len(made) == number + 1:
                    action()
            return call(where, *rest, **named)

        return wrapper

    with contextlib.ExitStack() as patches:
        for name in SYSTEM_CALLS:
            patches.enter_context(mock.patch.object(os, name, watched(name, getattr(os, name))))
        opened = watched("file", builtins.open)  # with a mode of letters
        patches.enter_context(mock.patch.object(builtins, "open", opened))
        patches.enter_context(mock.patch.object(io, "open", opened))
        yield made


def _only_reads(mode: str | int = "r", *rest: object, **named: object) -> bool:
    if isinstance(mode, int):
        return not mode & (os.O_WRONLY | os.O_RDWR)
    return not set(mode) & set("wax+")


def _is_within(where: Any, folder: Path) -> bool:
    return isinstance(where, str | os.PathLike) and folder in Path(where).absolute().parents


@contextlib.contextmanager
def before_line(number: int, modules: tuple[str, ...], action: Action) -> Iterator[list[str]]:
    """Act before a line of some modules is run; yield those that are run.

    Parameters
    ----------
    number : int
        Which line, from 0, in the order in which they are run.
    modules : tuple of str
        Names of their files, without folder.
    action : callable
    """
    run: list[str] = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        name = os.path.basename(frame.f_code.co_filename)  # noqa: PTH119
        if name not in modules:
            return None
        if event == "line":
            run.append(f"{name}:{frame.f_lineno}")
            if len(run) == number + 1:
                action()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield run
    finally:
        sys.settrace(before)


def at_each(
    inject: Callable[[int, Path], contextlib.AbstractContextManager[list[str]]],
    prepare: Callable[[int], Path],
    work: Callable[[Path], object],
    step: int = 1,
) -> Iterator[tuple[str, Path, BaseException | None]]:
    """Do work once per call, each time with a fault at the next call, until none is left.

    With ``DEEPSTORM_EVERY_FAULT=1`` in the environment no call is left out.

    Parameters
    ----------
    inject : callable
        Takes the number of a call and the folder.
    prepare : callable
        Makes a fresh folder for each number.
    work : callable
        What is done in the folder.
    step : int
        From one call that is tried to the next.

    Yields
    ------
    str, Path, BaseException or None
        Where the fault was, the folder, and what the work ended with.
    """
    every = os.environ.get("DEEPSTORM_EVERY_FAULT") == "1"
    for number in count(step=1 if every else step):
        folder = prepare(number)
        error: BaseException | None = None
        try:
            with inject(number, folder) as made:
                work(folder)
        except (OSError, ValueError, KeyboardInterrupt) as raised:
            # What a signal stops at the very first step of leaving a block ends with its traceback.
            error = raised.with_traceback(None)
        if len(made) <= number:
            assert error is None, "without a fault, the work succeeds"
            return
        yield f"{number}: {made[number]}", folder, error


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file in a folder, hidden ones too, by its path within."""
    files = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
