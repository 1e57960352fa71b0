"""What the methods that Deep-STORM is compared with reach: CEL0, FALCON, Richardson-Lucy.

``search`` tries settings on simulated movies with the light, camera and density of the paper's
Fig. 4: curved filaments for the image (NMSE), and emitters anywhere for single frames (Jaccard).
The settings with the lowest NMSE after the best blur are the defaults of the package; the published
movie is not part of the search.
``fig4`` reconstructs the movie itself with the defaults. All methods are told what the calibration
of the package reads from the movie, and no more.
"registered" is the NMSE with the true positions moved to where it is least: it is lower for images
that are in place already, too, and to be compared with registered figures alone.
"""

import itertools
import json
import time

import numpy as np
from scipy.ndimage import gaussian_filter

import deepstorm
from deepstorm.baselines.cel0 import Cel0, Cel0Settings
from deepstorm.baselines.falcon import Falcon, FalconSettings
from deepstorm.baselines.imaging import ImagingConditions
from deepstorm.baselines.richardson_lucy import RichardsonLucySettings, deconvolve_mean
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.evaluation.images import blurred_nmse, nmse_percent, registered_nmse
from deepstorm.reports.pictures import write_preview
from deepstorm.structures import histogram_image
from movies import FINE_NM, PIXEL_NM, UNIFORM, UPSAMPLING, conditions, exposed, published_movie
from report import print_rows, run

QUICK_FRAMES = 6
FILAMENTS = {"kind": "filaments", "filaments": 5, "waviness_nm": 30.0}
LOCALIZERS = {"cel0": (Cel0, Cel0Settings), "falcon": (Falcon, FalconSettings)}
# What the search tries: every combination.
GRIDS = {
    "cel0": {"penalty": (0.003, 0.01, 0.03, 0.1)},
    "falcon": {
        "penalty": (0.5, 1.0, 2.0, 3.0, 4.0),
        "min_significance": (2.0, 4.0),
        "reweightings": (0, 2),
    },
    "richardson-lucy": {"iterations": (300, 1000, 3000)},
}
SINGLE = ("J50", "chance50", "P50", "R50")  # of single frames of the uniform movie
OPTIONS = {
    "task": ({"choices": ["search", "fig4"]}, "what is done"),
    "--quick": (False, "a few frames; do not quote"),
    "--only": (list(GRIDS), "methods"),
}


def scored(method, changed, frames, truth, *, registered=False):
    """Run a method with settings that are changed; return all figures and the image."""
    calibration = deepstorm.calibrate(frames, pixel_size_nm=PIXEL_NM)
    known, found = ImagingConditions.from_calibration(calibration, PIXEL_NM), None
    shape = tuple(UPSAMPLING * side for side in frames.shape[1:])
    began = time.process_time()
    if method in LOCALIZERS:
        kind, settings = LOCALIZERS[method]
        found = kind(known, settings.model_validate(changed)).localize(frames)
        image = histogram_image(found, shape, FINE_NM)
    else:
        image = deconvolve_mean(frames, known, RichardsonLucySettings(**changed))
    seconds = time.process_time() - began
    exact = histogram_image(truth, shape, FINE_NM)
    best = blurred_nmse(image, exact)
    figures = {"NMSE [%]": nmse_percent(image, exact), "blurred": best.nmse_percent}
    figures["by [nm]"] = best.sigma_px * FINE_NM
    if registered:
        blurred = gaussian_filter(image, best.sigma_px, mode="constant")
        for name, each in (("registered", image), ("both", blurred)):
            figures[name] = registered_nmse(each, truth, FINE_NM).nmse_percent
    if found is not None:
        figures["emitters/true"] = len(found) / len(truth)
        near, wide = (score_emitters(found, truth, radius) for radius in (50.0, 100.0))
        figures |= {"J50": near.jaccard, "chance50": near.chance_jaccard or 0.0}
        figures |= {"P50": near.precision, "R50": near.recall}
        figures |= {"J100": wide.jaccard, "chance100": wide.chance_jaccard or 0.0}
    return figures | {"CPU s/frame": seconds / len(frames)}, image


def search(method, chosen):
    """Print every combination's figures, only the ends of each range if quick; and the best."""
    sides = {"height_px": 32, "width_px": 32}
    movies = []
    for seed, (frames, scene) in enumerate(((40, FILAMENTS), (8, UNIFORM)), 1):
        settings = conditions(scene, 5.5, QUICK_FRAMES if chosen.quick else frames, **sides)
        counts, movie = exposed(settings, seed)
        movies.append((counts, movie.truth))
    every = GRIDS[method].values()
    ranges = [(values[0], values[-1]) if chosen.quick else values for values in every]

    def rows():
        for values in itertools.product(*ranges):
            changed = dict(zip(GRIDS[method], values, strict=True))
            figures, _ = scored(method, changed, *movies[0])
            if method in LOCALIZERS:
                single, _ = scored(method, changed, *movies[1])
                figures |= {f"uniform {key}": single[key] for key in SINGLE}
            yield {"method": method, "settings": json.dumps(changed)} | figures

    found = print_rows(rows())
    best = min(found, key=lambda each: each["blurred"])
    print(f"\n{method}: lowest NMSE on filaments {best['blurred']:.1f} % with {best['settings']}")
    return found


def fig4(method, chosen):
    """Print the figures of the published movie, and leave a picture beside the JSON."""
    frames, truth = published_movie(QUICK_FRAMES if chosen.quick else None)
    figures, image = scored(method, {}, frames, truth, registered=True)
    if chosen.pictures is not None:
        # Square roots: few bright pixels would hide the rest.
        picture = np.sqrt(gaussian_filter(image, 1.0))
        write_preview(chosen.pictures / f"{method}.png", picture, FINE_NM, overwrite=True)
    return print_rows([{"method": method} | figures])


def measure(chosen):
    """Do what was asked for, by each method."""
    task = search if chosen.task == "search" else fig4
    return {method: task(method, chosen) for method in chosen.only}


if __name__ == "__main__":
    run(__doc__, measure, OPTIONS)
