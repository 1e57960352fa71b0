"""A movie in a TIFF file, read frame by frame."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstorm.arrays import AnyArray, Int64Array, PathLike
from deepstorm.errors import InputError
from deepstorm.io.checking import MAX_FRAME_PIXELS, existing_file, require_finite
from deepstorm.io.closing import ClosesItself
from deepstorm.io.movies.tiff.metadata import (
    CAMERA_PIXELS_NM,
    StackMetadata,
    read_stack_metadata,
)
from deepstorm.io.movies.tiff.page_tables import PageTable, read_page_table

if TYPE_CHECKING:
    from tifffile import TiffFile


class TiffMovie(ClosesItself):
    """Frames of a TIFF file: multi-page, OME, ImageJ, BigTIFF, compressed or not.

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
    ) -> None:
        file = existing_file(path)
        self.name = file.name
        self._lock = threading.Lock()
        self._decoder: TiffFile | None = None
        try:
            self._handle = file.open("rb")
        except OSError as error:
            raise InputError(f"the file '{file}' cannot be opened: {error}") from error
        try:
            self._table = read_page_table(self._handle, self.name, most_pixels)
            metadata = read_stack_metadata(self._table, self.name)
            self._offsets = _frame_offsets(self._table, metadata, self.name)
            self._decoder = self._open_decoder()
        except BaseException:
            self._handle.close()
            raise
        self._pixel_size_nm = metadata.credible_pixel_size_nm(credible_nm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Length of the axes (frame, y, x)."""
        return len(self._offsets), self._table.layout.height, self._table.layout.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._table.layout.dtype

    @property
    def pixel_size_nm(self) -> float | None:
        """Size of a pixel in nm where the file gives a credible one, else None."""
        return self._pixel_size_nm

    def _open_decoder(self) -> TiffFile | None:
        if self._table.contiguous:
            return None
        from tifffile import TiffFile

        with _complaints_as_input_error(f"'{self.name}' cannot be read as TIFF"):
            self._handle.seek(0)
            # The special cases of these makers' files rewrite the list of pages.
            return TiffFile(self._handle, is_lsm=False, is_scanimage=False, is_ndpi=False)

    def read(self, start: int, stop: int) -> AnyArray:
        """Read the frames from ``start`` up to, not including, ``stop``.

        Returns
        -------
        ndarray, shape (stop - start, y, x)
            In the type of the file and the byte order of this machine.

        Raises
        ------
        IndexError
            If the range is not inside the movie.
        InputError
            If a frame cannot be decoded or holds NaN or infinite pixels.
        """
        count = len(self._offsets)
        if not 0 <= start <= stop <= count:
            raise IndexError(f"frames {start} to {stop} are not inside '{self.name}' of {count}")
        if self._handle.closed:
            raise ValueError(f"'{self.name}' is closed")
        with self._lock:
            raw = self._decoder is None or start == stop
            block = self._read_raw(start, stop) if raw else self._decode(start, stop)
        require_finite(block, start, self.name)
        return block

    def _read_raw(self, start: int, stop: int) -> AnyArray:
        layout = self._table.layout
        stored = layout.dtype.newbyteorder(self._table.byte_order)
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
        layout = self._table.layout
        frames = f"frame {start}" if stop == start + 1 else f"one of frames {start} to {stop - 1}"
        with _complaints_as_input_error(f"{frames} (counted from 0) of '{self.name}' is damaged"):
            decoded = np.asarray(self._decoder.asarray(key=range(start, stop)))  # type: ignore[union-attr]
            block = decoded.reshape(stop - start, layout.height, layout.width)
            return block.astype(layout.dtype, casting="safe", copy=False)

    def close(self) -> None:
        """Close the file; reading is not possible afterwards."""
        with self._lock:
            if self._decoder is not None:
                self._decoder.close()
            self._handle.close()


def _frame_offsets(table: PageTable, metadata: StackMetadata, name: str) -> Int64Array:
    """Return where each frame begins, also where one page stands for a whole stack."""
    if len(metadata.axes) > 1:
        lengths = ", ".join(f"{axis} = {length}" for axis, length in metadata.axes.items())
        raise InputError(
            f"'{name}' has several axes besides y and x ({lengths}); a movie has one, time, so "
            "save a single channel and plane"
        )
    if len(table.offsets) > 1 or metadata.count <= 1:
        return table.offsets
    return _single_page_offsets(table, metadata.count, name)


def _single_page_offsets(table: PageTable, count: int, name: str) -> Int64Array:
    """Return the offsets of frames that follow each other after a single page table."""
    frame_bytes = table.layout.frame_bytes
    room = (table.file_bytes - int(table.offsets[0])) // frame_bytes
    if not table.contiguous or room < count:
        raise InputError(
            f"'{name}' is truncated: its description announces {count} frames, the file holds "
            f"{room if table.contiguous else 1}; copy or export it again"
        )
    return np.arange(count, dtype=np.int64) * frame_bytes + int(table.offsets[0])


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
