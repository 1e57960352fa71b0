"""Movies as an even sensor would have recorded them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.calibration.camera_maps import CameraMaps
from deepstorm.errors import InputError
from deepstorm.io.movies.movie import Movie, MovieBase


class EvenedMovie(MovieBase):
    """Another movie, as an even sensor would have recorded it; closes it with itself.

    Parameters
    ----------
    movie : Movie
        The whole field of the sensor that the maps are of.
    maps : CameraMaps

    Raises
    ------
    InputError
        If movie and maps differ in size.
    """

    def __init__(self, movie: Movie, maps: CameraMaps) -> None:
        if maps.shape not in (None, movie.shape[1:]):
            (height, width), (map_height, map_width) = movie.shape[1:], maps.shape or (0, 0)
            raise InputError(
                f"the camera maps have {map_width} × {map_height} pixels, '{movie.name}' has "
                f"{width} × {height} (width × height); give maps of the part of the sensor that "
                "was read out"
            )
        self._movie = movie
        self._maps = maps

    @property
    def name(self) -> str:
        """Name of the movie."""
        return self._movie.name

    @property
    def shape(self) -> tuple[int, int, int]:
        """Length of the axes (frame, y, x)."""
        return self._movie.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(np.float32)

    @property
    def pixel_size_nm(self) -> float | None:
        """Size of a camera pixel where the source gives one."""
        return self._movie.pixel_size_nm

    @property
    def pixel_size_doubt(self) -> str:
        """Why the size that the source states is not believed."""
        return self._movie.pixel_size_doubt

    @property
    def notes(self) -> tuple[str, ...]:
        """What may be wrong with the movie."""
        return self._movie.notes

    def read(self, start: int, stop: int) -> Float32Array:
        """Return frames ``start`` to ``stop``, shape (n, y, x)."""
        return self._maps.even(self._movie.read(start, stop))

    def refresh(self) -> int:
        """Look whether the movie has more frames by now; return how many there are."""
        return self._movie.refresh()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the type, the movie and its maps."""
        return type(self), (self._movie, self._maps)

    def reopen(self) -> Movie:
        """Return the same movie opened anew."""
        return type(self)(self._movie.reopen(), self._maps)

    def close(self) -> None:
        """Close the movie."""
        self._movie.close()
