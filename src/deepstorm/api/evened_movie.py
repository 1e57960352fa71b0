"""Movies as an even sensor would have recorded them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.calibration.camera_maps import CameraMaps
from deepstorm.errors import InputError
from deepstorm.io.movies.movie import Movie, WrappedMovie


class EvenedMovie(WrappedMovie):
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
        super().__init__(movie)
        self._maps = maps

    @property
    def shape(self) -> tuple[int, int, int]:
        """Length of the axes (frame, y, x)."""
        return self._movie.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return np.dtype(np.float32)

    def read(self, start: int, stop: int) -> Float32Array:
        """Return frames ``start`` to ``stop``, shape (n, y, x)."""
        return self._maps.even(self._movie.read(start, stop))

    def refresh(self) -> int:
        """Look whether the movie has more frames by now; return how many there are."""
        return self._movie.refresh()

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the type, the movie and its maps."""
        return type(self), (self._movie, self._maps)
