"""Localizations on uniform fields: how many are found, how precisely, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from measuring import Run, bounds_nm, found_by, reconstructed, short_name
from report import Row, Table, Value, against_targets

import deepstorm
from deepstorm.evaluation.position_errors import position_errors, root_mean_square
from deepstorm.reconstruction.emitters.peaks import PeakSettings
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations

DENSITIES_PER_UM2 = (1, 3, 6)
QUICK_DENSITIES_PER_UM2 = (1, 6)
PHOTONS = (1000, 3000)
BACKGROUNDS = (20, 500)
EMITTERS = 10_000
SIGMA_NM = 120.0
BRIGHTNESS_SPREAD = 0.3
RADII_NM = (100, 50)
# Jaccard within 100 nm at 3000 photons and background 500.
TARGETS = {1: {"at_least": 0.88, "aim": 0.95}, 6: {"at_least": 0.55, "aim": 0.70}}
LARGEST_ERROR_OVER_BOUND = 1.3


@dataclass(frozen=True)
class Condition:
    """One movie."""

    density_per_um2: int
    photons: int
    background_photons: int

    def settings(self, frames: int) -> SimulationSettings:
        """Return a uniform field whose spots are 1.1 to 1.3 pixels wide, Poisson noise."""
        return SimulationSettings.model_validate(
            {
                "frames": frames,
                "density_per_um2": self.density_per_um2,
                "scene": UniformScene(),
                "brightness": {
                    "mean_photons": self.photons,
                    "relative_spread": BRIGHTNESS_SPREAD,
                },
                "psf": {"sigma_nm": SIGMA_NM, "relative_spread": 0.04},
                "background": {"mean_photons": self.background_photons},
                "camera": {"kind": "ideal"},
            }
        )


def measure(run: Run) -> list[Table]:
    """Score every condition."""
    densities = QUICK_DENSITIES_PER_UM2 if run.quick else DENSITIES_PER_UM2
    conditions = [Condition(*each) for each in product(densities, PHOTONS, BACKGROUNDS)]
    rows: list[Row] = []
    targets: list[Row] = []
    for seed, condition in enumerate(conditions):
        frames = run.frames(EMITTERS, condition.density_per_um2)
        movie = deepstorm.simulate(condition.settings(frames), seed=seed)
        for network in run.networks:
            found = found_by(reconstructed(movie, network))
            row = _row(condition, short_name(network), found, movie.truth)
            rows.append(row)
            targets += _against_targets(condition, row)
    note = (
        "64 × 64 pixels of 100 nm, Poisson noise, sigma 120 nm ± 4 %, relative spread of the "
        f"brightness {BRIGHTNESS_SPREAD:g}, about {EMITTERS} emitters each (a tenth if quick). "
        "All localizations that a reconstruction gives by default, that is, of a confidence of "
        f"{PeakSettings().min_confidence:g} or more. By chance: against the truth of other frames. "
        "Errors are root mean squares per axis (the lateral "
        "RMSE over √2) of pairs within 100 nm; bound: root mean square of the Cramér-Rao bounds "
        "per axis of the emitters that were found, each as if alone; stated: of uncertainty_nm; "
        "core: of the Gaussian with the median error, which wrong pairs do not reach."
    )
    return [
        Table("Localizations on uniform fields", note, rows),
        Table("Localizations on uniform fields: targets", "From the table above.", targets),
    ]


def _row(condition: Condition, name: str, found: Localizations, truth: Localizations) -> Row:
    row: Row = {
        "network": name,
        "/µm²": condition.density_per_um2,
        "photons": condition.photons,
        "background": condition.background_photons,
    }
    for radius_nm in RADII_NM:
        scores = deepstorm.evaluate(found, truth, radius_nm=radius_nm).figures()
        row[f"Jaccard {radius_nm} nm"] = scores["jaccard"]
        row[f"by chance, {radius_nm} nm"] = scores["chance_jaccard"]
    errors = position_errors(found, truth)
    bound = root_mean_square(bounds_nm(truth.select(errors.truth_index), SIGMA_NM))
    row |= {
        "error [nm]": errors.rms_nm,
        "bound [nm]": bound,
        "error / bound": errors.rms_nm / bound if errors.rms_nm is not None else None,
        "stated [nm]": errors.stated_rms_nm,
        "error / stated": errors.actual_over_stated,
        "core error [nm]": errors.core_nm,
    }
    return row


def _against_targets(condition: Condition, row: Row) -> list[Row]:
    """Return what is wanted of this condition, if anything is."""
    name, density = str(row["network"]), condition.density_per_um2
    light = (
        f"{density} /µm², {condition.photons} photons, background {condition.background_photons}"
    )
    found = []
    if condition.photons == 3000 and condition.background_photons == 500 and density in TARGETS:
        wanted: dict[str, Value] = dict(TARGETS[density])
        figure = f"Jaccard 100 nm, {light}"
        found.append(against_targets(figure, name, row["Jaccard 100 nm"], **wanted))
    if density == 1:
        figure = f"error / bound, {light}"
        found.append(
            against_targets(figure, name, row["error / bound"], aim=LARGEST_ERROR_OVER_BOUND)
        )
    return found
