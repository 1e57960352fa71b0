"""A movie in a TIFF file, read frame by frame."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepstorm.arrays import AnyArray, Int64Array, PathLike
from deepstorm.errors import CutOffError, InputError
from deepstorm.io.checking import MAX_FRAME_PIXELS
from deepstorm.io.movies.file_movie import FileMovie, FileState
from deepstorm.io.movies.tiff.metadata import (
    StackMetadata,
    description_of,
    read_stack_metadata,
    require_one_axis,
)
from deepstorm.io.movies.tiff.page_tables import PageReader, PageTable
from deepstorm.io.movies.tiff.pixel_sizes import CAMERA_PIXELS_NM

if TYPE_CHECKING:
    from tifffile import TiffFile


class TiffMovie(FileMovie):
    """Frames of a TIFF file: multi-page, OME, ImageJ, MetaMorph, BigTIFF, compressed or not.

    Uncompressed frames are read straight from their place in the file, so that also an ImageJ stack
    of more than 4 GB, which has one page table for all its frames, costs only the frames asked for.
    Compressed frames are decoded by tifffile. One object may be read from several threads.

    Parameters
    ----------
    path : path-like
        The file. It stays open until :meth:`close`.
    credible_nm : tuple of float, optional
        Pixel sizes outside these limits are taken for meaningless and reported as None.
    most_pixels : int, optional
        A header that claims larger frames is taken for damaged.
    growing : bool
        Whether the file is being written, so that it may end with a page that is not whole.
    pages_only : bool
        Whether the pages are taken as they come, whatever the description says of them.

    Raises
    ------
    InputError
        If the file is missing, not a TIFF, truncated or damaged, or is not a greyscale movie with
        a single axis besides y and x.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        credible_nm: tuple[float, float] = CAMERA_PIXELS_NM,
        most_pixels: int = MAX_FRAME_PIXELS,
        growing: bool = False,
        pages_only: bool = False,
    ) -> None:
        super().__init__(
            path,
            credible_nm=credible_nm,
            most_pixels=most_pixels,
            growing=growing,
            pages_only=pages_only,
        )
        self._credible_nm, self._pages_only = credible_nm, pages_only
        self._decoder: TiffFile | None = None
        self._offsets = np.empty(0, np.int64)
        try:
            self._handle = self._path.open("rb")
        except OSError as error:
            raise InputError(f"the file '{self._path}' cannot be opened: {error}") from error
        try:
            self._pages = PageReader(self._handle, self.name, most_pixels)
            self._take_in(growing=growing)
        except BaseException:
            self._handle.close()
            raise

    def _look_again(self) -> None:
        states = (FileState.of(self._path),)
        if not os.path.samestat(os.fstat(self._handle.fileno()), self._path.stat()):
            raise InputError(f"'{self.name}' was replaced by another file while it was open")
        self._take_in(growing=True)
        self.states = states

    def _take_in(self, *, growing: bool) -> None:
        """Read the pages that are new, and what the description says by now."""
        table = self._pages.read_on(growing=growing)
        said = StackMetadata() if self._pages_only else read_stack_metadata(table, self.name)
        offsets = _frame_offsets(table, said, self.name, growing=growing)
        known = min(len(offsets), len(self._offsets))
        if not np.array_equal(offsets[:known], self._offsets[:known]):
            raise InputError(f"'{self.name}' has become another movie while it was open")
        self.table, self.description = table, description_of(table)
        self._offsets = max(offsets, self._offsets, key=len)
        self._decoder = self._open_decoder()
        self.shape = (len(self._offsets), table.layout.height, table.layout.width)
        self.dtype = table.layout.dtype
        self.pixel_size_nm = said.credible_pixel_size_nm(self._credible_nm)
        self.pixel_size_doubt = said.pixel_size_doubt(self._credible_nm)
        self.notes = tuple(_notes(self._path, len(self._offsets), said, table.unfinished))

    def _open_decoder(self) -> TiffFile | None:
        if self.table.contiguous:
            return None
        from tifffile import TiffFile

        with _complaints_as_input_error(f"'{self.name}' cannot be read as TIFF"):
            self._handle.seek(0)
            # The special cases of these makers' files rewrite the list of pages.
            return TiffFile(self._handle, is_lsm=False, is_scanimage=False, is_ndpi=False)

    def _frames(self, start: int, stop: int) -> AnyArray:
        raw = self._decoder is None or start == stop
        return self._read_raw(start, stop) if raw else self._decode(start, stop)

    def _read_raw(self, start: int, stop: int) -> AnyArray:
        layout = self.table.layout
        stored = layout.dtype.newbyteorder(self.table.byte_order)
        block = np.empty((stop - start, layout.height, layout.width), stored)
        offsets = self._offsets[start:stop]
        # Frames that follow each other in the file, as they mostly do, are read in one go.
        jumps = np.flatnonzero(np.diff(offsets) != layout.frame_bytes) + 1
        for first, last in pairwise([0, *jumps.tolist(), stop - start]):
            run = block[first:last].reshape(-1).view(np.uint8)
            self._handle.seek(int(offsets[first]) if run.size else 0)
            read = self._handle.readinto(run.data)
            if read != run.size:
                frame = start + first + read // layout.frame_bytes
                raise InputError(
                    f"'{self.name}' ended within frame {frame} (counted from 0); it has become "
                    "shorter since it was opened"
                )
        return block.astype(layout.dtype, copy=False)

    def _decode(self, start: int, stop: int) -> AnyArray:
        """Decode frames with tifffile; on failure again one by one, to name the one at fault."""
        try:
            return self._decode_block(start, stop)
        except InputError:
            if stop - start > 1:
                for frame in range(start, stop):
                    self._decode_block(frame, frame + 1)
            raise

    def _decode_block(self, start: int, stop: int) -> AnyArray:
        layout = self.table.layout
        frames = f"frame {start}" if stop == start + 1 else f"one of frames {start} to {stop - 1}"
        with _complaints_as_input_error(f"{frames} (counted from 0) of '{self.name}' is damaged"):
            decoded = np.asarray(self._decoder.asarray(key=range(start, stop)))  # type: ignore[union-attr]
            block = decoded.reshape(stop - start, layout.height, layout.width)
            return block.astype(layout.dtype, casting="safe", copy=False)

    def _release(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
        self._handle.close()


def announced_note(name: str, count: int, announced: int) -> str:
    """Say that a file announces another number of frames than it holds."""
    why = "; the recording may have been stopped, or other files may belong to it"
    return (
        f"'{name}' announces {announced} frames but holds {count}, all of which are read"
        f"{why if announced > count else ''}"
    )


def _notes(path: Path, count: int, said: StackMetadata, unfinished: str) -> Iterator[str]:
    """Yield what may be wrong with the movie in a file."""
    announced = count if said.announced is None else said.announced
    if announced != count:
        yield announced_note(path.name, count, announced)
    if unfinished:
        yield (
            f"'{path.name}' holds {count} whole frames, which are read, and an end that is not "
            f"whole: {unfinished}"
        )
    for other in _continuations(path) if unfinished or announced > count else ():
        yield f"'{other}' lies beside '{path.name}' and may continue it, but is not read"
    yield from (f"'{path.name}' {note}" for note in said.notes)


def _continuations(path: Path) -> list[str]:
    """Return the files beside one that are named as programs name what follows it."""
    ending = f".ome{path.suffix}" if path.stem.endswith(".ome") else path.suffix
    stem = path.name.removesuffix(ending)
    later = re.compile(re.escape(stem) + r"[_@-]X?\d{1,6}" + re.escape(ending))
    return sorted(other.name for other in path.parent.iterdir() if later.fullmatch(other.name))


def _frame_offsets(
    table: PageTable, said: StackMetadata, name: str, *, growing: bool
) -> Int64Array:
    """Return where each frame begins, also where one page stands for a whole stack."""
    require_one_axis(said.axes, name)
    if len(table.offsets) > 1 or said.count <= 1:
        return table.offsets
    frame_bytes, first = table.layout.frame_bytes, int(table.offsets[0])
    room = (table.file_bytes - first) // frame_bytes if table.contiguous else 1
    if room < said.count and not growing:
        raise CutOffError(
            f"'{name}' is truncated: its description announces {said.count} frames, the file holds "
            f"{room}; copy or export it again"
        )
    # The pages of a stack that is being written come between its frames, or behind them all.
    behind = table.following == 0 or table.following >= first + said.count * frame_bytes
    count = min(room, said.count) if behind else 1
    return np.arange(count, dtype=np.int64) * frame_bytes + first


@contextlib.contextmanager
def _complaints_as_input_error(what: str) -> Iterator[None]:
    """Turn whatever tifffile and its codecs raise or log into one message for a person."""
    complaints: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.ERROR:
            complaints.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(keep)
    try:
        yield
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{what}: {reason}; copy or export it again") from error
    finally:
        logger.removeFilter(keep)
    if complaints:
        raise InputError(f"{what}: {complaints[0]}; copy or export it again")
