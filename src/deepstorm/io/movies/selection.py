"""A part of a movie, as if the camera had recorded no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deepstorm.arrays import AnyArray
from deepstorm.errors import InputError
from deepstorm.io.movies.movie import Movie, WrappedMovie, require_range


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of camera pixels.

    Parameters
    ----------
    x, y : int
        Column and row of its first pixel.
    width, height : int
        Its size.
    """

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Region:
        """Read ``X,Y,WIDTH,HEIGHT``, the order in which Fiji shows a rectangle.

        Raises
        ------
        InputError
            If the text is anything else.
        """
        try:
            x, y, width, height = (int(part) for part in text.split(","))
        except ValueError:
            raise InputError(
                f"the region '{text}' is not understood; give X,Y,WIDTH,HEIGHT in camera pixels, "
                "for instance 0,0,128,128"
            ) from None
        return cls(x, y, width, height)


def parse_frames(text: str) -> slice:
    """Read a range of frames, ``START:STOP``, counted from 0; either end may be left out.

    Raises
    ------
    InputError
        If the text is anything else.
    """
    try:
        start, stop = (int(part) if part.strip() else None for part in text.split(":"))
    except ValueError:
        raise InputError(
            f"the frames '{text}' are not understood; give START:STOP, for instance 0:500"
        ) from None
    return slice(start, stop)


class SelectedMovie(WrappedMovie):
    """Some frames and some pixels of another movie, which it closes with itself.

    It grows with its movie up to the last frame that was asked for, without end where none was.

    Parameters
    ----------
    movie : Movie
    frames : slice, optional
        Without a step; negative ends count from the last frame, as in Python, which is the last one
        there is when they are selected.
    region : Region, optional

    Raises
    ------
    InputError
        If nothing is selected, or the region reaches beyond the field.
    """

    def __init__(
        self, movie: Movie, frames: slice | None = None, region: Region | None = None
    ) -> None:
        count, height, width = movie.shape
        chosen = frames if frames is not None else slice(None)
        if chosen.step not in (None, 1):
            raise InputError(
                f"frames in steps of {chosen.step} were asked for; only ranges without a step can "
                "be used"
            )
        start, stop, _ = chosen.indices(count)
        if start >= stop:
            raise InputError(
                f"no frame of {count} lies in the range {_written(chosen)}; "
                "give START:STOP counted from 0"
            )
        super().__init__(movie)
        self._start = start
        # An end beyond the last frame is kept, for a movie that grows up to it.
        open_end = chosen.stop is None or chosen.stop >= count
        self._stop = chosen.stop if open_end else stop
        self._region = region if region is not None else Region(0, 0, width, height)
        self._check_region(height, width)

    def _check_region(self, height: int, width: int) -> None:
        region = self._region
        fits_x = 0 <= region.x < region.x + region.width <= width
        fits_y = 0 <= region.y < region.y + region.height <= height
        if not (fits_x and fits_y):
            raise InputError(
                f"the region {region.x},{region.y},{region.width},{region.height} does not lie "
                f"within the frames of {width} × {height} pixels (width × height)"
            )

    @property
    def frames(self) -> range:
        """Numbers of the selected frames in the whole movie."""
        count = self._movie.shape[0]
        return range(self._start, count if self._stop is None else min(self._stop, count))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Length of the axes (frame, y, x)."""
        return len(self.frames), self._region.height, self._region.width

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the type, the whole movie and what is selected of it."""
        return type(self), (self._movie, slice(self._start, self._stop), self._region)

    def refresh(self) -> int:
        """Look whether the whole movie has more frames by now; return how many are selected."""
        self._movie.refresh()
        return self.shape[0]

    def read(self, start: int, stop: int) -> AnyArray:
        """Return frames ``start`` to ``stop`` of the selection, shape (n, y, x).

        Raises
        ------
        IndexError
            If the range is not inside the selection.
        InputError
            If a frame cannot be read.
        """
        region = self._region
        require_range(start, stop, self)
        frames = self._movie.read(self._start + start, self._start + stop)
        return frames[:, region.y : region.y + region.height, region.x : region.x + region.width]


def _written(frames: slice) -> str:
    """Return a range of frames as it is given on the command line."""
    ends = (frames.start, frames.stop)
    return ":".join("" if end is None else str(end) for end in ends)
