"""Calibrate simulated movies over the whole range of conditions, and compare with the truth.

    python benchmarks/calibration.py [--conditions N] [--frames N] [--seed N] [--brief]

Density, photons, background and width of the PSF are spread evenly (on logarithmic scales); cameras
and scenes alternate. A row for each condition: true, found and stated uncertainty; for each
quantity the errors over all conditions and over the identifiable ones, in which the stated
uncertainty is below a quarter of the value, and how often the truth lies within two of it.
"""

import time

import numpy as np
from scipy.stats import qmc

from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from report import parser_of, print_rows, row

PIXEL_NM = 100.0
CAMERAS = ("emccd", "scmos", "ideal")
# Effective photons over detected ones; and the read noise of the sCMOS, whose mean variance is that
# of a log-normal distribution, counts as background.
EFFECTIVE_PHOTONS = {"emccd": 0.5, "scmos": 1.0, "ideal": 1.0}
READ_VARIANCE = {"emccd": 0.0, "scmos": 2.5, "ideal": 0.0}
QUANTITIES = (
    "sigma_px | adu_per_photon | background_photons | signal_photons | density_per_px"
    " | background_unevenness"
)
SUMMARY = (
    "quantity | identifiable | median error [%] | 90 % error [%] | truth within 2 uncertainties [%]"
    " | median error of identifiable [%] | 90 % error of these [%] | within 2 of these [%]"
)


def conditions(count, frames, seed):
    """Spread conditions evenly over the range."""
    points = qmc.Halton(4, seed=seed).random(count)
    lowest, highest = np.log([0.1, 100.0, 1.0, 0.8]), np.log([10.0, 10_000.0, 1000.0, 2.2])
    values = np.exp(lowest + points * (highest - lowest)).tolist()
    for number, (density, photons, background, sigma_px) in enumerate(values):
        told = {"frames": frames, "pixel_size_nm": PIXEL_NM, "density_per_um2": density}
        told["scene"] = {"kind": "filaments" if number % 2 else "uniform"}
        told |= {"brightness": {"mean_photons": photons}, "psf": {"sigma_nm": PIXEL_NM * sigma_px}}
        told["background"] = {"mean_photons": background, "unevenness": 0.1}
        yield SimulationSettings.model_validate(told | {"camera": {"kind": CAMERAS[number % 3]}})


def measured(told, seed, results, seconds):
    """Simulate and calibrate; note found, uncertainty and truth, and seconds; return a row."""
    movie = simulate_movie(told, np.random.default_rng(seed))
    counts = np.concatenate(list(movie.frames()))
    began = time.process_time()
    calibration = calibrate_frames(counts)
    seconds.append(time.process_time() - began)
    kind, level = told.camera.kind, movie.background
    signal, sigma_px = movie.truth.columns()["photons"].mean(), told.psf.sigma_nm / PIXEL_NM
    truth = {
        "sigma_px": sigma_px,
        "adu_per_photon": told.camera.noise_line()[1],
        "background_photons": EFFECTIVE_PHOTONS[kind] * level.mean() + READ_VARIANCE[kind],
        "signal_photons": EFFECTIVE_PHOTONS[kind] * signal,
        "density_per_px": len(movie.truth) / counts.size,
        "background_unevenness": level.std() / level.mean(),
    }
    cells = []
    for name, true in truth.items():
        found = getattr(calibration, name)
        results.setdefault(name, []).append((found.value, found.uncertainty, float(true)))
        cells.append(f"{true:.3g}: {found.value:.3g} ± {found.uncertainty:.2g}")
    label = (
        f"{kind} {told.scene.kind} {told.density_per_um2:.2g}/µm² "
        f"{told.brightness.mean_photons:.0f} on {told.background.mean_photons:.0f}, "
        f"sigma {sigma_px:.2f}"
    )
    return row(f"condition | {QUANTITIES}", label, *cells)


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


def main() -> None:
    """Print the tables."""
    parser = parser_of("calibration", __doc__)
    parser.add_argument("--conditions", type=int, default=60)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brief", action="store_true", help="print the summary alone")
    chosen = parser.parse_args()
    results, seconds = {}, []
    every = conditions(chosen.conditions, chosen.frames, chosen.seed)
    numbered = enumerate(every, 1000 * (chosen.seed - 1))
    rows = (measured(told, number, results, seconds) for number, told in numbered)
    list(rows) if chosen.brief else print_rows(rows)
    print_rows(summary(name, values) for name, values in results.items())
    print(f"\n{np.median(seconds):.2f} s of processor time for a movie (median)")


if __name__ == "__main__":
    main()
