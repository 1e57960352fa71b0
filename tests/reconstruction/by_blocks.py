"""A reconstruction whose localizations are seen block by block."""

from __future__ import annotations

from deepstorm.calibration.sampling import Frames
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.structures import Localizations, Reconstruction


def by_blocks(
    reconstructor: Reconstructor, movie: Frames, pixel_size_nm: float
) -> tuple[Reconstruction, list[Localizations]]:
    """Return the result of a movie, and the localizations of each of its blocks."""
    job = reconstructor.plan(movie, pixel_size_nm, localize=True)
    standing = reconstructor.beginning(job)
    tables: list[Localizations] = []
    for update in reconstructor.updates(job, movie, standing):
        tables += update.partial.take_tables()
    return reconstructor.finish(job, standing.partial), tables
