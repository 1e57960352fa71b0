"""Compare the localizer of single emitters with Picasso, on the same simulated frames.

    python benchmarks/outside_check.py [--emitters N] [--seed N] [--cache FOLDER | --python PYTHON]

Picasso (Schnitzbauer et al., Nature Protocols 12, 1198 (2017)) goes into an environment of its own,
made once with pip; with --python one that is there already is used. Both are told what is true of
the camera. Picasso's threshold, the net gradient, is the one with the highest Jaccard index against
the truth, for each row anew: better than anybody can choose it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Float64Array
from deepstorm.evaluation.emitters import EmitterScores, score_emitters
from deepstorm.localization.localize import localize_frames
from deepstorm.simulation.camera import EmccdCamera
from deepstorm.structures import Localizations
from localizing import BACKGROUND, PIXEL_NM, Camera, cameras, simulated, within

PICASSO = ("picassosr==0.11.3",)
WORKER = Path(__file__).with_name("picasso_worker.py")
LONGEST_S = 900
BOX_PX = 9
RADIUS_NM = 250.0
CONDITIONS = ((500.0, 0.05), (2500.0, 0.05), (10_000.0, 0.05), (2500.0, 1.0))
# Part of an emitter's photons from which thresholds are sought.
LEAST_GRADIENT, THRESHOLDS = 0.05, 60


def picasso_python(cache: Path | None) -> Path:
    """Return the interpreter of an environment with Picasso."""
    sys.path.append(str(Path(__file__).with_name("speed")))
    from environments import default_cache, python_with

    return Path(python_with(PICASSO, cache or default_cache()))


def picasso_camera(camera: Camera) -> dict[str, float]:
    """Return what Picasso is told of a camera."""
    if isinstance(camera.camera, EmccdCamera):
        gain, per_adu = camera.camera.em_gain, camera.camera.electrons_per_adu
    else:
        gain, per_adu = 1.0, 1.0 / float(np.mean(camera.noise.adu_per_photon))
    return {
        "Baseline": float(np.mean(camera.noise.zero_adu)),
        "Sensitivity": per_adu,
        "Gain": gain,
        "Pixelsize": PIXEL_NM,
    }


def by_picasso(
    python: Path, frames: npt.NDArray[np.uint16], camera: Camera, least_net_gradient: float
) -> tuple[Localizations, Float64Array]:
    """Return what Picasso finds, with the net gradient of each spot."""
    asked: dict[str, Any] = {"camera": picasso_camera(camera), "box_px": BOX_PX}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("frames.npy", "parameters.json", "found.npz")]
        np.save(paths[0], frames)
        paths[1].write_text(json.dumps(asked | {"least_net_gradient": least_net_gradient}))
        command = [str(python), str(WORKER), *map(str, paths)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
        if done.returncode:
            sys.exit(f"outside_check: Picasso failed: {done.stderr.strip().splitlines()[-1:]}")
        with np.load(paths[2]) as found:
            table = Localizations(
                found["frame"].astype(np.int64), found["x_px"] * PIXEL_NM, found["y_px"] * PIXEL_NM
            )
            return table, found["net_gradient"].astype(np.float64)


def best_by_picasso(
    python: Path,
    frames: npt.NDArray[np.uint16],
    camera: Camera,
    photons: float,
    truth: Localizations,
) -> EmitterScores:
    """Return Picasso's scores with the best threshold."""
    table, gradient = by_picasso(python, frames, camera, LEAST_GRADIENT * photons)
    thresholds = np.quantile(gradient, np.linspace(0, 0.98, THRESHOLDS))
    scores = [
        score_emitters(within(table.select(gradient >= threshold)), truth, RADIUS_NM)
        for threshold in thresholds
    ]
    return max(scores, key=lambda score: score.jaccard)


def row(name: str, camera: Camera, photons: float, density: float, scores: EmitterScores) -> str:
    """Return one line of the table."""
    rmse = "–" if scores.rmse_nm is None else f"{scores.rmse_nm / np.sqrt(2):.2f}"
    cells = [
        camera.name,
        f"{photons:.0f}",
        f"{density:g}",
        name,
        f"{100 * scores.recall:.1f}",
        str(scores.false_positives),
        f"{scores.jaccard:.3f}",
        rmse,
        f"{camera.bound_nm(photons):.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--emitters", type=int, default=2000, help="per row, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder for the environment")
    parser.add_argument("--python", type=Path, help="an interpreter that has Picasso")
    chosen = parser.parse_args()
    python = chosen.python or picasso_python(chosen.cache)
    print(
        "| camera | photons | per µm² | by | found [%] | false | Jaccard | RMSE per axis [nm] | "
        f"bound, alone, background {BACKGROUND:g} [nm] |\n" + "|---" * 9 + "|"
    )
    for camera in cameras():
        for photons, density in CONDITIONS:
            movie, frames = simulated(camera, photons, density, chosen.emitters, chosen.seed)
            truth = within(movie.truth)
            ours = score_emitters(
                within(localize_frames(frames, PIXEL_NM, camera.noise)), truth, RADIUS_NM
            )
            print(row("deepstorm", camera, photons, density, ours), flush=True)
            theirs = best_by_picasso(python, frames, camera, photons, truth)
            print(row("Picasso", camera, photons, density, theirs), flush=True)


if __name__ == "__main__":
    main()
