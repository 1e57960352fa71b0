"""Calibrate simulated movies over the whole range of conditions, and compare with the truth.

    python benchmarks/calibration.py [--conditions N] [--frames N] [--seed N] [--brief]

Density, photons, background and width of the PSF are spread evenly (on logarithmic scales) over the
range; cameras and scenes alternate. Prints a row for each condition, and for each quantity the
median and the 90 % error, and how often the truth lies within two stated uncertainties. Errors are
counted over all conditions, and over those in which the stated uncertainty is below a quarter of
the value.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, IdealCamera, ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import FilamentScene, UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Calibration, Estimate

QUANTITIES = (
    "sigma_px",
    "adu_per_photon",
    "background_photons",
    "signal_photons",
    "density_per_px",
    "background_unevenness",
)
IDENTIFIABLE = 0.25
PIXEL_NM = 100.0
CAMERAS: tuple[AnyCamera, ...] = (EmccdCamera(), ScmosCamera(), IdealCamera())
# An EMCCD's effective photons are half of the detected ones; the read noise of the sCMOS, whose
# mean variance is that of a log-normal distribution, counts as background.
EFFECTIVE_PHOTONS = {"emccd": 0.5, "scmos": 1.0, "ideal": 1.0}
READ_VARIANCE = {"emccd": 0.0, "scmos": 2.5, "ideal": 0.0}


@dataclass(frozen=True)
class Condition:
    """A movie to calibrate."""

    density_per_um2: float
    photons: float
    background: float
    sigma_px: float
    camera: AnyCamera
    is_uniform: bool

    def settings(self, frames: int) -> SimulationSettings:
        """Return the settings of its simulation."""
        return SimulationSettings(
            frames=frames,
            pixel_size_nm=PIXEL_NM,
            density_per_um2=self.density_per_um2,
            scene=UniformScene() if self.is_uniform else FilamentScene(),
            brightness=Brightness(mean_photons=self.photons),
            psf=GaussianPsf(sigma_nm=PIXEL_NM * self.sigma_px),
            background=Background(mean_photons=self.background, unevenness=0.1),
            camera=self.camera,
        )

    def label(self) -> str:
        """Describe the condition in a few words."""
        scene = "uniform" if self.is_uniform else "filaments"
        return (
            f"{self.camera.kind} {scene} {self.density_per_um2:.2g}/µm² {self.photons:.0f} on "
            f"{self.background:.0f}, sigma {self.sigma_px:.2f}"
        )


def conditions(count: int, seed: int) -> list[Condition]:
    """Spread conditions evenly over the range."""
    points = qmc.Halton(4, seed=seed).random(count)
    lowest, highest = np.log([0.1, 100.0, 1.0, 0.8]), np.log([10.0, 10_000.0, 1000.0, 2.2])
    values = np.exp(lowest + points * (highest - lowest))
    return [
        Condition(density, photons, background, sigma_px, CAMERAS[i % 3], i % 2 == 0)
        for i, (density, photons, background, sigma_px) in enumerate(values.tolist())
    ]


def calibrated(
    condition: Condition, frames: int, seed: int
) -> tuple[Calibration, dict[str, float], float]:
    """Simulate and calibrate; return the calibration, the truth and the seconds it took."""
    movie = simulate_movie(condition.settings(frames), np.random.default_rng(seed))
    counts = np.concatenate(list(movie.frames()))
    began = time.process_time()
    calibration = calibrate_frames(counts)
    seconds = time.process_time() - began
    camera = condition.camera
    effective, read = EFFECTIVE_PHOTONS[camera.kind], READ_VARIANCE[camera.kind]
    truth = {
        "sigma_px": condition.sigma_px,
        "adu_per_photon": camera.noise_line()[1],
        "background_photons": effective * float(movie.background.mean()) + read,
        "signal_photons": effective * float(movie.truth.columns()["photons"].mean()),
        "density_per_px": len(movie.truth) / counts.size,
        "background_unevenness": float(movie.background.std() / movie.background.mean()),
    }
    return calibration, truth, seconds


def row(estimates: dict[str, Estimate], truth: dict[str, float]) -> str:
    """Return true, estimated and stated uncertainty of every quantity."""
    return " | ".join(
        f"{truth[name]:.3g}: {estimates[name].value:.3g} ± {estimates[name].uncertainty:.2g}"
        for name in QUANTITIES
    )


def summary(name: str, values: list[tuple[Estimate, float]]) -> str:
    """Return the errors of a quantity, as a row."""
    error = np.array([abs(estimate.value / truth - 1) for estimate, truth in values])
    stated = np.array([estimate.uncertainty for estimate, _ in values])
    found = np.array([estimate.value for estimate, _ in values])
    true = np.array([truth for _, truth in values])
    known = stated < IDENTIFIABLE * np.abs(found)
    within = np.abs(found - true) <= 2 * stated
    cells = [f"{100 * q:.1f}" for q in np.percentile(error, [50, 90])]
    cells += [f"{known.sum()} of {len(known)}"]
    cells += [f"{100 * q:.1f}" for q in np.percentile(error[known], [50, 90])] if any(known) else []
    cells += [f"{100 * within.mean():.0f}", f"{100 * within[known].mean():.0f}"]
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conditions", type=int, default=60)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brief", action="store_true", help="print the summary alone")
    arguments = parser.parse_args()
    results: dict[str, list[tuple[Estimate, float]]] = {name: [] for name in QUANTITIES}
    seconds = []
    if not arguments.brief:
        print("| condition | " + " | ".join(QUANTITIES) + " |\n" + "|---" * 7 + "|")
    chosen = conditions(arguments.conditions, arguments.seed)
    for number, condition in enumerate(chosen, 1000 * (arguments.seed - 1)):
        calibration, truth, taken = calibrated(condition, arguments.frames, number)
        estimates = {name: getattr(calibration, name) for name in QUANTITIES}
        for name in QUANTITIES:
            results[name].append((estimates[name], truth[name]))
        seconds.append(taken)
        if not arguments.brief:
            print(f"| {condition.label()} | {row(estimates, truth)} |", flush=True)
    print(
        "\n| quantity | median error [%] | 90 % error [%] | identifiable | median error of these "
        "[%] | 90 % error of these [%] | truth within 2 uncertainties [%] | of these [%] |\n"
        + "|---" * 8
        + "|"
    )
    for name, values in results.items():
        print(summary(name, values))
    print(f"\n{np.median(seconds):.2f} s of processor time for a movie (median)")


if __name__ == "__main__":
    main()
