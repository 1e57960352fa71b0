"""Simulated examples like a measured movie: its optics, light and density of emitters."""

from __future__ import annotations

import math
from typing import TypeVar

from deepstorm.models.validity import NOMINAL_PIXEL_NM, Conditions
from deepstorm.structures import Estimate
from deepstorm.training.examples import Range, SimulatedExamples

AnyExamples = TypeVar("AnyExamples", bound=SimulatedExamples)

# A quantity is drawn from two of its uncertainties to either side of what was measured, and at
# least from as far as these factors: emitters and places of one movie differ.
CERTAIN = 2.0
WIDTH_FACTOR, LIGHT_FACTOR, BACKGROUND_FACTOR = 1.04, 1.4, 1.3
# What is less certain than this factor is as good as not measured.
MOST_FACTOR = 4.0
# Frames differ, and a structure is denser here than there: parts of the local density.
LEAST_DENSITY, MOST_DENSITY = 0.2, 1.5
LEAST_UNEVENNESS, MORE_UNEVENNESS = 0.05, 1.5
LEAST_CALIBRATION_ERROR = 0.05


def like(examples: AnyExamples, movie: Conditions) -> AnyExamples:
    """Narrow the conditions of simulated examples to those of a movie.

    What is imaged stays as various as it was: a network that knew no other structure than the
    movie's would draw it everywhere.

    Parameters
    ----------
    examples : SimulatedExamples
        What was not measured keeps the range that it has here.
    movie : Conditions

    Returns
    -------
    SimulatedExamples
        Of the same type; light is in effective photons, as a movie tells it.
    """
    measured = movie.calibration
    limits = {
        "sigma_px": _around(measured.sigma_px, WIDTH_FACTOR),
        "mean_photons": _around(measured.signal_photons, LIGHT_FACTOR),
        "background_photons": _around(measured.background_photons, BACKGROUND_FACTOR),
        "local_density_per_um2": _densities(movie.local_density_per_px),
        "unevenness": _unevenness(measured.background_unevenness),
    }
    changes = {name: found for name, found in limits.items() if found is not None}
    error = max(LEAST_CALIBRATION_ERROR, _relative_uncertainty(measured.adu_per_photon))
    others = {
        "light": "effective",
        # The background was measured with the light: no other limit is needed.
        "background_share": 10.0,
        "calibration_error": min(error, examples.calibration_error),
    }
    return type(examples).model_validate(examples.model_dump() | changes | others)


def _relative_uncertainty(estimate: Estimate) -> float:
    return estimate.uncertainty / estimate.value if estimate.value > 0 else math.inf


def _around(estimate: Estimate, least_factor: float) -> Range | None:
    """Return a range around a measurement, or nothing where it is too uncertain."""
    factor = max(1 + CERTAIN * _relative_uncertainty(estimate), least_factor)
    if factor > MOST_FACTOR:
        return None
    return estimate.value / factor, estimate.value * factor


def _densities(per_px: Estimate) -> Range | None:
    if CERTAIN * _relative_uncertainty(per_px) > MOST_FACTOR:
        return None
    per_um2 = per_px.value * (1000 / NOMINAL_PIXEL_NM) ** 2
    return LEAST_DENSITY * per_um2, MOST_DENSITY * per_um2


def _unevenness(estimate: Estimate) -> Range | None:
    if not math.isfinite(estimate.uncertainty):
        return None
    return 0.0, min(max(LEAST_UNEVENNESS, MORE_UNEVENNESS * estimate.value), 1.0)
