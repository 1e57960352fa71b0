"""Localize single emitters in simulated movies, and compare with the truth and with theory.

    python benchmarks/localizing.py [--emitters N] [--seed N]

The first table has isolated emitters at random positions within the pixel: errors along one axis
beside the Cramér-Rao bound of the camera's true noise, and what the fits state. Where two true
emitters are so close that no fit can tell, they are counted as a pair and not as an error.
"measured" cameras were not given but calibrated from the same frames. The second table is of
uniform fields of growing density.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from deepstorm.arrays import Float64Array
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.evaluation.matching import match_emitters
from deepstorm.localization.bounds import cramer_rao_nm
from deepstorm.localization.isolated import isolated
from deepstorm.localization.localize import localize_frames
from deepstorm.localization.noise import CameraNoise
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import (
    Background,
    SimulatedMovie,
    SimulationSettings,
    simulate_movie,
)
from deepstorm.structures import Localizations

PIXEL_NM, SIGMA_NM, BACKGROUND = 100.0, 110.0, 20.0
SIZE_PX = 64
SPARSE_PER_UM2 = 0.05
DENSITIES_PER_UM2 = (0.05, 0.5, 1.0, 2.0, 4.0)
PHOTONS = (500.0, 2500.0, 10_000.0)
RADIUS_NM = 250.0
# Two emitters within so many standard deviations of the PSF may look like one.
ALONE_NM = 3 * SIGMA_NM
# What lies in the border of the field is counted by neither side.
BORDER_NM = 500.0


@dataclass(frozen=True)
class Camera:
    """A camera with what is true of its noise."""

    name: str
    camera: AnyCamera
    noise: CameraNoise

    def bound_nm(self, photons: float) -> float:
        """Return the bound of an emitter's position."""
        bound = cramer_rao_nm(
            photons,
            BACKGROUND,
            SIGMA_NM,
            PIXEL_NM,
            excess_factor=self.noise.excess_factor,
            read_variance=float(np.mean(self.noise.read_variance)),
        )
        return float(bound)


def cameras() -> list[Camera]:
    """Return an EMCCD and an sCMOS camera of which everything is known, maps included."""
    emccd, scmos = EmccdCamera(), ScmosCamera()
    gain = emccd.em_gain / emccd.electrons_per_adu
    read_variance = (emccd.read_noise_e / emccd.em_gain) ** 2
    offset, slope, read = scmos.maps((SIZE_PX, SIZE_PX))
    return [
        Camera("EMCCD", emccd, CameraNoise(emccd.offset_adu, gain, 2.0, read_variance)),
        Camera("sCMOS", scmos, CameraNoise(offset, slope, 1.0, read**2)),
    ]


def simulated(
    camera: Camera, photons: float, density_per_um2: float, emitters: int, seed: int
) -> tuple[SimulatedMovie, npt.NDArray[np.uint16]]:
    """Simulate as many frames as give so many emitters."""
    area_um2 = (SIZE_PX * PIXEL_NM / 1000) ** 2
    settings = SimulationSettings(
        frames=max(round(emitters / (density_per_um2 * area_um2)), 20),
        height_px=SIZE_PX,
        width_px=SIZE_PX,
        pixel_size_nm=PIXEL_NM,
        density_per_um2=density_per_um2,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=photons, relative_spread=0.0),
        psf=GaussianPsf(sigma_nm=SIGMA_NM, relative_spread=0.0),
        background=Background(mean_photons=BACKGROUND),
        camera=camera.camera,
    )
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return movie, np.concatenate(list(movie.frames()))


