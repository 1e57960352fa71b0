"""Crops of summed movies, with a margin around what counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.training.examples.spots import orientation
from deepstorm.training.examples.summed_movies import KeptMovie

# A movie is drawn in proportion to the root of its emitters, up to this many.
MOST_EMITTERS = 30_000
# Crops with fewer emitters say little; this part of them is kept.
FEW_EMITTERS = 200
FEW_KEPT = 0.1
# Which stream of random numbers crops come from; those of the movies are others.
CROPS = 2


@dataclass(frozen=True, slots=True)
class CropBatch:
    """Crops of movies' sums.

    Parameters
    ----------
    sums : ndarray of float32, shape (batch, 3, y, x)
    truth : ndarray of float32, shape (batch, 1, y, x)
        Emitters per super-resolution pixel.
    counted : ndarray of float32, shape (batch, 1, y, x)
        1 where the crop holds all that matters to the image, 0 in the margin.
    """

    sums: Float32Array
    truth: Float32Array
    counted: Float32Array


@dataclass(frozen=True, slots=True)
class CropSpan:
    """A crop along one axis.

    Parameters
    ----------
    start, stop : int
        Pixels that are seen.
    first, last : int
        Pixels that count, from ``first`` to before ``last``.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def seen(self) -> slice:
        """What is seen, in the image."""
        return slice(self.start, self.stop)

    @property
    def counted(self) -> slice:
        """What counts, within what is seen."""
        return slice(self.first - self.start, self.last - self.start)


def draw_span(length: int, crop: int, margin: int, step: int, rng: np.random.Generator) -> CropSpan:
    """Draw a crop along an axis; where it ends at the image's border, it counts up to there.

    Parameters
    ----------
    length : int
        Pixels of the image along the axis.
    crop, margin : int
        Pixels that are seen, and those on each side that do not count.
    step : int
        Crops begin at multiples of it, as the tiles of an image do; it divides all of the above.
    rng : numpy.random.Generator
    """
    crop = min(crop, length)
    # It begins in thought up to a margin before the border, which else would hardly ever count.
    thought = step * int(rng.integers(-(margin // step), (length - crop + margin) // step + 1))
    start = min(max(thought, 0), length - crop)
    stop = start + crop
    first = start + margin if start > 0 else 0
    last = stop - margin if stop < length else length
    return CropSpan(start, stop, first, last)


class Crops:
    """Random crops of movies: long ones and full ones more often, in all orientations.

    Parameters
    ----------
    movies : sequence of KeptMovie
        All of one size, square.
    seed : int
        With the step's number, it decides a batch.
    crop_px, margin_px, batch_size : int
    step_px : int
        Crops begin at multiples of it.
    """

    def __init__(
        self,
        movies: Sequence[KeptMovie],
        seed: int,
        *,
        crop_px: int,
        margin_px: int,
        batch_size: int,
        step_px: int,
    ) -> None:
        self._movies = movies
        self._seed = seed
        self._sizes = crop_px, margin_px, step_px
        self._batch_size = batch_size
        longest = np.array([movie.emitters[-1] for movie in movies])
        roots = np.sqrt(np.minimum(longest, MOST_EMITTERS))
        self._movie_shares = roots / roots.sum()
        ranks = np.arange(1.0, len(movies[0].emitters) + 1)
        self._length_shares = ranks / ranks.sum()

    def batch(self, step: int) -> CropBatch:
        """Return the crops of one step."""
        rng = np.random.default_rng([self._seed, CROPS, step])
        crops = np.stack([self._crop(rng) for _ in range(self._batch_size)])
        return CropBatch(crops[:, :3], crops[:, 3:4], crops[:, 4:])

    def _crop(self, rng: np.random.Generator) -> Float32Array:
        """Draw three sums, truth and what counts, shape (5, y, x)."""
        while True:
            movie = self._movies[int(rng.choice(len(self._movies), p=self._movie_shares))]
            length = int(rng.choice(len(self._length_shares), p=self._length_shares))
            rows, columns = (draw_span(side, *self._sizes, rng) for side in movie.shape)
            read = movie.read(length, rows.seen, columns.seen)
            counted = np.zeros_like(read[:1])
            counted[0, rows.counted, columns.counted] = 1
            if (read[3] * counted[0]).sum() >= FEW_EMITTERS or rng.random() < FEW_KEPT:
                return _turned(np.concatenate([read, counted]), rng)


def _turned(planes: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Turn by a random multiple of 90 degrees, and mirror every other time."""
    return orientation(planes, int(rng.integers(4)) + (4 if rng.random() < 0.5 else 0))
