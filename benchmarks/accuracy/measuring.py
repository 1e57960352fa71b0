"""What the parts share: how a run is set, and movies simulated, reconstructed and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import deepstorm
from deepstorm.evaluation.precision import localization_bound_nm
from deepstorm.simulation.scenes import Scene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations, Reconstruction

PIXEL_NM = 100.0
SIDE_PX = 64
FIELD_UM2 = (SIDE_PX * PIXEL_NM / 1000) ** 2


@dataclass(frozen=True)
class Run:
    """What was asked for.

    Parameters
    ----------
    networks : tuple of str
        Names of embedded networks, or network files.
    quick : bool
        A few seconds for each part: to see that it works, not to quote.
    pictures : Path, optional
        Folder for pictures; none are drawn where it is absent.
    """

    networks: tuple[str, ...]
    quick: bool
    pictures: Path | None = None

    def frames(self, emitters: int, density_per_um2: float, least: int = 20) -> int:
        """Return how many frames of 64 × 64 pixels hold so many emitters, a tenth if quick."""
        wanted = emitters / 10 if self.quick else emitters
        needed = math.ceil(wanted / (density_per_um2 * FIELD_UM2))
        return max(needed, least // 4 if self.quick else least)


def short_name(network: str) -> str:
    """Return a network's name for a table."""
    return Path(network).stem if network.endswith(".safetensors") else network


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


def reconstructed(
    movie: deepstorm.Simulation, network: str, *, localizations: bool = True
) -> Reconstruction:
    """Reconstruct a simulated movie, told nothing but its pixel size."""
    if movie.frames is None:
        raise ValueError("the movie was written to a file; simulate it in memory")
    return deepstorm.reconstruct(
        movie.frames, pixel_size_nm=PIXEL_NM, network=network, localizations=localizations
    )


def found_by(result: Reconstruction) -> Localizations:
    """Return the localizations of a reconstruction that was asked for them."""
    return result.localizations or Localizations.concatenate([])


def bounds_nm(emitters: Localizations, sigma_nm: float) -> np.typing.NDArray[np.float64]:
    """Return the Cramér-Rao bound per axis of each emitter as if alone, Poisson noise."""
    columns = emitters.columns()
    return np.asarray(
        localization_bound_nm(columns["photons"], columns["background_photons"], sigma_nm, PIXEL_NM)
    )


def at_the_bound(emitters: Localizations, sigma_nm: float, seed: int) -> Localizations:
    """Return the truth, moved as much as the best estimate of emitters that are alone is off."""
    rng = np.random.default_rng(seed)
    bound = bounds_nm(emitters, sigma_nm)
    return replace(
        emitters,
        x_nm=emitters.x_nm + rng.normal(0, bound),
        y_nm=emitters.y_nm + rng.normal(0, bound),
    )
