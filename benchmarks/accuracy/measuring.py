"""What the parts share: how a run is set, and movies simulated, reconstructed and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import deepstorm
from deepstorm.localization import bounds
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


def reconstructed(
    movie: deepstorm.Simulation, network: str, *, localizations: bool = True
) -> Reconstruction:
    """Reconstruct a simulated movie, told nothing but its pixel size."""
    return deepstorm.reconstruct(
        frames_of(movie), pixel_size_nm=PIXEL_NM, network=network, localizations=localizations
    )


def frames_of(movie: deepstorm.Simulation) -> npt.NDArray[np.uint16]:
    """Return the frames of a movie that was simulated in memory."""
    if movie.frames is None:
        raise ValueError("the movie was written to a file; simulate it in memory")
    return movie.frames


def found_by(result: Reconstruction) -> Localizations:
    """Return the localizations of a reconstruction that was asked for them."""
    return result.localizations or Localizations.concatenate([])


def bounds_nm(emitters: Localizations, sigma_nm: float) -> np.typing.NDArray[np.float64]:
    """Return the Cramér-Rao bound per axis of each emitter as if alone, Poisson noise."""
    columns = emitters.columns()
    return np.asarray(
        bounds.cramer_rao_nm(columns["photons"], columns["background_photons"], sigma_nm, PIXEL_NM)
    )


def at_the_bound(emitters: Localizations, sigma_nm: float, seed: int) -> Localizations:
    """Return the truth, moved as much as the best estimate of emitters that are alone is off."""
    return bounds.at_the_bound(emitters, sigma_nm, PIXEL_NM, np.random.default_rng(seed))
