"""What the methods that Deep-STORM is compared with reach: CEL0, FALCON, Richardson-Lucy.

    python benchmarks/baselines.py search [--quick] [--only METHOD,...] [--folder FOLDER]
    python benchmarks/baselines.py fig4   [--quick] [--only METHOD,...] [--folder FOLDER]

``search`` tries settings on simulated movies with the light, camera and density of the paper's
Fig. 4: curved filaments for the image (NMSE), and emitters anywhere for single frames (Jaccard).
The settings with the lowest NMSE after the best blur are the defaults of the package; the published
movie is not part of the search.
``fig4`` reconstructs the movie itself with the defaults. What is done is kept in FOLDER, by
settings, and not done again. All methods are told what the calibration of the package reads from
the movie, and no more.

"registered" is the NMSE with the true positions moved to where it is least. On the movie of Fig. 4
half a pixel in any diagonal direction lowers it for images that are in place already, because the
true emitters fill cells of that very grid and a move smears them: compare it with registered
figures alone.
"""

import hashlib
import itertools
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from deepstorm.baselines.cel0 import Cel0, Cel0Settings
from deepstorm.baselines.falcon import Falcon, FalconSettings
from deepstorm.baselines.imaging import ImagingConditions
from deepstorm.baselines.richardson_lucy import RichardsonLucySettings, deconvolve_mean
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.evaluation.images import nmse_percent, registered_nmse
from deepstorm.files import written_whole
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.paper.movies import PIXEL_NM, like_the_papers_movie, read_frames
from deepstorm.paper.movies import simulated as simulate
from deepstorm.reports.pictures import write_preview
from deepstorm.simulation.scenes import FilamentScene, UniformScene
from deepstorm.structures import Localizations, histogram_image
from report import names_of, parser_of, print_rows, published

