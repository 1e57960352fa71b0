"""Movies in several TIFF files that say themselves how they belong together.

``tifffile`` joins such files too, but puts black frames where some are missing and takes places in
a file on trust. Here the pages of every file are checked as those of a single one are, and frames
are read straight from their place.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepstorm.arrays import AnyArray, Int64Array, PathLike
from deepstorm.errors import InputError
from deepstorm.io.movies.file_movie import FileMovie, FileState
from deepstorm.io.movies.tiff.metadata import (
    StackMetadata,
    read_stack_metadata,
    require_one_axis,
)
from deepstorm.io.movies.tiff.ome import read_ome
from deepstorm.io.movies.tiff.pixel_sizes import CAMERA_PIXELS_NM
from deepstorm.io.movies.tiff.stack import TiffMovie, announced_note


class Place(NamedTuple):
    """Where frames are that follow each other: from which page of which file on."""

    file: str
    page: int
    frame: int
    frames: int


class SeriesMovie(FileMovie):
    """Frames of several TIFF files in one folder, in the order of time.

    A kind of series derives from it and says in :meth:`_places` where each frame is.

    Parameters
    ----------
    path : path-like
        The file that says how the files belong together.
    opened : str
        What the movie is called in messages: what somebody asked for.
    growing : bool
        Whether files are being written.
    """

    def __init__(self, path: PathLike, *, opened: str, growing: bool = False) -> None:
        super().__init__(path, opened=opened, growing=growing)
        self.name = opened
        self._parts: dict[str, TiffMovie] = {}
        self._where = np.empty((0, 2), np.int64)
        try:
            self._take_in(growing=growing)
        except BaseException:
            self._release()
            raise

    @abstractmethod
    def _places(self, *, growing: bool) -> Iterator[Place]:
        """Yield where each frame is.

        Raises
        ------
        InputError
            If the files do not make one movie.
        """

    def _said(self) -> StackMetadata:
        """Return what the files say of the pixel size and of the number of frames."""
        part = next(iter(self._parts.values()))
        return read_stack_metadata(part.table, self.name, file=self.name)

    def _look_again(self) -> None:
        self._take_in(growing=True)

    def _take_in(self, *, growing: bool) -> None:
        """Find the frames, and check that those known before are where they were."""
        state = FileState.of(self._path)
        for part in self._parts.values():
            part.refresh()
        where = self._arranged(list(self._places(growing=growing)))
        if not np.array_equal(where[: len(self._where)], self._where):
            raise InputError(f"'{self.name}' has become another movie while it was open")
        first, *others = self._parts.values()
        for other in others:
            if (other.shape[1:], other.dtype) != (first.shape[1:], first.dtype):
                raise InputError(
                    f"'{first.name}' and '{other.name}' differ in the size or type of their "
                    "frames; all frames of a movie must be alike"
                )
        self._where = where
        self.shape, self.dtype = (len(where), *first.shape[1:]), first.dtype
        said = self._said()
        self.pixel_size_nm = said.credible_pixel_size_nm(CAMERA_PIXELS_NM)
        self.pixel_size_doubt = said.pixel_size_doubt(CAMERA_PIXELS_NM)
        self.notes = tuple(self._notes(said))
        self.states = (state, *(part.states[0] for part in self._parts.values()))

    def _notes(self, said: StackMetadata) -> Iterator[str]:
        if said.announced not in (None, len(self._where)):
            yield announced_note(self.name, len(self._where), said.announced or 0)
        yield from (f"'{self.name}' {note}" for note in said.notes)
        for part in self._parts.values():
            yield from part.notes

    def _arranged(self, places: list[Place]) -> Int64Array:
        """Return (number of the file, page) of each frame; shape (frame, 2)."""
        for place in places:
            pages = self._parts[place.file].shape[0]
            if place.page + place.frames > pages:
                raise InputError(
                    f"'{self.name}' is incomplete: frame {place.frame} (counted from 0) would be "
                    f"on page {place.page} of '{place.file}', which has {pages} pages"
                )
        total = sum(place.frames for place in places)
        where = np.full((total, 2), -1, np.int64)
        numbers = {file: index for index, file in enumerate(self._parts)}
        for file, page, frame, count in places:
            if frame + count <= total:
                where[frame : frame + count, 0] = numbers[file]
                where[frame : frame + count, 1] = np.arange(page, page + count)
        lacking = np.flatnonzero(where[:, 0] < 0)
        if total == 0 or lacking.size:
            raise InputError(
                f"'{self.name}' is incomplete: of the {total} frames of its files none is frame "
                f"{int(lacking[0]) if total else 0} (counted from 0); copy or export it again"
            )
        return where

    def _part(self, file: str) -> TiffMovie:
        """Return a file of the series, which is opened where it is not yet open."""
        if file not in self._parts:
            path = self._path.with_name(file)
            self._parts[file] = TiffMovie(path, pages_only=True, growing=self._tolerant)
        return self._parts[file]

    _tolerant = False
    """Whether the last page of a file may be unfinished."""

    def _require(self, files: Iterable[str]) -> None:
        """Refuse a series of which a file is missing, or said to be in another folder."""
        named = sorted(set(files))
        for file in named:
            if Path(file).name != file or not self._path.with_name(file).exists():
                raise InputError(
                    f"'{self.name}' is one of {len(named)} files of one movie "
                    f"({', '.join(named[:3])}{', …' if len(named) > 3 else ''}), of which '{file}' "
                    "is missing; put all of them into one folder"
                )

    def _frames(self, start: int, stop: int) -> AnyArray:
        where, parts = self._where[start:stop], list(self._parts.values())
        if start == stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        # Frames that follow each other in one file, as they mostly do, are read in one go.
        jumps = np.flatnonzero(np.any(np.diff(where, axis=0) != (0, 1), axis=1)) + 1
        runs = [
            parts[run[0, 0]].read(int(run[0, 1]), int(run[-1, 1]) + 1)
            for run in np.split(where, jumps)
        ]
        return runs[0] if len(runs) == 1 else np.concatenate(runs)

    def _release(self) -> None:
        for part in self._parts.values():
            part.close()


class OmeSeries(SeriesMovie):
    """An OME-TIFF movie in several files, described in one of them."""

    def _places(self, *, growing: bool) -> Iterator[Place]:
        image = read_ome(self._master().description).image_of(self.name, self.name)
        if image is None:
            return
        self._require(image.files)
        axes = self._said().axes
        require_one_axis(axes, self.name)
        axis = next(iter(axes), "T")
        for planes in image.planes:
            part = self._part(planes.file or self._path.name)
            page = planes.page or 0
            rest = 1 if planes.page is not None else part.shape[0] - page
            count = rest if planes.number is None else planes.number
            yield Place(part.name, page, planes.first[axis], count)

    def _said(self) -> StackMetadata:
        return read_stack_metadata(self._master().table, self.name, file=self.name)

    def _master(self) -> TiffMovie:
        """Return the file with the description, which need not hold frames of this movie."""
        return self._part(self._path.name)
