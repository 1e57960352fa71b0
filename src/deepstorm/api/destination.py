"""Where a reconstruction goes while it is made: into files, from which it can go on, or memory."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deepstorm.api.outputs import Outputs
from deepstorm.arrays import Float32Array
from deepstorm.errors import InputError, ResumableInterrupt
from deepstorm.files import OutputSet, leftover_workspace
from deepstorm.io.movies.writing import movie_stream
from deepstorm.io.tables.localizations import localization_stream
from deepstorm.reconstruction.job import Job
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.reconstruction.resuming import SavedProgress
from deepstorm.reconstruction.work import Standing, Update
from deepstorm.structures import Localizations, Reconstruction


class Destination(Protocol):
    """Where a reconstruction goes."""

    def begin(
        self, reconstructor: Reconstructor, job: Job, frames: int, about: Mapping[str, Any]
    ) -> Standing:
        """Return where the work stands before its first step, or where an earlier run left it.

        Parameters
        ----------
        reconstructor : Reconstructor
        job : Job
        frames : int
            Length of the movie.
        about : mapping
            The record of settings and input, which has to be the same for the work to go on.
        """

    def take(self, update: Update) -> None:
        """Take over what a step gave."""

    def complete(self, result: Reconstruction) -> Reconstruction:
        """Take the result, and return it with what belongs to it."""


class InMemory:
    """Keeps everything for the result."""

    def __init__(self) -> None:
        self._images: list[Float32Array] = []

    def begin(
        self, reconstructor: Reconstructor, job: Job, frames: int, about: Mapping[str, Any]
    ) -> Standing:
        """Return the beginning."""
        return reconstructor.beginning(job)

    def take(self, update: Update) -> None:
        """Keep the image of a window."""
        if update.window is not None:
            self._images.append(update.window)

    def complete(self, result: Reconstruction) -> Reconstruction:
        """Return the result with the time lapse."""
        return replace(result, time_lapse=np.stack(self._images) if self._images else None)


class InFiles:
    """Writes localizations and windows as they come, and saves what is needed to go on.

    Parameters
    ----------
    outputs : Outputs
    files : OutputSet
        Of all the outputs.
    streams : ExitStack
        Closes the files that are written step by step, before the set is published.
    resumes : bool
        Whether there is an interrupted run to go on with.
    """

    def __init__(
        self, outputs: Outputs, files: OutputSet, streams: contextlib.ExitStack, *, resumes: bool
    ) -> None:
        self._files = files
        self._staged = outputs.staged(files)
        self._resumes = resumes
        self._saved: SavedProgress | None = None
        self._add_table: Callable[[Localizations], None] | None = None
        self._add_window: Callable[[Float32Array], None] | None = None
        self._streams = streams

    @property
    def can_resume(self) -> bool:
        """Whether a run that ended now could be resumed."""
        return self._saved is not None and self._saved.exists

    def begin(
        self, reconstructor: Reconstructor, job: Job, frames: int, about: Mapping[str, Any]
    ) -> Standing:
        """Open the files, and fill them with what was done before."""
        self._open(job, (frames, *job.field))
        identity = {"engine": reconstructor.engine_name, "calibration": job.checksum}
        saved = SavedProgress(self._files.workspace, {**about, **identity})
        standing = reconstructor.beginning(job, saved.pieces)
        if self._resumes:
            self._files.keep_workspace()
            saved.check_same()
            saved.restore(standing)
            for table in saved.tables():
                self._write_table(table)
            for image in saved.windows():
                self._write_window(image)
        else:
            saved.begin()
        self._saved = saved
        return standing

    def take(self, update: Update) -> None:
        """Write what a step gave, and keep it no longer."""
        found = update.partial.take_tables()
        for table in found:
            self._write_table(table)
        if update.window is not None:
            self._write_window(update.window)
        if self._saved is not None:
            self._saved.note(update, found)

    def complete(self, result: Reconstruction) -> Reconstruction:
        """Write the rest; all files appear when the set is published."""
        self._staged.write(result)
        return replace(result, localizations=None)

    def _open(self, job: Job, shape: tuple[int, int, int]) -> None:
        staged = self._staged
        if staged.localizations is not None:
            stream = localization_stream(
                staged.localizations, pixel_size_nm=job.pixel_size_nm, shape=shape
            )
            self._add_table = self._streams.enter_context(stream)
        if staged.time_lapse is not None:
            images = movie_stream(staged.time_lapse, job.pixel_size_nm / job.upsampling)
            append = self._streams.enter_context(images)
            self._add_window = lambda image: append(image[np.newaxis])

    def _write_table(self, table: Localizations) -> None:
        if self._add_table is not None:
            self._add_table(table)

    def _write_window(self, image: Float32Array) -> None:
        if self._add_window is not None:
            self._add_window(image)


@contextlib.contextmanager
def destination(
    outputs: Outputs | None, *, overwrite: bool, inputs: Iterable[object], resume: bool | None
) -> Iterator[Destination]:
    """Yield where a reconstruction goes; its files appear together when the block ends.

    Parameters
    ----------
    outputs : Outputs, optional
        In memory where absent.
    overwrite : bool
        Whether existing files may be replaced.
    inputs : iterable
        What is read, and so may not be replaced.
    resume : bool, optional
        Whether an interrupted run is to be resumed, or its work deleted. Where that is not said
        and there is one, it is refused.

    Raises
    ------
    InputError
        If a file may not be written, or there is nothing to resume.
    ResumableInterrupt
        If it was interrupted, and can be resumed.
    """
    if outputs is None:
        yield InMemory()
        return
    with outputs.reserved(overwrite=overwrite, inputs=inputs) as files:
        resumes = _resumes(outputs.image, resume)
        with contextlib.ExitStack() as streams:
            to = InFiles(outputs, files, streams, resumes=resumes)
            try:
                yield to
            except (KeyboardInterrupt, OSError, MemoryError) as error:
                if not to.can_resume:
                    raise
                files.keep_workspace()
                if isinstance(error, KeyboardInterrupt):
                    raise ResumableInterrupt from None
                raise


def _resumes(image: Path, resume: bool | None) -> bool:
    """Tell whether there is an interrupted run to resume; delete what is left of one otherwise."""
    left = leftover_workspace(image)
    if left is not None and not SavedProgress(left, {}).exists:
        shutil.rmtree(left)
        left = None
    if resume and left is None:
        raise InputError(
            f"there is no interrupted run of '{image}' to resume; leave out `resume=True`"
        )
    if resume is None and left is not None:
        raise InputError(
            f"a run for '{image}' was interrupted, and its work is kept in '{left}'; add "
            "`resume=True` to continue it, or `resume=False` to delete it and restart"
        )
    if resume is False and left is not None:
        shutil.rmtree(left)
    return bool(resume)
