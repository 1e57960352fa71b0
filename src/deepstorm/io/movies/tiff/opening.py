"""Which reader a TIFF file needs."""

from __future__ import annotations

from pathlib import Path

from deepstorm.errors import InputError
from deepstorm.io.checking import head_of
from deepstorm.io.movies.movie import Movie
from deepstorm.io.movies.tiff.metadata import SeveralFilesError
from deepstorm.io.movies.tiff.stack import TiffMovie

_SIGNATURES = (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b")


class TiffFormat:
    """TIFF and BigTIFF: plain, ImageJ, OME in one or several files, Micro-Manager, MetaMorph."""

    name = "TIFF"
    suffixes = (".tif", ".tiff", ".tf8", ".btf", ".stk")

    @staticmethod
    def matches(head: bytes, path: Path) -> bool:
        """Whether a file begins as TIFF does."""
        return head.startswith(_SIGNATURES)

    @staticmethod
    def open(path: Path, *, growing: bool) -> Movie:
        """Open a file as one movie, or with those that make a movie with it."""
        try:
            return TiffMovie(path, growing=growing)
        except SeveralFilesError as several:
            from deepstorm.io.movies.tiff.series import OmeSeries

            file = several.described_in
            if Path(file).name != file or not path.with_name(file).is_file():
                raise
            if not TiffFormat.matches(head_of(path.with_name(file)), path):
                raise InputError(
                    f"'{path.name}' belongs to a movie that '{file}' describes, which is no TIFF "
                    "file; open that one in Fiji and save the movie as TIFF"
                ) from None
            return OmeSeries(path.with_name(file), opened=path.name, growing=growing)
