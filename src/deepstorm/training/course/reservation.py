"""A training's folder and its output, kept from other trainings while it runs."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from deepstorm.arrays import PathLike
from deepstorm.errors import InputError
from deepstorm.files import output_set, written_whole
from deepstorm.locks import drop_lock, signals_wait, take_lock
from deepstorm.training.course.distributed import is_first_process
from deepstorm.training.course.folder import RESULT_NAME

LOCK_NAME = ".training.lock"
# The folders in which this process trains, and in which thread.
_HELD: dict[Path, int] = {}


@contextlib.contextmanager
def reserved_training(
    folder: Path, output: PathLike | None, *, overwrite: bool
) -> Iterator[Callable[[Path], None]]:
    """Reserve the folder and the output of a training; yield what copies a network to the output.

    Of several processes that train together the first one does so.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    output : path-like, optional
        Has to be written; ``result.safetensors`` in the folder where absent.
    overwrite : bool
        Whether an existing ``output`` may be replaced; one in the folder may.

    Raises
    ------
    InputError
        If another training is running there, or as :func:`~deepstorm.files.output_set`.
    """
    if not is_first_process():
        yield lambda network: None
        return
    with reserved_folder(folder), output_set([output], overwrite=overwrite) as outputs:

        def keep(network: Path) -> None:
            if output is not None:
                shutil.copyfile(network, outputs.staged(output))
                return
            with written_whole(folder / RESULT_NAME, overwrite=True) as partial:
                shutil.copyfile(network, partial)

        yield keep


@contextlib.contextmanager
def reserved_folder(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; it is made where it is missing.

    A training within a training of the same thread shares the folder.

    Raises
    ------
    InputError
        If another training is running there.
    """
    home = folder.resolve()
    if _HELD.get(home) == threading.get_ident():
        yield
        return
    missing = [each for each in (home, *home.parents) if not each.exists()]
    home.mkdir(parents=True, exist_ok=True)
    lock = None
    try:
        with signals_wait():
            lock = take_lock(home / LOCK_NAME)
            if lock is None:
                raise InputError(
                    f"another training is running in '{folder}'; wait until it ends, or choose "
                    "another folder"
                )
            _HELD[home] = threading.get_ident()
        yield
    finally:
        with signals_wait():
            if lock is not None:
                _HELD.pop(home, None)
                drop_lock(home / LOCK_NAME, lock)
                for each in missing:
                    with contextlib.suppress(OSError):  # unless something was written there
                        each.rmdir()
