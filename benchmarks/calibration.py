"""Calibrate simulated movies over the whole range of conditions, and compare with the truth.

A row for each condition: true, found and stated uncertainty; for each quantity the errors over all
conditions and over the identifiable ones, in which the stated uncertainty is below a quarter of the
value, and how often the truth lies within two of it.
"""

import time

import numpy as np
from scipy.stats import qmc

from deepstorm.calibration.calibrate import calibrate_frames
from movies import PIXEL_NM, UNIFORM, conditions, exposed
from report import print_rows, row, run

SCENES = UNIFORM, {"kind": "filaments"}
# By camera: effective photons over detected ones, and read noise that counts as background; that of
# the sCMOS has the mean variance of a log-normal distribution.
CAMERAS = {"emccd": (0.5, 0.0), "scmos": (1.0, 2.5), "ideal": (1.0, 0.0)}
QUANTITIES = (
    "sigma_px | adu_per_photon | background_photons | signal_photons | density_per_px"
    " | background_unevenness"
)
SUMMARY = (
    "quantity | identifiable | median error [%] | 90 % error [%] | truth within 2 uncertainties [%]"
    " | median error of identifiable [%] | 90 % error of these [%] | within 2 of these [%]"
)
OPTIONS = {
    "--conditions": (60, "movies"),
    "--frames": (150, "of each"),
    "--seed": (1, "of conditions and movies"),
}


def settings(count, frames, seed):
    """Spread conditions evenly over the range."""
    points = qmc.Halton(4, seed=seed).random(count)
    lowest, highest = np.log([0.1, 100.0, 1.0, 0.8]), np.log([10.0, 10_000.0, 1000.0, 2.2])
    values = np.exp(lowest + points * (highest - lowest)).tolist()
    for number, (density, photons, background, sigma_px) in enumerate(values):
        yield conditions(
            SCENES[number % 2],
            density,
            frames,
            brightness={"mean_photons": photons},
            psf={"sigma_nm": PIXEL_NM * sigma_px},
            background={"mean_photons": background, "unevenness": 0.1},
            camera={"kind": list(CAMERAS)[number % 3]},
        )


def measured(told, seed, results, seconds):
    """Simulate and calibrate; note found, uncertainty and truth, and seconds; return a row."""
    counts, movie = exposed(told, seed)
    began = time.process_time()
    calibration = calibrate_frames(counts)
    seconds.append(time.process_time() - began)
    (effective, read), level = CAMERAS[told.camera.kind], movie.background
    sigma_px, signal = told.psf.sigma_nm / PIXEL_NM, movie.truth.columns()["photons"].mean()
    true = sigma_px, told.camera.noise_line()[1], effective * level.mean() + read
    true += effective * signal, len(movie.truth) / counts.size, level.std() / level.mean()
    cells = {}
    for name, truth in row(QUANTITIES, *true).items():
        found = getattr(calibration, name)
        results.setdefault(name, []).append((found.value, found.uncertainty, float(truth)))
        cells[name] = f"{truth:.3g}: {found.value:.3g} ± {found.uncertainty:.2g}"
    label = f"{told.camera.kind} {told.scene.kind} {told.density_per_um2:.2g}/µm² "
    label += f"{told.brightness.mean_photons:.0f} on {told.background.mean_photons:.0f}, "
    return {"condition": label + f"sigma {sigma_px:.2f}"} | cells


def summary(name, values):
    """Return the errors of a quantity."""
    found, stated, true = np.array(values).T
    known = stated < 0.25 * np.abs(found)
    cells = []
    for chosen in (known | True, known):
        error = 100 * np.abs(found / true - 1)[chosen]
        within = (np.abs(found - true) <= 2 * stated)[chosen]
        figures = (*np.percentile(error, [50, 90]), 100 * within.mean()) if len(error) else ()
        cells += [float(figure) for figure in figures] or [None] * 3
    return row(SUMMARY, name, f"{known.sum()} of {len(known)}", *cells)


def measure(chosen):
    """Print the tables."""
    results, seconds = {}, []
    every = settings(chosen.conditions, chosen.frames, chosen.seed)
    numbered = enumerate(every, 1000 * (chosen.seed - 1))
    rows = print_rows(measured(told, number, results, seconds) for number, told in numbered)
    errors = print_rows(summary(name, values) for name, values in results.items())
    print(f"\n{np.median(seconds):.2f} s of processor time for a movie (median)")
    return {"conditions": rows, "errors": errors, "seconds": seconds}


if __name__ == "__main__":
    run(__doc__, measure, OPTIONS)
