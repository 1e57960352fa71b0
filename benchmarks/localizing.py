"""Localize single emitters in simulated movies, and compare with the truth and with theory.

    python benchmarks/localizing.py [--emitters N] [--seed N]
    python benchmarks/localizing.py --picasso [--cache FOLDER | --python PYTHON] [--emitters N]

The first table has isolated emitters at random positions within the pixel: errors along one axis
beside the Cramér-Rao bound of the camera's true noise, and what the fits state. Where two true
emitters are so close that no fit can tell, they are counted as a pair and not as an error.
"measured" cameras were not given but calibrated from the same frames. The second table is of
uniform fields of growing density.

With --picasso: beside Picasso (Schnitzbauer et al., Nature Protocols 12, 1198 (2017)) on the same
frames. It goes into an environment of its own, made once with pip; with --python one that is there
already is used. Both are told what is true of the camera. Picasso's threshold, the net gradient, is
the one with the highest Jaccard index, for each row anew: better than anybody can choose it.
"""

import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from deepstorm.evaluation.emitters import score_emitters
from deepstorm.evaluation.matching import match_emitters
from deepstorm.evaluation.position_errors import root_mean_square
from deepstorm.localization.bounds import cramer_rao_nm
from deepstorm.localization.isolated import isolated
from deepstorm.localization.localize import localize_frames
from deepstorm.localization.noise import CameraNoise
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, ScmosCamera
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations
from environments import default_cache, python_with
from report import parser_of, print_rows, row

PIXEL_NM, SIGMA_NM, BACKGROUND = 100.0, 110.0, 20.0
SIZE_PX = 64
SPARSE_PER_UM2 = 0.05
PHOTONS = (500.0, 2500.0, 10_000.0)
# Photons and densities of the second table, and of the comparison with Picasso.
FIELDS = ((500.0, 0.05), *((2500.0, density) for density in (0.05, 0.5, 1.0, 2.0, 4.0)))
PICASSO_FIELDS = ((500.0, 0.05), (2500.0, 0.05), (10_000.0, 0.05), (2500.0, 1.0))
RADIUS_NM = 250.0
# Two emitters within so many standard deviations of the PSF may look like one.
ALONE_NM = 3 * SIGMA_NM
# What lies in the border of the field is counted by neither side.
BORDER_NM = 500.0
PICASSO = ("picassosr==0.11.3",)
LONGEST_S, BOX_PX = 900, 9
# Part of an emitter's photons from which thresholds are sought.
LEAST_GRADIENT, THRESHOLDS = 0.05, 60
PRECISION = (
    "camera | photons | emitters | accepted [%] | false | pairs taken for one | RMSE [nm]"
    " | bound [nm] | RMSE / bound | stated / RMSE | bias x, y / bound | sigma [nm] | found photons"
)
DENSITY = (
    "camera | photons | per µm² | found [%] | false per frame | Jaccard | RMSE per axis [nm]"
    " | spots per s"
)
BESIDE = (
    "camera | photons | per µm² | by | found [%] | false | Jaccard | RMSE per axis [nm]"
    f" | bound, alone, background {BACKGROUND:g} [nm]"
)


@dataclass(frozen=True)
class Camera:
    """A camera with what is true of its noise."""

    name: str
    camera: AnyCamera
    noise: CameraNoise

    def bound_nm(self, photons: float) -> float:
        """Return the bound of an emitter's position."""
        excess, read = self.noise.excess_factor, float(np.mean(self.noise.read_variance))
        noise = {"excess_factor": excess, "read_variance": read}
        return float(cramer_rao_nm(photons, BACKGROUND, SIGMA_NM, PIXEL_NM, **noise))


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


def simulated(camera, photons, density_per_um2, emitters, seed):
    """Simulate as many frames as give so many emitters."""
    area_um2 = (SIZE_PX * PIXEL_NM / 1000) ** 2
    frames = max(round(emitters / (density_per_um2 * area_um2)), 20)
    told = {"frames": frames, "density_per_um2": density_per_um2, "pixel_size_nm": PIXEL_NM}
    told |= {"height_px": SIZE_PX, "width_px": SIZE_PX, "scene": {"kind": "uniform"}}
    told["brightness"] = {"mean_photons": photons, "relative_spread": 0.0}
    told["psf"] = {"sigma_nm": SIGMA_NM, "relative_spread": 0.0}
    told |= {"background": {"mean_photons": BACKGROUND}, "camera": camera.camera}
    settings = SimulationSettings.model_validate(told)
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return movie, np.concatenate(list(movie.frames()))


