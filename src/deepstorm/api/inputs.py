"""The one way in: a movie is opened, a part of it selected, and the size of its pixels known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deepstorm.api.evened_movie import EvenedMovie
from deepstorm.arrays import AnyArray, PathLike
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import CutOffError, InputError
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import Region, SelectedMovie

MovieSource = PathLike | AnyArray | Movie

# No microscope for single molecules has camera pixels outside of this, in the sample.
CREDIBLE_PIXEL_NM = (1.0, 10_000.0)


@contextlib.contextmanager
def selected_movie(
    source: MovieSource,
    *,
    frames: slice | None = None,
    region: Region | None = None,
    known: KnownValues | None = None,
) -> Iterator[SelectedMovie]:
    """Open a movie and select a part of it; close it at the end.

    Parameters
    ----------
    source : path-like, ndarray of shape (frame, y, x), or Movie
    frames : slice, optional
        Frames to use, from 0. A movie that was cut off can be used up to its last whole frame, if
        this ends no later.
    region : Region, optional
        Camera pixels to use.
    known : KnownValues, optional
        Its camera maps, of the whole field, are applied.

    Raises
    ------
    InputError
        If the movie cannot be used, or has no such part, or the maps are of another field.
    """
    maps = None if known is None else known.maps
    with _opened(source, frames) as whole:
        even = whole if maps is None else EvenedMovie(whole, maps)
        with SelectedMovie(even, frames, region) as selected:
            yield selected


def _opened(source: MovieSource, frames: slice | None) -> Movie:
    """Open a movie; one that was cut off only where no more than its whole frames are wanted."""
    try:
        return open_movie(source)
    except CutOffError as error:
        stop = None if frames is None else frames.stop
        if stop is None or not 0 < stop <= error.whole_frames:
            raise
        return open_movie(source, growing=True)


@contextlib.contextmanager
def opened_movie(
    source: MovieSource,
    *,
    frames: slice | None = None,
    region: Region | None = None,
    pixel_size_nm: float | None = None,
    known: KnownValues | None = None,
) -> Iterator[tuple[SelectedMovie, float]]:
    """Open a movie for work that needs the size of its pixels, and yield both.

    Parameters
    ----------
    source, frames, region
        See :func:`selected_movie`.
    pixel_size_nm, known
        See :func:`pixel_size_of`.

    Raises
    ------
    InputError
        As :func:`selected_movie`, and if the size of a pixel is unknown or not credible.
    """
    with selected_movie(source, frames=frames, region=region, known=known) as movie:
        pixel_nm = pixel_size_of(movie, pixel_size_nm, known)
        if pixel_nm is None:
            says = f"'{movie.name}' does not say how large its pixels are"
            if movie.pixel_size_doubt:
                says = (
                    f"what '{movie.name}' says of the size of its pixels is not believed: "
                    f"{movie.pixel_size_doubt}"
                )
            raise InputError(
                f"{says}; give the size of a camera pixel in the sample, for instance "
                "`pixel_size_nm=100` (in nm)"
            )
        yield movie, pixel_nm


def pixel_size_of(
    movie: Movie, given_nm: float | None, known: KnownValues | None = None
) -> float | None:
    """Return the size of a camera pixel, or nothing where nobody says.

    Parameters
    ----------
    movie : Movie
        Its file decides where neither of the others does.
    given_nm : float, optional
        What the user says; it comes first.
    known : KnownValues, optional
        What an earlier calibration says.

    Raises
    ------
    InputError
        If the size that was given or known is not credible.
    """
    if given_nm is None and known is not None:
        given_nm = known.pixel_size_nm
    if given_nm is None:
        return movie.pixel_size_nm
    low, high = CREDIBLE_PIXEL_NM
    if not low <= given_nm <= high:
        raise InputError(
            f"`pixel_size_nm={given_nm:g}` is not credible for a camera pixel; expected {low:g} to "
            f"{high:g} nm in the sample, which is the sensor's pixel over the magnification"
        )
    return given_nm
