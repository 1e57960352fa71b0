"""Localize single emitters in simulated movies, and compare with the truth and with theory.

The first table has isolated emitters: errors along one axis beside the Cramér-Rao bound of the
camera's true noise, and what the fits state. Two true emitters so close that no fit can tell are a
pair and not an error. "measured" cameras were not given but calibrated from the same frames. The
second table is of uniform fields of growing density; with --picasso beside Picasso (Schnitzbauer et
al., Nature Protocols 12, 1198 (2017)), which is told the same of the camera, and whose threshold,
the net gradient, is the one with the highest Jaccard index, for each row anew.
"""

import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import numpy as np

from children.workers import Worker
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.evaluation.matching import match_emitters
from deepstorm.evaluation.position_errors import root_mean_square
from deepstorm.localization.bounds import cramer_rao_nm
from deepstorm.localization.isolated import isolated
from deepstorm.localization.localize import localize_frames
from deepstorm.localization.noise import CameraNoise
from deepstorm.paper.movies import frames_for
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, ScmosCamera
from deepstorm.structures import Localizations
from deepstorm.training.examples.plausibility import alone
from environments import default_cache, python_with
from movies import PIXEL_NM, UNIFORM, conditions, exposed
from report import print_rows, row, run

SIGMA_NM, BACKGROUND = 110.0, 20.0
SIZE_PX, SPARSE_PER_UM2 = 64, 0.05
PHOTONS = (500.0, 2500.0, 10_000.0)
# Photons and densities of the second table.
FIELDS = tuple((photons, SPARSE_PER_UM2) for photons in PHOTONS)
FIELDS += tuple((2500.0, density) for density in (0.5, 1.0, 2.0, 4.0))
# Two emitters nearer than ALONE_NM may look like one; what lies in the border is not counted.
RADIUS_NM, ALONE_NM, BORDER_NM = 250.0, 3 * SIGMA_NM, 500.0
PICASSO, BOX_PX = ("picassosr==0.11.3",), 9
# Part of an emitter's photons from which thresholds are sought.
LEAST_GRADIENT, THRESHOLDS = 0.05, 60
PRECISION = (
    "camera | photons | emitters | accepted [%] | false | pairs taken for one | RMSE [nm]"
    " | bound [nm] | RMSE / bound | stated / RMSE | bias x, y / bound | sigma [nm] | found photons"
)
FIELD = (
    "camera | photons | per µm² | by | found [%] | false | false per frame | Jaccard"
    f" | RMSE per axis [nm] | bound, alone, background {BACKGROUND:g} [nm] | spots per s"
)
OPTIONS = {
    "--emitters": (4000, "per row, about"),
    "--seed": (1, "of the movies"),
    "--picasso": (False, "compare with it"),
    "--cache": (default_cache(), "for its environment"),
    "--python": (Path, "an interpreter that has Picasso"),
}


@dataclass(frozen=True)
class Camera:
    """A camera with what is true of its noise."""

    name: str
    camera: AnyCamera
    noise: CameraNoise

    def bound_nm(self, photons: float) -> float:
        """Return the bound of an emitter's position."""
        read = float(np.mean(self.noise.read_variance))
        told = {"excess_factor": self.noise.excess_factor, "read_variance": read}
        return float(cramer_rao_nm(photons, BACKGROUND, SIGMA_NM, PIXEL_NM, **told))


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
    """Simulate as many frames as give so many emitters; return them, and the movie."""
    settings = conditions(
        UNIFORM,
        density_per_um2,
        frames_for(emitters, density_per_um2, 20),
        brightness={"mean_photons": photons, "relative_spread": 0.0},
        psf={"sigma_nm": SIGMA_NM, "relative_spread": 0.0},
        background={"mean_photons": BACKGROUND},
        camera=camera.camera,
    )
    return exposed(settings, seed)


