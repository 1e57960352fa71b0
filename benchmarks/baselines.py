"""What the methods that Deep-STORM is compared with reach: CEL0, FALCON, Richardson-Lucy.

    python benchmarks/baselines.py search [--quick] [--only METHOD,...] [--folder FOLDER]
    python benchmarks/baselines.py fig4   [--quick] [--only METHOD,...] [--folder FOLDER]

``search`` tries settings on simulated movies with the light, camera and density of the paper's
Fig. 4: curved filaments for the image (NMSE), and emitters anywhere for single frames (Jaccard).
The settings with the lowest NMSE after the best blur are the defaults of the package; the published
movie is not part of the search.
``fig4`` reconstructs the movie itself with the defaults; it is looked for in ``../shared/data`` or
the folder named by DEEPSTORM_DATA. What is done is kept in FOLDER, by settings, and not done again.
All methods are told what the calibration of the package reads from the movie, and no more.

"registered" is the NMSE with the true positions moved to where it is least. On the movie of Fig. 4
half a pixel in any diagonal direction lowers it for images that are in place already, because the
true emitters fill cells of that very grid and a move smears them: compare it with registered
figures alone.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from deepstorm.baselines.cel0 import Cel0, Cel0Settings
from deepstorm.baselines.falcon import Falcon, FalconSettings
from deepstorm.baselines.imaging import ImagingConditions
from deepstorm.baselines.richardson_lucy import RichardsonLucySettings, deconvolve_mean
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.evaluation.images import nmse_percent, registered_nmse
from deepstorm.files import written_whole
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.reports.pictures import write_preview
from deepstorm.simulation.scenes import FilamentScene, UniformScene
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations, histogram_image

PIXEL_NM = 100.0
UPSAMPLING = 8
# Standard deviations of the blurs that are tried, in super-resolution pixels.
BLURS_PX = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
QUICK_FRAMES = 6
FRAMES_PER_PART = 20

METHODS: dict[str, type[Settings]] = {
    "cel0": Cel0Settings,
    "falcon": FalconSettings,
    "richardson-lucy": RichardsonLucySettings,
}
# What the search tries: every combination.
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "cel0": {"penalty": (0.003, 0.01, 0.03, 0.1)},
    "falcon": {
        "penalty": (0.5, 1.0, 2.0, 3.0, 4.0),
        "min_significance": (2.0, 4.0),
        "reweightings": (0, 2),
    },
    "richardson-lucy": {"iterations": (300, 1000, 3000)},
}


@dataclass(frozen=True)
class Case:
    """A movie with its truth.

    Parameters
    ----------
    name : str
    frames : ndarray, shape (frame, y, x)
    truth : Localizations
    """

    name: str
    frames: np.typing.NDArray[np.uint16]
    truth: Localizations

    @cached_property
    def conditions(self) -> ImagingConditions:
        """What the movie says of itself."""
        known = KnownValues(pixel_size_nm=PIXEL_NM)
        return ImagingConditions.from_calibration(
            calibrate_frames(self.frames, known=known), PIXEL_NM
        )


def like_fig4(scene: FilamentScene | UniformScene, frames: int, side_px: int, seed: int) -> Case:
    """Simulate a movie with the light, camera and density of the paper's Fig. 4."""
    settings = SimulationSettings.model_validate(
        {
            "frames": frames,
            "height_px": side_px,
            "width_px": side_px,
            "density_per_um2": 5.5,
            "scene": scene,
            "brightness": {"mean_photons": 1450.0, "relative_spread": 0.5},
            "psf": {"sigma_nm": 109.0},
            "background": {"mean_photons": 19.0},
        }
    )
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return Case(f"{scene.kind}-{seed}-{frames}", np.concatenate(list(movie.frames())), movie.truth)


def simulated_cases(quick: bool) -> list[Case]:
    """Return the movies of the search: filaments first, whose image counts."""
    frames = (QUICK_FRAMES, QUICK_FRAMES) if quick else (40, 8)
    filaments = FilamentScene(filaments=5, waviness_nm=30.0)
    return [
        like_fig4(filaments, frames[0], 32, seed=1),
        like_fig4(UniformScene(), frames[1], 32, seed=2),
    ]


def published_case(quick: bool) -> Case:
    """Return the movie of the paper's Fig. 4.

    Raises
    ------
    InputError
        If it is not there.
    """
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DEEPSTORM_DATA", default)) / "fig4-microtubules"
    if not (folder / "movie.tif").is_file():
        raise InputError(f"the movie of Fig. 4 is not in {folder}; set DEEPSTORM_DATA")
    truth = read_localizations(folder / "truth.csv", pixel_size_nm=PIXEL_NM)
    with open_movie(folder / "movie.tif") as movie:
        frames = movie.read(0, QUICK_FRAMES if quick else movie.shape[0])
    return Case(f"fig4-{len(frames)}", frames, truth.select(truth.frame < len(frames)))


@dataclass(frozen=True)
class Result:
    """What a method made of a movie.

    Parameters
    ----------
    image : ndarray, shape (y, x)
        On the grid of 12.5 nm.
    localizations : Localizations or None
    seconds : float
        Processor time.
    """

    image: np.typing.NDArray[np.float32]
    localizations: Localizations | None
    seconds: float