UPSAMPLING = 8
FINE_NM = PIXEL_NM / UPSAMPLING
# Standard deviations of the blurs that are tried, in super-resolution pixels.
BLURS_PX = (0.0, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
QUICK_FRAMES, FRAMES_PER_PART = 6, 20
METHODS = {"cel0": Cel0Settings, "falcon": FalconSettings}
METHODS["richardson-lucy"] = RichardsonLucySettings
# What the search tries: every combination.
FALCON_GRID = {"penalty": (0.5, 1.0, 2.0, 3.0, 4.0), "min_significance": (2.0, 4.0)}
GRIDS = {
    "cel0": {"penalty": (0.003, 0.01, 0.03, 0.1)},
    "falcon": FALCON_GRID | {"reweightings": (0, 2)},
    "richardson-lucy": {"iterations": (300, 1000, 3000)},
}
# Of single frames of the uniform movie.
SINGLE = ("J50", "chance50", "P50", "R50")


@dataclass(frozen=True)
class Case:
    """A movie (frame, y, x) with its truth."""

    name: str
    frames: npt.NDArray[np.uint16]
    truth: Localizations

    @cached_property
    def conditions(self) -> ImagingConditions:
        """What the movie says of itself."""
        known = KnownValues(pixel_size_nm=PIXEL_NM)
        calibration = calibrate_frames(self.frames, known=known)
        return ImagingConditions.from_calibration(calibration, PIXEL_NM)


def simulated(scene, frames, seed):
    """Simulate a movie with the light, camera and density of the paper's Fig. 4."""
    sides = {"height_px": 32, "width_px": 32}
    movie = simulate(like_the_papers_movie(scene, 5.5, frames).model_copy(update=sides), seed)
    return Case(f"{scene.kind}-{seed}-{frames}", *movie)


def computed(settings, case, start):
    """Return the image of a movie, or the columns of the emitters of some of its frames."""
    if isinstance(settings, RichardsonLucySettings):
        return {"image": deconvolve_mean(case.frames, case.conditions, settings)}
    kind = Falcon if isinstance(settings, FalconSettings) else Cel0
    block = case.frames[start : start + FRAMES_PER_PART]
    return kind(case.conditions, settings).localize(block, start).columns()


def kept(settings, case, start, folder):
    """Return the arrays of an earlier run with the same settings, or compute and keep them."""
    told = f"{type(settings).__name__} {settings.model_dump_json()} {case.name} {start}"
    path = folder / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        began = time.process_time()
        arrays = computed(settings, case, start)
        with written_whole(path) as unfinished:
            np.savez(unfinished, seconds=time.process_time() - began, **arrays)
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def scored(settings, case, folder, *, registered=False):
    """Run a method, or read what an earlier run left; return all figures and the image."""
    whole = isinstance(settings, RichardsonLucySettings)
    starts = range(0, 1 if whole else len(case.frames), FRAMES_PER_PART)
    parts = [kept(settings, case, start, folder) for start in starts]
    found = None
    if not whole:
        names = ("frame", "x_nm", "y_nm", "photons")
        columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
        found = Localizations(**columns)
    height, width = (UPSAMPLING * side for side in case.frames.shape[1:])
    image = histogram_image(found, (height, width), FINE_NM) if found else parts[0]["image"]
    truth = histogram_image(case.truth, image.shape, FINE_NM)
    blurred = [gaussian_filter(image, sigma) for sigma in BLURS_PX]
    errors = [nmse_percent(each, truth) for each in blurred]
    best = int(np.argmin(errors))
    figures = {"NMSE [%]": errors[0], "blurred": errors[best]}
    figures["by [nm]"] = BLURS_PX[best] * FINE_NM
    if registered:
        for name, each in (("registered", image), ("both", blurred[best])):
            figures[name] = registered_nmse(each, case.truth, FINE_NM).nmse_percent
    if found is not None:
        figures["emitters/true"] = len(found) / len(case.truth)
        near, wide = (score_emitters(found, case.truth, radius) for radius in (50.0, 100.0))
        figures |= {"J50": near.jaccard, "chance50": near.chance_jaccard or 0.0}
        figures |= {"P50": near.precision, "R50": near.recall}
        figures |= {"J100": wide.jaccard, "chance100": wide.chance_jaccard or 0.0}
    seconds = sum(float(part["seconds"]) for part in parts)
    return figures | {"CPU s/frame": seconds / len(case.frames)}, image


def search(method, quick, folder):
    """Print every combination's figures, only the ends of each range if quick; and the best."""
    frames, fewer = (QUICK_FRAMES, QUICK_FRAMES) if quick else (40, 8)
    filaments = simulated(FilamentScene(filaments=5, waviness_nm=30.0), frames, 1)
    uniform = simulated(UniformScene(), fewer, 2)
    grid = GRIDS[method]
    ranges = [values[:: max(len(values) - 1, 1)] if quick else values for values in grid.values()]

    def rows():
        for values in itertools.product(*ranges):
            changed = dict(zip(grid, values, strict=True))
            settings = METHODS[method].model_validate(changed)
            figures, _ = scored(settings, filaments, folder)
            if method != "richardson-lucy":
                single, _ = scored(settings, uniform, folder)
                figures |= {f"uniform {key}": single[key] for key in SINGLE}
            yield {"method": method, "settings": json.dumps(changed)} | figures

    best = min(print_rows(rows()), key=lambda each: float(each["blurred"] or 0))
    print(f"\n{method}: lowest NMSE on filaments {best['blurred']:.1f} % with {best['settings']}")


def fig4(method, quick, folder):
    """Print the figures of the published movie, and leave a picture."""
    movie, table = published("movie.tif"), published("truth.csv")
    if movie is None or table is None:
        sys.exit("baselines: the movie of Fig. 4 is not there; set DEEPSTORM_DATA")
    frames = read_frames(movie)[: QUICK_FRAMES if quick else None]
    truth = read_localizations(table, pixel_size_nm=PIXEL_NM)
    case = Case(f"fig4-{len(frames)}", frames, truth.select(truth.frame < len(frames)))
    figures, image = scored(METHODS[method](), case, folder, registered=True)
    print_rows([{"method": method} | figures])
    # Square roots: few bright pixels would hide the rest.
    picture = np.sqrt(gaussian_filter(image, 1.0))
    write_preview(folder / f"{method}.png", picture, FINE_NM, overwrite=True)


def main() -> None:
    """Run what was asked for."""
    parser = parser_of("baselines", __doc__)
    parser.add_argument("task", choices=("search", "fig4"))
    parser.add_argument("--quick", action="store_true", help="a few frames; do not quote")
    only = {"type": names_of(METHODS, "method"), "default": list(METHODS)}
    parser.add_argument("--only", metavar="METHOD,...", **only)
    default = Path(tempfile.gettempdir()) / "deepstorm-baselines"
    parser.add_argument("--folder", type=Path, default=default, help="what is kept between runs")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for method in chosen.only:
        (search if chosen.task == "search" else fig4)(method, chosen.quick, chosen.folder)


if __name__ == "__main__":
    main()
