"""The movies of all benchmarks: published ones, and simulated ones of known conditions."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepstorm.errors import InputError
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.paper.movies import FIG4, like_the_papers_movie, read_frames
from deepstorm.simulation.simulator import SimulatedMovie, SimulationSettings, simulate_movie
from deepstorm.structures import Localizations

PIXEL_NM, FINE_NM, UPSAMPLING = 100.0, 12.5, 8
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
UNIFORM = {"kind": "uniform"}
Counts = npt.NDArray[np.uint16]


def published(name: str, movie: str = FIG4) -> Path | None:
    """Return a file of a published movie, where it is there."""
    path = Path(os.environ.get("DEEPSTORM_DATA", DATA)) / movie / name
    return path if path.is_file() else None


def published_movie(frames: int | None = None, movie: str = FIG4) -> tuple[Counts, Localizations]:
    """Return the first frames of a published movie, (frame, y, x), and its truth, or refuse to."""
    path, table = (published(name, movie) for name in ("movie.tif", "truth.csv"))
    if path is None:
        raise InputError(f"there is no movie '{movie}'; name its folder's folder, DEEPSTORM_DATA")
    counts, truth = read_frames(path)[:frames], Localizations.concatenate([])
    if table is not None:
        truth = read_localizations(table, pixel_size_nm=PIXEL_NM)
    return counts, truth.select(truth.frame < len(counts))


def conditions(
    scene: Any, density_per_um2: float, frames: int, photons: float = 1450.0, **changes: Any
) -> SimulationSettings:
    """Return a movie with the light and camera of the paper's Fig. 4, but for what is changed."""
    usual = like_the_papers_movie(scene, density_per_um2, frames, photons)
    return SimulationSettings.model_validate(usual.model_dump() | changes)


def exposed(settings: SimulationSettings, seed: int) -> tuple[Counts, SimulatedMovie]:
    """Simulate; return the frames, (frame, y, x), and the movie with its truth."""
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return np.concatenate(list(movie.frames())), movie