def reconstructed(settings: Settings, case: Case, folder: Path) -> Result:
    """Run a method, or read what an earlier run left in the folder."""
    if isinstance(settings, RichardsonLucySettings):
        source = _kept(folder, settings, case, 0, partial(_deconvolved, settings, case))
        return Result(source["image"], None, float(source["seconds"]))
    conditions = case.conditions
    method = Cel0(conditions, settings) if isinstance(settings, Cel0Settings) else None
    method = method or Falcon(conditions, FalconSettings.model_validate(settings.model_dump()))
    parts = []
    for start in range(0, len(case.frames), FRAMES_PER_PART):
        compute = partial(_localized, method, case, start)
        parts.append(_kept(folder, settings, case, start, compute))
    columns = ("frame", "x_nm", "y_nm", "photons")
    found = Localizations(**{key: np.concatenate([part[key] for part in parts]) for key in columns})
    shape = (case.frames.shape[1] * UPSAMPLING, case.frames.shape[2] * UPSAMPLING)
    image = histogram_image(found, shape, PIXEL_NM / UPSAMPLING)
    return Result(image, found, sum(float(part["seconds"]) for part in parts))


def _deconvolved(settings: RichardsonLucySettings, case: Case) -> dict[str, Any]:
    return {"image": deconvolve_mean(case.frames, case.conditions, settings)}


def _localized(method: Cel0 | Falcon, case: Case, start: int) -> dict[str, Any]:
    return method.localize(case.frames[start : start + FRAMES_PER_PART], start).columns()


def _kept(
    folder: Path, settings: Settings, case: Case, start: int, compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the arrays of an earlier run with the same settings, or compute and keep them."""
    told = f"{type(settings).__name__} {settings.model_dump_json()} {case.name} {start}"
    path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        began = time.process_time()
        arrays = compute()
        with written_whole(path) as unfinished:
            np.savez(unfinished, seconds=time.process_time() - began, **arrays)
    with np.load(path, allow_pickle=False) as kept:
        return dict(kept)


def scored(result: Result, case: Case, registered: bool) -> dict[str, float]:
    """Return all figures of a result."""
    fine_nm = PIXEL_NM / UPSAMPLING
    truth = histogram_image(case.truth, result.image.shape, fine_nm)
    blurred = [gaussian_filter(result.image, sigma) for sigma in BLURS_PX]
    errors = [nmse_percent(image, truth) for image in blurred]
    best = int(np.argmin(errors))
    row = {
        "NMSE [%]": errors[0],
        "blurred": errors[best],
        "by [nm]": BLURS_PX[best] * fine_nm,
    }
    if registered:
        row["registered"] = registered_nmse(result.image, case.truth, fine_nm).nmse_percent
        row["both"] = registered_nmse(blurred[best], case.truth, fine_nm).nmse_percent
    if result.localizations is not None:
        row["emitters/true"] = len(result.localizations) / len(case.truth)
        for radius_nm in (50.0, 100.0):
            scores = score_emitters(result.localizations, case.truth, radius_nm)
            row[f"J{radius_nm:.0f}"] = scores.jaccard
            row[f"chance{radius_nm:.0f}"] = scores.chance_jaccard or 0.0
            if radius_nm == 50:
                row["P50"], row["R50"] = scores.precision, scores.recall
    row["CPU s/frame"] = result.seconds / len(case.frames)
    return row


def combinations(method: str, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield what the search changes; only the ends of each range if quick."""
    grid = GRIDS[method]
    ranges = [values[:: max(len(values) - 1, 1)] if quick else values for values in grid.values()]
    for values in itertools.product(*ranges):
        yield dict(zip(grid, values, strict=True))


def search(method: str, quick: bool, folder: Path) -> None:
    """Print every combination's figures, and the best settings."""
    filaments, uniform = simulated_cases(quick)
    best: tuple[float, dict[str, Any]] = (float("inf"), {})
    for changed in combinations(method, quick):
        settings = METHODS[method].model_validate(changed)
        row = scored(reconstructed(settings, filaments, folder), filaments, False)
        if method != "richardson-lucy":
            single = scored(reconstructed(settings, uniform, folder), uniform, False)
            row |= {f"uniform {key}": single[key] for key in ("J50", "chance50", "P50", "R50")}
        best = min(best, (row["blurred"], changed), key=lambda entry: entry[0])
        print(f"{method} {json.dumps(changed)}: {figures(row)}", flush=True)
    print(f"{method}: lowest NMSE on filaments {best[0]:.1f} % with {json.dumps(best[1])}")


def fig4(method: str, quick: bool, folder: Path) -> None:
    """Print the figures of the published movie, and leave a picture."""
    case = published_case(quick)
    result = reconstructed(METHODS[method](), case, folder)
    print(f"{method}: {figures(scored(result, case, True))}", flush=True)
    # Square roots: few bright pixels would hide the rest.
    picture = np.sqrt(gaussian_filter(result.image, 1.0))
    write_preview(folder / f"{method}.png", picture, PIXEL_NM / UPSAMPLING, overwrite=True)


def figures(row: dict[str, float]) -> str:
    """Return figures on one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in row.items())


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("task", choices=("search", "fig4"))
    parser.add_argument("--quick", action="store_true", help="a few frames; do not quote")
    parser.add_argument("--only", default=",".join(METHODS), metavar="METHOD,...")
    default = Path(tempfile.gettempdir()) / "deepstorm-baselines"
    parser.add_argument("--folder", type=Path, default=default, help="what is kept between runs")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    run = search if chosen.task == "search" else fig4
    try:
        for method in chosen.only.split(","):
            if method not in METHODS:
                raise InputError(f"no method is called {method}; there are {', '.join(METHODS)}")
            run(method, chosen.quick, chosen.folder)
    except InputError as error:
        sys.exit(f"baselines: {error}")


if __name__ == "__main__":
    main()