def precision_row(camera: Camera, photons: float, emitters: int, seed: int, given: bool) -> str:
    """Return errors, bias and stated errors of isolated emitters."""
    movie, frames = simulated(camera, photons, SPARSE_PER_UM2, emitters, seed)
    found = isolated(frames, PIXEL_NM, camera.noise if given else None)
    table, truth = found.emitters, movie.emitters
    pairs = match_emitters(table, truth, RADIUS_NM)
    alone = next_true_nm(truth)[pairs.truth_index] > ALONE_NM
    i, j = pairs.predicted_index[alone], pairs.truth_index[alone]
    errors = np.stack([table.x_nm[i] - truth.x_nm[j], table.y_nm[i] - truth.y_nm[j]])
    rmse, bound = float(np.sqrt(np.mean(errors**2))), camera.bound_nm(photons)
    columns = table.select(i).columns()
    stated = float(np.sqrt(np.mean(columns["uncertainty_nm"] ** 2)))
    bias, bias_error = errors.mean(axis=1), rmse / np.sqrt(len(i))
    cells = [
        camera.name if given else f"{camera.name}, measured",
        f"{photons:.0f}",
        str(len(i)),
        f"{100 * len(pairs) / len(movie.truth):.0f}",
        str(len(table) - len(pairs)),
        str(len(pairs) - len(i)),
        f"{rmse:.2f}",
        f"{bound:.2f}",
        f"{rmse / bound:.3f}",
        f"{stated / rmse:.3f}",
        f"{bias[0] / bound:+.3f}, {bias[1] / bound:+.3f} ± {bias_error / bound:.3f}",
        f"{found.sigma_px * PIXEL_NM:.1f}",
        f"{np.mean(columns['photons']):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def next_true_nm(truth: Localizations) -> Float64Array:
    """Return the distance of each true emitter to the next one of its frame."""
    far_nm = 1e3 * SIZE_PX * PIXEL_NM
    points = np.column_stack([truth.x_nm, truth.y_nm, truth.frame * far_nm])
    distances = cKDTree(points).query(points, k=2)[0]
    return np.asarray(distances, np.float64)[:, 1]


def within(table: Localizations) -> Localizations:
    """Return what lies in the inner field."""
    high = SIZE_PX * PIXEL_NM - BORDER_NM
    inside = (table.x_nm > BORDER_NM) & (table.x_nm < high)
    return table.select(inside & (table.y_nm > BORDER_NM) & (table.y_nm < high))


def density_row(camera: Camera, photons: float, density: float, emitters: int, seed: int) -> str:
    """Return detection, false positives and error of the everyday way."""
    movie, frames = simulated(camera, photons, density, emitters, seed)
    localize_frames(frames[:2], PIXEL_NM, camera.noise, sigma_px=SIGMA_NM / PIXEL_NM)
    began = time.process_time()
    table = localize_frames(frames, PIXEL_NM, camera.noise)
    seconds = time.process_time() - began
    scores = score_emitters(within(table), within(movie.truth), RADIUS_NM)
    cells = [
        camera.name,
        f"{photons:.0f}",
        f"{density:g}",
        f"{100 * scores.recall:.1f}",
        f"{scores.false_positives / len(frames):.3f}",
        f"{scores.jaccard:.3f}",
        "–" if scores.rmse_nm is None else f"{scores.rmse_nm / np.sqrt(2):.1f}",
        f"{len(table) / max(seconds, 1e-9):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emitters", type=int, default=4000, help="per row, about")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(
        "| camera | photons | emitters | accepted [%] | false | pairs taken for one | RMSE [nm] | "
        "bound [nm] | RMSE / bound | stated / RMSE | bias x, y / bound | sigma [nm] | photons |\n"
        + "|---" * 13
        + "|"
    )
    for camera in cameras():
        for given in (True, False):
            for photons in PHOTONS:
                row = precision_row(camera, photons, arguments.emitters, arguments.seed, given)
                print(row, flush=True)
    print(
        "\n| camera | photons | per µm² | found [%] | false per frame | Jaccard | RMSE per axis "
        "[nm] | spots per s |\n" + "|---" * 8 + "|"
    )
    for camera in cameras():
        for photons, densities in ((500.0, DENSITIES_PER_UM2[:1]), (2500.0, DENSITIES_PER_UM2)):
            for density in densities:
                row = density_row(camera, photons, density, arguments.emitters, arguments.seed)
                print(row, flush=True)


if __name__ == "__main__":
    main()