def precision_row(camera, given, photons, emitters, seed):
    """Return errors, bias and stated errors of isolated emitters."""
    frames, movie = simulated(camera, photons, SPARSE_PER_UM2, emitters, seed)
    found = isolated(frames, PIXEL_NM, camera.noise if given else None)
    table, truth = found.emitters, movie.emitters
    pairs = match_emitters(table, truth, RADIUS_NM)
    single = alone(truth, ALONE_NM)[pairs.truth_index]
    i, j = pairs.predicted_index[single], pairs.truth_index[single]
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


def picasso_camera(camera: Camera) -> dict[str, float]:
    """Return what Picasso is told of a camera."""
    zero, slope = (float(np.mean(x)) for x in (camera.noise.zero_adu, camera.noise.adu_per_photon))
    return {"Baseline": zero, "Sensitivity": 1.0, "Gain": slope, "Pixelsize": PIXEL_NM}


def by_picasso(picasso, frames, camera, least_net_gradient):
    """Return what Picasso finds, with the net gradient of each spot."""
    told = {"least_net_gradient": least_net_gradient, "box_px": BOX_PX}
    with tempfile.TemporaryDirectory() as folder:
        files = {"frames": f"{folder}/frames.npy", "to": f"{folder}/found.npz"}
        np.save(files["frames"], frames)
        picasso.ask("localize", camera=picasso_camera(camera), **files, **told)
        with np.load(files["to"]) as found:
            x_nm, y_nm = (found[name] * PIXEL_NM for name in ("x_px", "y_px"))
            table = Localizations(found["frame"].astype(np.int64), x_nm, y_nm)
            return table, found["net_gradient"].astype(np.float64)


def field_rows(camera, photons, density, emitters, seed, picasso=None):
    """Yield detection, false positives and error of the everyday way, and of Picasso if there."""
    frames, movie = simulated(camera, photons, density, emitters, seed)
    localize_frames(frames[:2], PIXEL_NM, camera.noise, sigma_px=SIGMA_NM / PIXEL_NM)
    began = time.process_time()
    ours = localize_frames(frames, PIXEL_NM, camera.noise)
    speed = len(ours) / max(time.process_time() - began, 1e-9)
    found = {"deepstorm": ([ours], speed)}
    if picasso is not None:
        table, gradient = by_picasso(picasso, frames, camera, LEAST_GRADIENT * photons)
        thresholds = np.quantile(gradient, np.linspace(0, 0.98, THRESHOLDS))
        found["Picasso"] = [table.select(gradient >= least) for least in thresholds], None
    truth, bound = within(movie.truth), camera.bound_nm(photons)
    for name, (tables, per_s) in found.items():
        scores = (score_emitters(within(table), truth, RADIUS_NM) for table in tables)
        best = max(scores, key=lambda each: each.jaccard)
        rmse = None if best.rmse_nm is None else best.rmse_nm / float(np.sqrt(2))
        false = best.false_positives, best.false_positives / len(frames)
        cells = 100 * best.recall, *false, best.jaccard, rmse, bound, per_s
        yield row(FIELD, camera.name, photons, density, name, *cells)


def measure(chosen):
    """Print the tables, the second one alone beside Picasso."""
    told, fields = (chosen.emitters, chosen.seed), product(cameras(), FIELDS)
    if chosen.picasso:
        python = chosen.python or python_with(PICASSO, chosen.cache)
        with closing(Worker("picasso_worker.py", python)) as picasso:
            rows = (field_rows(camera, *light, *told, picasso) for camera, light in fields)
            return {"fields": print_rows(chain.from_iterable(rows))}
    fitted = product(cameras(), (True, False), PHOTONS)
    isolated_ones = print_rows(precision_row(*each, *told) for each in fitted)
    rows = (field_rows(camera, *light, *told) for camera, light in fields)
    return {"isolated": isolated_ones, "fields": print_rows(chain.from_iterable(rows))}


if __name__ == "__main__":
    run(__doc__, measure, OPTIONS)
