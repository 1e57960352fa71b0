"""What the parts share: how a run is set, and the movies it is measured on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import deepstorm
from deepstorm.simulation.simulator import SimulationSettings

PIXEL_NM = 100.0
# Of the movie of the paper's Fig. 4, by its Table 1.
DENSITY_PER_UM2 = 5.48
# Frames that are measured again and again; what they show hardly matters to the speed.
DISTINCT_FRAMES = 16
NAME = "fig4-microtubules"


@dataclass(frozen=True)
class Run:
    """What was asked for.

    Parameters
    ----------
    quick : bool
        About a minute for all: to see that it works, not to quote.
    budget_s : float
        Seconds for each number of frames of each row.
    network : str
        Name of an embedded network, or a network file, that stands for this package.
    paper : str
        The same for the paper's network.
    original : bool
        Whether the network of the paper is also run as its authors do.
    cache : Path
        Folder for the environment of TensorFlow.
    temporary : Path
        Folder for what is written and thrown away.
    pictures : Path, optional
        Folder for the figure; it is not drawn where absent.
    """

    quick: bool
    budget_s: float
    network: str
    paper: str
    original: bool
    cache: Path
    temporary: Path
    pictures: Path | None = None

    @property
    def repeats(self) -> int:
        """Times that each rate is measured."""
        return 3 if self.quick else 5

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Sides of the frames."""
        return (64,) if self.quick else (64, 128, 256)


def published_folder() -> Path:
    """Return where the movie of the paper's Fig. 4 is looked for."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("DEEPSTORM_DATA", default)) / NAME


def field_um2(side_px: int) -> float:
    """Return the area of a frame."""
    return (side_px * PIXEL_NM / 1000) ** 2


def settings(frames: int, side_px: int, density_per_um2: float) -> SimulationSettings:
    """Return a movie of filaments as in the paper's Fig. 4."""
    return SimulationSettings.model_validate(
        {
            "frames": frames,
            "height_px": side_px,
            "width_px": side_px,
            "pixel_size_nm": PIXEL_NM,
            "density_per_um2": density_per_um2,
            "psf": {"sigma_nm": 109.0},
        }
    )


@cache
def frames_file(run: Run, side_px: int) -> Path:
    """Return a file of simulated frames, (frame, y, x)."""
    path = run.temporary / f"frames-{side_px}.npy"
    movie = deepstorm.simulate(settings(DISTINCT_FRAMES, side_px, DENSITY_PER_UM2), seed=side_px)
    if movie.frames is None:
        raise ValueError("the movie was written to a file; simulate it in memory")
    np.save(path, movie.frames)
    return path


@cache
def simulated_movie(run: Run, frames: int, side_px: int, density_per_um2: float) -> Path:
    """Return a simulated movie as a TIFF file."""
    path = run.temporary / f"movie-{frames}-{side_px}.tif"
    deepstorm.simulate(settings(frames, side_px, density_per_um2), seed=1, movie=path)
    return path