def precision_row(camera, given, photons, emitters, seed):
    """Return errors, bias and stated errors of isolated emitters."""
    movie, frames = simulated(camera, photons, SPARSE_PER_UM2, emitters, seed)
    found = isolated(frames, PIXEL_NM, camera.noise if given else None)
    table, truth = found.emitters, movie.emitters
    pairs = match_emitters(table, truth, RADIUS_NM)
    # The distance of each true emitter to the next one of its frame.
    points = np.column_stack([truth.x_nm, truth.y_nm, 1e3 * SIZE_PX * PIXEL_NM * truth.frame])
    alone = cKDTree(points).query(points, k=2)[0][pairs.truth_index, 1] > ALONE_NM
    i, j = pairs.predicted_index[alone], pairs.truth_index[alone]
    errors = np.stack([table.x_nm[i] - truth.x_nm[j], table.y_nm[i] - truth.y_nm[j]])
    rmse, bound = root_mean_square(errors), camera.bound_nm(photons)
    columns = table.select(i).columns()
    (x, y), uncertain = errors.mean(axis=1) / bound, rmse / bound / np.sqrt(len(i))
    name = camera.name if given else f"{camera.name}, measured"
    counts = 100 * len(pairs) / len(movie.truth), len(table) - len(pairs), len(pairs) - len(i)
    stated = root_mean_square(columns["uncertainty_nm"]) / rmse
    bias = f"{x:+.3f}, {y:+.3f} ± {uncertain:.3f}"
    light = found.sigma_px * PIXEL_NM, float(np.mean(columns["photons"]))
    figures = (*counts, rmse, bound, rmse / bound, stated, bias, *light)
    return row(PRECISION, name, photons, len(i), *figures)


def within(table: Localizations) -> Localizations:
    """Return what lies in the inner field."""
    places, high = np.stack([table.x_nm, table.y_nm]), SIZE_PX * PIXEL_NM - BORDER_NM
    return table.select(((places > BORDER_NM) & (places < high)).all(axis=0))


def _rmse(scores):
    return None if scores.rmse_nm is None else scores.rmse_nm / float(np.sqrt(2))


def density_row(camera, photons, density, emitters, seed):
    """Return detection, false positives and error of the everyday way."""
    movie, frames = simulated(camera, photons, density, emitters, seed)
    localize_frames(frames[:2], PIXEL_NM, camera.noise, sigma_px=SIGMA_NM / PIXEL_NM)
    began = time.process_time()
    table = localize_frames(frames, PIXEL_NM, camera.noise)
    speed = len(table) / max(time.process_time() - began, 1e-9)
    scores = score_emitters(within(table), within(movie.truth), RADIUS_NM)
    found = 100 * scores.recall, scores.false_positives / len(frames), scores.jaccard
    return row(DENSITY, camera.name, photons, density, *found, _rmse(scores), speed)


def picasso_camera(camera: Camera) -> dict[str, float]:
    """Return what Picasso is told of a camera."""
    if isinstance(camera.camera, EmccdCamera):
        gain, per_adu = camera.camera.em_gain, camera.camera.electrons_per_adu
    else:
        gain, per_adu = 1.0, 1.0 / float(np.mean(camera.noise.adu_per_photon))
    baseline = float(np.mean(camera.noise.zero_adu))
    return {"Baseline": baseline, "Sensitivity": per_adu, "Gain": gain, "Pixelsize": PIXEL_NM}


def by_picasso(python, frames, camera, least_net_gradient):
    """Return what Picasso finds, with the net gradient of each spot."""
    told = {"least_net_gradient": least_net_gradient, "box_px": BOX_PX}
    worker = Path(__file__).with_name("picasso_worker.py")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("frames.npy", "parameters.json", "found.npz")]
        np.save(paths[0], frames)
        paths[1].write_text(json.dumps({"camera": picasso_camera(camera), **told}))
        command = [str(python), str(worker), *map(str, paths)]
        subprocess.run(command, timeout=LONGEST_S, check=True)
        with np.load(paths[2]) as found:
            x_nm, y_nm = (found[name] * PIXEL_NM for name in ("x_px", "y_px"))
            table = Localizations(found["frame"].astype(np.int64), x_nm, y_nm)
            return table, found["net_gradient"].astype(np.float64)


def beside_picasso(python, emitters, seed):
    """Yield this package's and Picasso's scores in every condition."""
    for camera in cameras():
        for photons, density in PICASSO_FIELDS:
            movie, frames = simulated(camera, photons, density, emitters, seed)
            truth, bound = within(movie.truth), camera.bound_nm(photons)
            ours = localize_frames(frames, PIXEL_NM, camera.noise)
            table, gradient = by_picasso(python, frames, camera, LEAST_GRADIENT * photons)
            thresholds = np.quantile(gradient, np.linspace(0, 0.98, THRESHOLDS))
            theirs = [table.select(gradient >= threshold) for threshold in thresholds]
            for name, found in (("deepstorm", [ours]), ("Picasso", theirs)):
                scores = (score_emitters(within(each), truth, RADIUS_NM) for each in found)
                best = max(scores, key=lambda each: each.jaccard)
                figures = 100 * best.recall, best.false_positives, best.jaccard, _rmse(best)
                yield row(BESIDE, camera.name, photons, density, name, *figures, bound)


def main() -> None:
    """Print the tables."""
    parser = parser_of("localizing", __doc__)
    parser.add_argument("--emitters", type=int, default=4000, help="per row, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picasso", action="store_true", help="compare with it")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="for its environment")
    parser.add_argument("--python", type=Path, help="an interpreter that has Picasso")
    chosen = parser.parse_args()
    told = chosen.emitters, chosen.seed
    if chosen.picasso:
        print_rows(beside_picasso(chosen.python or python_with(PICASSO, chosen.cache), *told))
        return
    known = [(camera, given) for camera in cameras() for given in (True, False)]
    print_rows(precision_row(*each, photons, *told) for each in known for photons in PHOTONS)
    print_rows(density_row(each, *field, *told) for each in cameras() for field in FIELDS)


if __name__ == "__main__":
    main()
