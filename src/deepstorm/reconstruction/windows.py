"""Sliding windows: an image of every few hundred frames, in one pass over the movie."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepstorm.errors import InputError

# The sums of a window are kept in parts, so that the next one need not be added up anew; more parts
# than this would be more memory than what they save is worth.
MOST_PARTS = 64


@dataclass(frozen=True, slots=True)
class Windows:
    """Which frames each image of a time lapse is made of.

    Parameters
    ----------
    frames : int
        Frames in a window.
    step : int
        Frames from the start of a window to the start of the next one.

    Raises
    ------
    InputError
        If one of them is not above 0, or windows would share so many parts that memory suffers.
    """

    frames: int
    step: int

    def __post_init__(self) -> None:
        if self.frames < 1 or self.step < 1:
            raise InputError(
                f"windows of {self.frames} frames every {self.step} frames are not possible; "
                "give whole numbers above 0"
            )
        if self.parts > MOST_PARTS:
            raise InputError(
                f"windows of {self.frames} frames every {self.step} frames would be kept in "
                f"{self.parts} parts, but at most {MOST_PARTS} are possible: choose a step of "
                f"{self._finest_step()} frames, or a multiple of that"
            )

    def _finest_step(self) -> int:
        """Return the smallest step into which a window falls evenly and in few enough parts."""
        least = math.ceil(self.frames / MOST_PARTS)
        return next(step for step in range(least, self.frames + 1) if self.frames % step == 0)

    @property
    def part_frames(self) -> int:
        """Frames in a part: windows begin and end with whole parts."""
        return math.gcd(self.frames, self.step)

    @property
    def parts(self) -> int:
        """Parts in a window."""
        return self.frames // self.part_frames

    def starts(self, total_frames: int) -> range:
        """Return the first frame of each window in a movie.

        Raises
        ------
        InputError
            If the movie is shorter than one window.
        """
        if total_frames < self.frames:
            raise InputError(
                f"the movie has {total_frames} frames, fewer than a window of {self.frames}; "
                "choose a shorter window"
            )
        return range(0, total_frames - self.frames + 1, self.step)
