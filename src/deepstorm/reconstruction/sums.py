"""What networks say of tiles, and sums of it over the frames of a movie."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np

from deepstorm.arrays import BoolArray, Float32Array, Float64Array
from deepstorm.models.sums import sums_over_frames
from deepstorm.reconstruction.emitters.peaks import find_peaks
from deepstorm.reconstruction.tiling import Span
from deepstorm.reconstruction.windows import Windows
from deepstorm.structures import Localizations


@dataclass(slots=True)
class MovieSums:
    """Sums over the frames of a movie, each of shape (y, x) in super-resolution pixels.

    Parameters
    ----------
    posterior : ndarray of float64
        Expected emitters.
    gathered : ndarray of float64
        What the frames add to the image.
    squared : ndarray of float64
        Squares of the expected emitters: large where single frames are certain.
    """

    posterior: Float64Array
    gathered: Float64Array
    squared: Float64Array

    @property
    def emitters(self) -> float:
        """Total of the gathered sum."""
        return float(self.gathered.sum())

    @property
    def shape(self) -> tuple[int, int]:
        """Super-resolution pixels (y, x)."""
        height, width = self.gathered.shape
        return height, width

    @classmethod
    def zeros(cls, height: int, width: int) -> MovieSums:
        """Return the sums over no frames."""
        posterior, gathered, squared = np.zeros((3, height, width))
        return cls(posterior, gathered, squared)

    def add(self, tile: TilePrediction) -> None:
        """Add the core of some frames' tile."""
        core, here = tile.core_slices, tile.field_slices
        posterior, gathered, squared = sums_over_frames(tile.expected[core], tile.image[core])
        self.posterior[here] += posterior
        self.gathered[here] += gathered
        self.squared[here] += squared

    def include(self, other: MovieSums) -> None:
        """Add the sums over other frames of the same field."""
        self.posterior += other.posterior
        self.gathered += other.gathered
        self.squared += other.squared

    def arrays(self) -> dict[str, Float64Array]:
        """Return the sums by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def copy(self) -> MovieSums:
        """Return sums that do not change with these."""
        return MovieSums(**{name: part.copy() for name, part in self.arrays().items()})

    def stacked(self) -> Float32Array:
        """Return the sums in the order that a refiner takes, shape (3, y, x)."""
        return np.stack([self.posterior, self.gathered, self.squared]).astype(np.float32)


@dataclass(slots=True)
class SlidingSums:
    """Sums over the window that is being filled.

    Predictions come in the order of frames, no block of them from more than one segment.

    Parameters
    ----------
    windows : Windows
    shape : (int, int)
        Super-resolution pixels (y, x).
    segments : dict of int to MovieSums
        Sums over the segments of frames that the window is made of, by their number.
    """

    windows: Windows
    shape: tuple[int, int]
    segments: dict[int, MovieSums] = field(default_factory=dict)

    def add(self, tile: TilePrediction) -> None:
        """Add the core of some frames' tile."""
        number = tile.first_frame // self.windows.part_frames
        if number not in self.segments:
            self.segments.pop(number - self.windows.parts, None)
            self.segments[number] = MovieSums.zeros(*self.shape)
        self.segments[number].add(tile)

    def ends_at(self, frames: int) -> bool:
        """Return whether a window ends after so many frames."""
        start = frames - self.windows.frames
        return start >= 0 and start % self.windows.step == 0

    def whole(self) -> MovieSums:
        """Return the sums over the frames of the last window."""
        window = MovieSums.zeros(*self.shape)
        for segment in self.segments.values():
            window.include(segment)
        return window


@dataclass(frozen=True, slots=True)
class TilePrediction:
    """What a network says of one tile.

    Parameters
    ----------
    expected : ndarray of float32, shape (frame, y, x)
        Expected emitters per super-resolution pixel, with halo.
    image : ndarray of float32, shape (frame, y, x)
        What the frames add to the image, with halo.
    rows, columns : Span
        Where the tile lies, in camera pixels.
    upsampling : int
    first_frame : int
        Index of the first frame.
    maxima : ndarray of bool, shape (frame, y, x), optional
        Where there may be localizations, if that is known already.
    """

    expected: Float32Array
    image: Float32Array
    rows: Span
    columns: Span
    upsampling: int
    first_frame: int
    maxima: BoolArray | None = None

    @property
    def field_slices(self) -> tuple[slice, slice]:
        """Where the core lies in the super-resolution image of the field."""
        return self.rows.core(self.upsampling), self.columns.core(self.upsampling)

    @property
    def core_slices(self) -> tuple[slice, slice, slice]:
        """Where the core lies in the tile's arrays."""
        rows, columns = (span.core_within(self.upsampling) for span in (self.rows, self.columns))
        return slice(None), rows, columns

    def only(self, frames: BoolArray, pixels: BoolArray | None) -> TilePrediction:
        """Return the prediction without emitters in frames and pixels that say nothing.

        Parameters
        ----------
        frames : ndarray of bool, shape (frame,)
            Which ones say something.
        pixels : ndarray of bool, shape (y, x), optional
            Which camera pixels of the tile say something; all by default.
        """
        if frames.all() and (pixels is None or pixels.all()):
            return self
        says = frames[:, None, None]
        if pixels is not None:
            says = says & pixels.repeat(self.upsampling, 0).repeat(self.upsampling, 1)
        return replace(
            self,
            expected=self.expected * says,
            image=self.image * says,
            maxima=None if self.maxima is None else self.maxima & says,
        )

    def localizations(self, pixel_size_nm: float, every: int = 1) -> Localizations:
        """Find the peaks whose centroid lies in the core, in coordinates of the field.

        Parameters
        ----------
        pixel_size_nm : float
            Size of a camera pixel.
        every : int
            Only in frames whose number is a multiple of this.
        """
        fine_nm = pixel_size_nm / self.upsampling
        first = -self.first_frame % every
        maxima = None if self.maxima is None else self.maxima[first::every]
        found = find_peaks(self.expected[first::every], fine_nm, maxima=maxima)
        number = self.first_frame + first + every * found.frame
        return placed(replace(found, frame=number), self.rows, self.columns, pixel_size_nm)


def placed(found: Localizations, rows: Span, columns: Span, pixel_size_nm: float) -> Localizations:
    """Move localizations of a tile to where it lies in the field; leave out those of its halo."""
    moved = found.shifted(columns.start * pixel_size_nm, rows.start * pixel_size_nm)
    y, x = moved.y_nm / pixel_size_nm, moved.x_nm / pixel_size_nm
    return moved.select(
        (y >= rows.core_start)
        & (y < rows.core_stop)
        & (x >= columns.core_start)
        & (x < columns.core_stop)
    )
