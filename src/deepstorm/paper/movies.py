"""The movies of the reproduction: published ones where they are at hand, else simulated ones."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepstorm.api.simulate import simulate
from deepstorm.arrays import Float32Array
from deepstorm.errors import InputError
from deepstorm.io.images import read_image
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.paper.context import Context
from deepstorm.paper.drawing import Box
from deepstorm.simulation.scenes import FilamentScene, Scene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations

PIXEL_NM = 100.0
FIELD_UM2 = 40.96
MICROTUBULES = FilamentScene(filaments=8, waviness_nm=20.0, wavelength_nm=900.0)
FIG4, FIG6 = "fig4-microtubules", "real-dense-microtubules"
FIG4_SOURCES = tuple(
    f"{FIG4}/{name}" for name in ("movie.tif", "truth.csv", "paper_reconstruction.mat")
)
FIG6_SOURCES = (f"{FIG6}/movie.tif",)


@dataclass(frozen=True)
class Specimen:
    """A movie with what is known of it.

    Parameters
    ----------
    origin : str
        A sentence on where it comes from.
    frames : ndarray of uint16, shape (frame, y, x)
    truth : Localizations, optional
    published : ndarray of float32, shape (y, x), optional
        The image that the paper's authors published.
    regions : tuple of (x0, y0, x1, y1)
        In nm; those that are magnified.
    line_nm : ((x, y), (x, y))
        Ends of a profile across a filament.
    is_published : bool
        Whether it is the published movie rather than a simulated one in its place.
    """

    origin: str
    frames: npt.NDArray[np.uint16]
    truth: Localizations | None
    published: Float32Array | None
    regions: tuple[Box, ...]
    line_nm: tuple[tuple[float, float], tuple[float, float]]
    is_published: bool

    @property
    def fine_shape(self) -> tuple[int, int]:
        """Size of an image on the 12.5 nm grid."""
        return 8 * self.frames.shape[1], 8 * self.frames.shape[2]


def data_folder(given: Path | None) -> Path | None:
    """Return the folder of published movies: the one given, or else that of DEEPSTORM_DATA.

    Raises
    ------
    InputError
        If it is not a folder.
    """
    named = os.environ.get("DEEPSTORM_DATA")
    folder = given if given is not None else Path(named) if named else None
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"the data folder '{folder}' does not exist; check its name, or leave it out"
        )
    return folder


def like_the_papers_movie(
    scene: Scene, density_per_um2: float, frames: int, photons: float = 1450.0
) -> SimulationSettings:
    """Return a movie with the light and the camera of the paper's Fig. 4.

    EMCCD, sigma 109 nm, 19 background photons, brightness with a relative spread of 0.5.
    """
    return SimulationSettings.model_validate(
        {
            "frames": frames,
            "density_per_um2": density_per_um2,
            "scene": scene,
            "brightness": {"mean_photons": photons, "relative_spread": 0.5},
            "psf": {"sigma_nm": 109.0},
            "background": {"mean_photons": 19.0},
        }
    )


def frames_for(emitters: int, density_per_um2: float, least: int) -> int:
    """Return how many frames of 64 × 64 pixels hold so many emitters."""
    return max(math.ceil(emitters / (density_per_um2 * FIELD_UM2)), least)


def simulated(
    settings: SimulationSettings, seed: int
) -> tuple[npt.NDArray[np.uint16], Localizations]:
    """Simulate a movie in memory."""
    movie = simulate(settings, seed=seed)
    if movie.frames is None:
        raise ValueError("the movie was written to a file; simulate it in memory")
    return movie.frames, movie.truth


def read_frames(path: Path) -> npt.NDArray[np.uint16]:
    """Read a whole movie."""
    with open_movie(path) as movie:
        return np.asarray(movie.read(0, movie.shape[0]), np.uint16)


def simulated_microtubules(context: Context, frames: int) -> Specimen:
    """Return the movie of the paper's Fig. 4, or one like it."""
    path, truth_path = context.file(FIG4, "movie.tif"), context.file(FIG4, "truth.csv")
    if path is None or truth_path is None:
        settings = like_the_papers_movie(MICROTUBULES, 5.5, frames)
        counts, truth = simulated(settings, seed=3)
        origin = (
            f"A simulated movie of {frames} frames under the conditions of the paper's, which "
            "was not found: the microtubules differ, so figures cannot be compared digit by "
            "digit."
        )
        return Specimen(origin, counts, truth, None, FIG4_LIKE_REGIONS, FIG4_LIKE_LINE_NM, False)
    image = context.file(FIG4, "paper_reconstruction.mat")
    return Specimen(
        "The movie of the paper's Fig. 4: bundled tubes, high density, of the 2013 challenge.",
        read_frames(path),
        read_localizations(truth_path, pixel_size_nm=PIXEL_NM),
        np.asarray(read_image(image)[0], np.float32) if image is not None else None,
        FIG4_REGIONS,
        FIG4_LINE_NM,
        is_published=True,
    )


def real_microtubules(context: Context, frames: int) -> Specimen:
    """Return a real dense movie, or a simulated one in the conditions of the paper's Fig. 6."""
    path = context.file(FIG6, "movie.tif")
    if path is None:
        counts, _ = simulated(like_the_papers_movie(MICROTUBULES, 6.35, frames), seed=6)
        origin = f"No real movie was found; {frames} frames were simulated at 6.35 emitters/µm²."
        return Specimen(origin, counts, None, None, FIG6_LIKE_REGIONS, FIG6_LIKE_LINE_NM, False)
    origin = (
        "A crop of the real dense microtubule movie of the challenge, 30 × 30 camera pixels of "
        "about 100 nm; the paper's field is larger."
    )
    return Specimen(origin, read_frames(path), None, None, FIG6_REGIONS, FIG6_LINE_NM, True)


# Chosen by eye: crossings and neighbouring tubes; a filament that is alone.
FIG4_REGIONS: tuple[Box, ...] = ((1500, 4500, 2700, 5700), (4000, 2400, 5200, 3600))
FIG4_LINE_NM = ((2900.0, 3250.0), (3200.0, 3700.0))
FIG6_REGIONS: tuple[Box, ...] = ((600, 0, 1300, 700), (1800, 1700, 2600, 2500))
FIG6_LINE_NM = ((430.0, 1850.0), (370.0, 2270.0))
FIG4_LIKE_REGIONS: tuple[Box, ...] = ((1200, 300, 2400, 1500), (1400, 3200, 2600, 4400))
FIG4_LIKE_LINE_NM = ((3000.0, 3850.0), (3000.0, 4300.0))
FIG6_LIKE_REGIONS: tuple[Box, ...] = ((4600, 4000, 5800, 5200), (1600, 600, 2800, 1800))
FIG6_LIKE_LINE_NM = ((1750.0, 1800.0), (2250.0, 1800.0))
