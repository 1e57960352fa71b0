"""Which part of a movie a result is of, so that it is scored against that part of the truth."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deepstorm.api.outputs import Outputs
from deepstorm.errors import InputError
from deepstorm.io.movies.selection import Region
from deepstorm.structures import Localizations, Reconstruction


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """Frames and region of the movie that a result is of; its frames and places count from them.

    Parameters
    ----------
    frames : tuple of int, optional
        The first, and the one after the last; the latter may be missing.
    region : Region, optional
        In camera pixels.
    pixel_size_nm : float, optional
        Size of a camera pixel; needed for a region.
    source : str
        Who says so.
    """

    frames: tuple[int, int | None] | None = None
    region: Region | None = None
    pixel_size_nm: float | None = None
    source: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole movie."""
        return self.frames is None and self.region is None

    def of_truth(self, truth: Localizations) -> Localizations:
        """Return the true emitters of the part, counted as it counts."""
        return self._in_region(self._in_frames(truth))

    def of_result(self, found: Localizations) -> Localizations:
        """Return a table of the part, also where it counts frames as the whole movie does.

        It does if it has an entry in a frame beyond the length of the part.
        """
        start, stop = self.frames or (0, None)
        if stop is None or not len(found) or int(np.max(found.frame)) < stop - start:
            return found
        return self._in_frames(found)

    def _in_frames(self, table: Localizations) -> Localizations:
        start, stop = self.frames or (0, None)
        inside = table.frame >= start
        if stop is not None:
            inside &= table.frame < stop
        kept = table.select(inside)
        return replace(kept, frame=kept.frame - start)

    def _in_region(self, table: Localizations) -> Localizations:
        if self.region is None:
            return table
        if self.pixel_size_nm is None:
            raise InputError(
                "the region is in camera pixels, whose size is not known; give "
                "`camera_pixel_size_nm=100` (in nm) as well"
            )
        px_nm, region = self.pixel_size_nm, self.region
        moved = table.shifted(-region.x * px_nm, -region.y * px_nm)
        inside = (moved.x_nm >= 0) & (moved.x_nm < region.width * px_nm)
        inside &= (moved.y_nm >= 0) & (moved.y_nm < region.height * px_nm)
        return moved.select(inside)

    def note(self) -> str:
        """Say which part of the truth counts, and who said so."""
        parts = []
        if self.frames is not None:
            start, stop = self.frames
            parts.append(f"frames {start}:{'' if stop is None else stop}")
        if self.region is not None:
            region = self.region
            parts.append(f"the region {region.x},{region.y},{region.width},{region.height}")
        return (
            f"{self.source} the result is of {' and '.join(parts)} of the movie; of the truth, "
            "only this part counts"
        )


def scored_part(
    result: object,
    frames: slice | None,
    region: Region | None,
    camera_pixel_size_nm: float | None,
) -> ScoredPart:
    """Return the part that somebody names, or else the one in the record of a result.

    Parameters
    ----------
    result : object
        A result or its file. Records of reconstructions lie beside their images and tables.
    frames, region
        Named by somebody; they come first.
    camera_pixel_size_nm : float, optional
        Named by somebody; it comes first.

    Raises
    ------
    InputError
        If the named frames cannot be those of a part.
    """
    settings, source = _settings_of(result)
    recorded = _recorded(settings)
    px_nm = camera_pixel_size_nm if camera_pixel_size_nm is not None else recorded.pixel_size_nm
    if frames is None and region is None:
        return replace(recorded, pixel_size_nm=px_nm, source=source)
    return ScoredPart(
        frames=recorded.frames if frames is None else _ends(frames),
        region=recorded.region if region is None else region,
        pixel_size_nm=px_nm,
        source="as requested,",
    )


def _ends(frames: slice) -> tuple[int, int | None]:
    start = 0 if frames.start is None else frames.start
    stop = frames.stop
    if start < 0 or frames.step not in (None, 1) or (stop is not None and stop <= start):
        raise InputError(
            f"the frames {frames.start}:{frames.stop} are no part of a movie to score; give "
            "START:STOP, counted from 0"
        )
    return start, stop


def _settings_of(result: object) -> tuple[Any, str]:
    """Return the settings with which a result was made, if a record has them."""
    record: Any = None
    source = "its record says that"
    if isinstance(result, Reconstruction):
        record = result.record
    elif isinstance(result, str | os.PathLike):
        beside = Outputs.beside(result).record
        source = f"the record '{beside.name}' says that"
        if beside.is_file():
            try:
                record = json.loads(beside.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                record = None
    return record.get("settings") if isinstance(record, dict) else None, source


def _recorded(settings: Any) -> ScoredPart:
    """Read a record's settings; what is not as this package writes it says nothing."""
    if not isinstance(settings, dict):
        return ScoredPart()
    frames, region, px_nm = (settings.get(key) for key in ("frames", "region", "pixel_size_nm"))
    try:
        return ScoredPart(
            frames=None if frames is None else (int(frames[0]), int(frames[1])),
            region=None if region is None else Region(**region),
            pixel_size_nm=None if px_nm is None else float(px_nm),
        )
    except (TypeError, ValueError, IndexError, KeyError):
        return ScoredPart()
