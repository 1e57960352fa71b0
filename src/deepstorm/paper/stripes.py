"""The experiment of the paper's Fig. 3: pairs of horizontal lines at decreasing distance."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.evaluation.line_pairs import Dip, dip_between_peaks, pair_profile
from deepstorm.simulation.scenes import StripeScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations, histogram_image

PIXEL_NM = 100.0
# Seven pairs in 64 camera pixels: the spacing of 914.29 nm puts them at seven phases of the camera
# pixel as of the 12.5 nm grid, 1.8 nm apart there.
PAIRS, HEIGHT_PX = 7, 64
# Lines are so long.
WIDTH_PX = 32
FIELD_UM2 = HEIGHT_PX * WIDTH_PX * (PIXEL_NM / 1000) ** 2
SIGMA_NM = 110.0
# Pixels in which localizations are counted: so fine that they add nothing to the width of a line.
FINE_NM = 2.5


def stripe_settings(
    separations_nm: tuple[float, ...],
    density_per_um2: float,
    frames: int,
    photons: float = 1000.0,
    background_photons: float = 10.0,
) -> SimulationSettings:
    """Return the paper's experiment: 1000 photons, 10 background photons, Poisson noise.

    Each separation has seven pairs in a field of 32 × 64 pixels of its own, one below the other;
    the density is that of the field, as in the paper.
    """
    return SimulationSettings.model_validate(
        {
            "frames": frames,
            "height_px": HEIGHT_PX * len(separations_nm),
            "width_px": WIDTH_PX,
            "density_per_um2": density_per_um2,
            "scene": StripeScene(separations_nm=tuple(np.repeat(separations_nm, PAIRS).tolist())),
            "brightness": {"mean_photons": photons, "relative_spread": 0.0},
            "psf": {"sigma_nm": SIGMA_NM},
            "background": {"mean_photons": background_photons},
            "camera": {"kind": "ideal"},
        }
    )


def stripe_image(table: Localizations, separations_nm: tuple[float, ...]) -> Float32Array:
    """Count emitters in pixels of 12.5 nm."""
    shape = (8 * HEIGHT_PX * len(separations_nm), 8 * WIDTH_PX)
    return histogram_image(table, shape, PIXEL_NM / 8)


def stripe_dips(
    image: Float32Array, pixel_nm: float, separations_nm: tuple[float, ...]
) -> list[tuple[Dip, dict[str, Any]]]:
    """Return the dip of each separation, and its profile for JSON."""
    spacing_nm = HEIGHT_PX * PIXEL_NM / PAIRS
    found = []
    for index, separation in enumerate(separations_nm):
        centres = (index * PAIRS + np.arange(PAIRS) + 0.5) * spacing_nm
        profile = pair_profile(image, centres.tolist(), pixel_nm)
        dip = dip_between_peaks(profile, separation / 2 + 25)
        shape = {name: column.tolist() for name, column in asdict(profile).items()}
        found.append((dip, {"separation_nm": separation, **asdict(dip), **shape}))
    return found


def drawn_finely(table: Localizations, separations_nm: tuple[float, ...]) -> Float32Array:
    """Count localizations in fine pixels along y; along x the profile sums them all anyway."""
    rows = round(len(separations_nm) * HEIGHT_PX * PIXEL_NM / FINE_NM)
    width_nm = WIDTH_PX * PIXEL_NM
    inside = (table.x_nm >= 0) & (table.x_nm < width_nm)
    column = Localizations(table.frame[inside], np.zeros(int(inside.sum())), table.y_nm[inside])
    return histogram_image(column, (rows, 1), FINE_NM)
