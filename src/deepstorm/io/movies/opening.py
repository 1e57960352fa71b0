"""Frames from files, lazily: one interface for every source, never the whole file in memory."""

from __future__ import annotations

import os

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import InputError
from deepstorm.io.closing import ClosesItself
from deepstorm.io.movies.movie import ArrayMovie, Movie
from deepstorm.io.movies.tiff.stack import TiffMovie


class _LentMovie(ClosesItself):
    """A movie that somebody else opened and will close."""

    def __init__(self, movie: Movie) -> None:
        self._movie = movie
        self.name = movie.name
        self.shape = movie.shape
        self.dtype = movie.dtype
        self.pixel_size_nm = movie.pixel_size_nm

    def read(self, start: int, stop: int) -> AnyArray:
        return self._movie.read(start, stop)


def open_movie(source: PathLike | AnyArray | Movie) -> Movie:
    """Open a movie from whatever holds one.

    Parameters
    ----------
    source : path-like, ndarray or Movie
        A TIFF file; an array of shape (frame, y, x) or (y, x); or a movie that is already open,
        which then stays open when the returned one is closed.

    Returns
    -------
    Movie
        To be used as a context manager.

    Raises
    ------
    InputError
        If there is no movie in it; the message says what is wrong.
    """
    if isinstance(source, np.ndarray):
        return ArrayMovie(source)
    if isinstance(source, Movie):
        return _LentMovie(source)
    if isinstance(source, (str, os.PathLike)):
        return TiffMovie(source)
    raise InputError(
        f"a movie cannot be read from {type(source).__name__}; give a file name or an array"
    )
