"""Locks that end with the process that holds them, and signals that wait until a step is done."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

# What ends a program; a system without one of them has no such name.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_UNLOCKABLE = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


def take_lock(path: Path) -> int | None:
    """Make a lock file and lock it; return its descriptor, or None where another run holds it.

    The system lets go of the lock when the process ends, however it ends, so that a file which can
    be locked is a dead run's. On a file system without locks every lock is granted.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_free = _lock(descriptor)
            # Its last holder may have deleted the file between opening and locking.
            if is_free and _is_still_there(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not is_free:
            return None


def drop_lock(path: Path, descriptor: int, *, keeps_file: bool = False) -> None:
    """Let go of a lock; its file is deleted unless the next run shall find it."""
    if sys.platform == "win32":
        os.close(descriptor)  # an open file cannot be deleted, nor one that another run has opened
        if not keeps_file:
            with contextlib.suppress(OSError):
                path.unlink()
        return
    try:
        if not keeps_file:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    # Far behind the content, which stays readable for others.
    _LOCKED_BYTE = 2**30

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            return error.errno in _UNLOCKABLE
        return True


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class _Waiting:
    """Stands in for the handlers of signals, and remembers those that came."""

    def __init__(self) -> None:
        self.is_over = False
        self.came: list[int] = []
        self.handlers: dict[int, Callable[[int, FrameType | None], Any] | int] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.came.append(number)
        if self.is_over:  # the own handlers are being put back
            self.deliver()

    def deliver(self) -> None:
        """Put back the handlers, and let them have what came."""
        self.is_over = True
        for number in self.handlers:
            signal.signal(number, self.handlers[number])
        while self.came:
            signal.raise_signal(self.came.pop())


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Let signals that end a program wait until a step is done; only the main thread gets any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = _Waiting()
    try:
        for number in ENDING:
            handler = signal.getsignal(number)
            if handler is not None:  # one that is not Python's could not be put back
                waiting.handlers[number] = handler
                signal.signal(number, waiting)
        yield
    finally:
        waiting.deliver()
