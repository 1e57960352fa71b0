"""Cut a field into tiles with a halo: a large frame gives what it would give in one piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis, in camera pixels.

    Parameters
    ----------
    start, stop : int
        What the network sees, with halo.
    core_start, core_stop : int
        What of its prediction is kept.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def seen(self) -> slice:
        """What the network sees."""
        return slice(self.start, self.stop)

    def limited(self, length: int) -> Span:
        """Return the span without what lies beyond ``length``: pixels that only fill up a field."""
        return Span(
            self.start, min(self.stop, length), self.core_start, min(self.core_stop, length)
        )

    def seen_within(self, upsampling: int) -> slice:
        """Return what is seen, in super-resolution pixels of the tile's prediction."""
        return slice(0, (self.stop - self.start) * upsampling)

    def core(self, upsampling: int) -> slice:
        """Return what is kept, in super-resolution pixels of the field."""
        return slice(self.core_start * upsampling, self.core_stop * upsampling)

    def core_within(self, upsampling: int) -> slice:
        """Return what is kept, in super-resolution pixels of the tile's prediction."""
        first = (self.core_start - self.start) * upsampling
        return slice(first, first + (self.core_stop - self.core_start) * upsampling)


def spans(length: int, tile: int, halo: int, divisor: int = 1) -> Iterator[Span]:
    """Cover ``length`` pixels by as few tiles as will do, all of one size, no larger than needed.

    Parameters
    ----------
    length : int
        Pixels along the axis.
    tile : int
        Largest size of a tile with its halo, more than twice the halo; where ``length`` is not
        larger, one tile covers it.
    halo : int
        Pixels on each side whose prediction is not kept, except at the border of the field.
    divisor : int
        Tiles begin, and are as long as, multiples of it; so have to be all of the above.

    Yields
    ------
    Span
        The cores follow each other without gap or overlap.

    Raises
    ------
    ValueError
        If the halos of a tile leave nothing between them.
    """
    if length > tile and tile <= 2 * halo:
        raise ValueError(f"a tile of {tile} pixels is all halo, {halo} on each side")
    if length <= tile:
        yield Span(0, length, 0, length)
        return
    kept = length - 2 * halo  # by tiles without their halos; at the borders halos are kept, too
    count = math.ceil(kept / (tile - 2 * halo))
    size = math.ceil(kept / count / divisor) * divisor + 2 * halo
    core_start = 0
    while core_start < length:
        start = min(max(core_start - halo, 0), length - size)
        stop = start + size
        core_stop = length if stop == length else stop - halo
        yield Span(start, stop, core_start, core_stop)
        core_start = core_stop


def tiles(
    shape: tuple[int, int], tile: int, halo: int, divisor: int = 1
) -> Iterator[tuple[Span, Span]]:
    """Cover a field (y, x) by tiles, row by row; see :func:`spans`."""
    for rows in spans(shape[0], tile, halo, divisor):
        for columns in spans(shape[1], tile, halo, divisor):
            yield rows, columns
