"""Simulated movies of which a part may be hidden, and what a reconstruction finds in the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

import deepstorm
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations

WHITE = 65535
# Emitters are matched within this part of a spot's standard deviation.
RADIUS_SIGMA = 0.5
# Within this distance of what is hidden, emitters may be found but need not be.
FRINGE_PX = 2
CALIBRATED = (
    *("sigma_px", "adu_per_photon", "background_photons", "signal_photons"),
    "density_per_um2",
)

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass
class Take:
    """A movie from its light to its file, and what of its truth is still to be seen.

    Parameters
    ----------
    settings : SimulationSettings
    seed : int
        Of the simulation.
    truth : Localizations
        All emitters in the field.
    light : ndarray, shape (frame, y, x)
        Expected photons.
    background : ndarray, shape (y, x)
        The part of it that does not come from emitters.
    shown : ndarray, shape (frame, y, x)
        1 where emitters are to be found, 0 where none is; between, they may be found.
    counts : ndarray, shape (frame, y, x)
        What the camera makes of the light, and all that comes after it.
    pixel_nm : float
        Size of a pixel of the counts.
    dtype : type
        As which the counts are kept.
    """

    settings: SimulationSettings
    seed: int
    truth: Localizations
    light: Array
    background: Array
    shown: Array
    pixel_nm: float
    counts: Array = field(default_factory=lambda: np.empty(0))
    dtype: type[np.generic] = np.uint16

    @classmethod
    def of(cls, settings: SimulationSettings, seed: int) -> Take:
        """Simulate what enters the camera."""
        movie = simulate_movie(settings, np.random.default_rng(seed))
        light = movie.expected_photons(0, settings.frames)
        shown, pixel_nm = np.ones(light.shape), settings.pixel_size_nm
        return cls(settings, seed, movie.truth, light, movie.background, shown, pixel_nm)

    def expose(self) -> None:
        """Let the camera see the light; the same seed gives the same noise."""
        counts = self.settings.camera.expose(self.light, np.random.default_rng(self.seed))
        self.counts = np.clip(np.rint(counts), 0, WHITE)

    def frames(self) -> npt.NDArray[Any]:
        """Return the movie as it is kept in a file."""
        if issubclass(self.dtype, np.floating):
            return self.counts.astype(self.dtype)
        kind = np.int32 if self.counts.min() < 0 else self.dtype
        return np.rint(self.counts).astype(kind)

    def visible(self, least: float) -> Localizations:
        """Return the emitters where at least so much is ``shown``."""
        x, y = (nm / self.settings.pixel_size_nm for nm in (self.truth.x_nm, self.truth.y_nm))
        here = self.shown[self.truth.frame, y.astype(int), x.astype(int)]
        return self.truth.select(here >= least)

    def hide(self, hidden: Mask) -> None:
        """Show nothing in some pixels (y, x); around them, and at their edge, it may be seen."""
        around = ndimage.binary_dilation(hidden, iterations=FRINGE_PX)
        within = ndimage.binary_erosion(hidden, iterations=FRINGE_PX, border_value=1)
        self.shown = np.minimum(self.shown, np.where(within, 0.0, np.where(around, 0.5, 1.0)))

    def faint_photons(self) -> float:
        """Return a background that is a small part of an emitter's light, or what there is."""
        told = self.settings.background.mean_photons
        return max(told, 0.02 * self.settings.brightness.mean_photons)


def measured(take: Take) -> dict[str, Any]:
    """Reconstruct a movie; return scores and codes of warnings, or why it was refused.

    ``true`` is how many emitters have to be found, and how many may be.
    """
    try:
        result = deepstorm.reconstruct(take.frames(), pixel_size_nm=take.pixel_nm)
    except deepstorm.InputError as error:
        return {"refused": str(error), "codes": ["refused"]}
    radius_nm = RADIUS_SIGMA * take.settings.psf.sigma_nm
    found, may, must = result.localizations, take.visible(0.3), take.visible(1.0)
    scored, wanted = (
        deepstorm.evaluate(found, truth, radius_nm=radius_nm).figures() for truth in (may, must)
    )
    hidden = np.flatnonzero(take.shown.max((1, 2)) == 0)
    calibration = result.record["calibration"]
    return {
        "codes": [caution.code for caution in result.warnings],
        "precision": scored["precision"],
        "recall": wanted["recall"],
        "rows": len(found),
        "rows_in_hidden_frames": int(np.isin(found.frame, hidden).sum()),
        "image": result.record["expected_emitters"],
        "true": [len(must), len(may)],
        "calibration": {name: calibration[name] for name in CALIBRATED},
    }
