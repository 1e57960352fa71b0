"""Frames from files, lazily: one interface for every source, never the whole file in memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deepstorm.arrays import AnyArray, PathLike
from deepstorm.errors import CutOffError, InputError
from deepstorm.io.checking import existing_file, head_of
from deepstorm.io.movies.movie import ArrayMovie, Movie
from deepstorm.io.movies.selection import SelectedMovie

FORMATS = (
    "deepstorm.io.movies.tiff.ndtiff:NDTiffFormat",
    "deepstorm.io.movies.tiff.opening:TiffFormat",
    "deepstorm.io.movies.npy:NpyFormat",
)
"""Where each format of movies is, particular ones before general ones.

They are imported one after the other until one matches, so that nobody waits for a reader that is
not needed.
"""


_IMAGES = (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg")


class MovieFormat(Protocol):
    """A format of movies. Its module imports a vendor's reader inside the function using it."""

    name: str
    """What the format is called in messages."""

    suffixes: tuple[str, ...]
    """How its files are usually named, for messages alone."""

    @staticmethod
    def matches(head: bytes, path: Path) -> bool:
        """Whether a file is of this format.

        Parameters
        ----------
        head : bytes
            How the file begins, 64 bytes at most; empty for a folder.
        path : Path
            To be looked at only where the format has nothing at its beginning to be told by.
        """

    @staticmethod
    def open(path: Path, *, growing: bool) -> Movie:
        """Open a movie of this format; ``growing`` as in :func:`open_movie`.

        Raises
        ------
        InputError
            If the file is damaged or holds no movie.
        """


class _LentMovie(SelectedMovie):
    """The whole of a movie that somebody else opened and will close."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _itself, (self._movie,)

    def reopen(self) -> Movie:
        """Return the movie opened anew, which is then the caller's to close."""
        return self._movie.reopen()

    def close(self) -> None:
        """Leave the movie open."""


def _itself(movie: Movie) -> Movie:
    return movie


def open_movie(source: PathLike | AnyArray | Movie, *, growing: bool = False) -> Movie:
    """Open a movie from whatever holds one.

    Parameters
    ----------
    source : path-like, ndarray or Movie
        A file in one of the formats; an array of shape (frame, y, x) or (y, x); or a movie that is
        already open, which then stays open when the returned one is closed.
    growing : bool
        Whether a file is still being written: what is whole of it is the movie so far, and
        :meth:`Movie.refresh` finds what comes. A file that is not is refused if it is cut off.

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
        return _open_file(Path(source), growing=growing)
    raise InputError(
        f"a movie cannot be read from {type(source).__name__}; give a file name or an array"
    )


def _open_file(path: Path, *, growing: bool) -> Movie:
    head = b"" if path.is_dir() else head_of(existing_file(path))
    for form in map(_format, FORMATS):
        if form.matches(head, path):
            try:
                return form.open(path, growing=growing)
            except CutOffError as error:
                if growing:
                    raise
                raise _with_remedy(error, form, path) from None
    raise InputError(_why_not(path, head))


def _with_remedy(error: CutOffError, form: type[MovieFormat], path: Path) -> CutOffError:
    """Say how many frames of a movie that was cut off are whole, and how to use them."""
    try:
        with form.open(path, growing=True) as movie:
            whole = movie.shape[0]
    except InputError:
        return error
    return CutOffError(
        f"{error}, or use its first {whole} frames, which are whole: `frames=slice(0, {whole})`",
        whole,
    )


def _format(reference: str) -> type[MovieFormat]:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def _why_not(path: Path, head: bytes) -> str:
    """Say what came instead of a movie, and what is read."""
    if path.is_dir():
        return _why_no_folder(path)
    file = existing_file(path)
    forms = [_format(reference) for reference in FORMATS]
    named = [form.name for form in forms if file.suffix.lower() in form.suffixes]
    read = "; ".join(f"{form.name} ({', '.join(form.suffixes)})" for form in forms)
    is_not = f"a {named[-1]} file, whatever its name says" if named else "a movie that is read here"
    return (
        f"'{file.name}' is not {is_not}: it begins with {_beginning(head)}. Movies are read from "
        f"{read}; save others as TIFF, for instance with Fiji"
    )


def _why_no_folder(folder: Path) -> str:
    """Say what a folder holds instead of a movie."""
    suffixes = Counter(file.suffix.lower() for file in folder.iterdir() if file.is_file())
    images = {suffix: count for suffix, count in suffixes.items() if suffix in _IMAGES}
    if sum(images.values()) > 1:
        suffix, count = max(images.items(), key=lambda item: item[1])
        return (
            f"'{folder}' is a folder with {count} files {suffix}, and a movie is one file: if each "
            "of them is a frame, join them into one, for instance with Fiji (File › Import › Image "
            "Sequence, then save as TIFF); if each is a movie, give one of them"
        )
    return f"'{folder}' is a folder without an index of NDTiff; give the name of a file"


def _beginning(head: bytes) -> str:
    """Return the first characters of a text, or the first bytes of anything else."""
    text = head[:24].split(b"\n")[0].decode("ascii", errors="replace").strip()
    return f"'{text}'" if text.isprintable() and text.isascii() and text else head[:8].hex(" ")
