"""A movie in blocks of frames, each stage of the work a step ahead of the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeVar

# Frames are read in blocks whose predictions take about this many values: small enough that their
# memory is used again and again, which is a fifth faster than new memory for each block.
VALUES_PER_BLOCK = 2**22

Item = TypeVar("Item")


def block_edges(
    shape: tuple[int, int, int], upsampling: int, every: int | None = None
) -> list[int]:
    """Return where the blocks of a movie begin, and where the last one ends.

    They have so few frames that predictions fit in memory.

    Parameters
    ----------
    shape : (int, int, int)
        Of the movie, (frame, y, x).
    upsampling : int
        Super-resolution pixels per camera pixel.
    every : int, optional
        A block ends at each multiple of this number of frames, whatever its size.
    """
    total, height, width = shape
    most = max(VALUES_PER_BLOCK // (height * width * upsampling**2), 1)
    sections = [*range(0, total, every or total), total]
    starts = [start for section in pairwise(sections) for start in range(*section, most)]
    return [*starts, total]


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
