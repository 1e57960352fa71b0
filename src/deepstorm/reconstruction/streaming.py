"""A movie in blocks of frames, each stage of the work a step ahead of the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import numpy as np

from deepstorm.arrays import AnyArray
from deepstorm.calibration.faults import FEW_FRAMES

# Frames are read in blocks whose predictions take about this many values: small enough that their
# memory is used again and again, which is a fifth faster than new memory for each block.
VALUES_PER_BLOCK = 2**22
# Scaling and hot pixels are found from about this many pixels, spread over the movie.
SAMPLE_VALUES = 2**24
SAMPLE_FRAMES = 200

Item = TypeVar("Item")


class Frames(Protocol):
    """What a reconstruction asks of a movie."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size (frame, y, x)."""

    def read(self, start: int, stop: int) -> AnyArray:
        """Return frames, shape (n, y, x)."""


def sample_frames(movie: Frames) -> AnyArray:
    """Return frames spread evenly over a movie, few enough to fit in memory."""
    total, height, width = movie.shape
    count = min(total, SAMPLE_FRAMES, max(SAMPLE_VALUES // (height * width), FEW_FRAMES))
    chosen = np.linspace(0, total - 1, count).round().astype(int)
    return np.concatenate([movie.read(int(index), int(index) + 1) for index in chosen])


def blocks(
    movie: Frames, upsampling: int, every: int | None = None
) -> Iterator[tuple[int, AnyArray]]:
    """Yield (first frame, frames) over a whole movie, few enough that predictions fit in memory.

    Parameters
    ----------
    movie : Frames
    upsampling : int
        Super-resolution pixels per camera pixel.
    every : int, optional
        A block ends at each multiple of this number of frames, whatever its size.
    """
    total, height, width = movie.shape
    most = max(VALUES_PER_BLOCK // (height * width * upsampling**2), 1)
    start = 0
    while start < total:
        to_edge = total if every is None else every - start % every
        stop = min(start + min(most, to_edge), total)
        yield start, movie.read(start, stop)
        start = stop


def ahead(items: Iterable[Item]) -> Generator[Item]:
    """Yield the same items, while a thread makes the next one.

    The thread ends with the iteration, also where that is left early; an error while an item is
    made is raised in its place.
    """
    source = iter(items)
    with ThreadPoolExecutor(1) as maker:
        pending = deque([maker.submit(_next, source)])
        try:
            while item := pending.popleft().result():
                pending.append(maker.submit(_next, source))
                yield item[0]
        finally:
            maker.submit(_close, source)


def _next(source: Iterator[Item]) -> tuple[Item] | None:
    """Return the next item in a tuple, or nothing at the end."""
    for item in source:
        return (item,)
    return None


def _close(source: Iterator[Any]) -> None:
    """Let a generator clean up, in the thread that it ran in."""
    with suppress(AttributeError):
        source.close()  # type: ignore[attr-defined]
