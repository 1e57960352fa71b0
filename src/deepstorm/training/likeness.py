"""Trainings for one measured movie: on examples with its optics, light and density of emitters."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeVar

from pydantic import Field

from deepstorm.calibration.inspection import Conditions
from deepstorm.config import Settings, validated
from deepstorm.models.architectures import RefinementSettings
from deepstorm.models.card import NOMINAL_PIXEL_NM, NetworkCard
from deepstorm.structures import Estimate
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.simulated import Range, SimulatedExamples
from deepstorm.training.examples.whole_movies import MovieExamples
from deepstorm.training.network import TrainingSettings
from deepstorm.training.refiner import RefinementTraining

AnyExamples = TypeVar("AnyExamples", bound=SimulatedExamples)

# A quantity is drawn from two of its uncertainties to either side of what was measured, and at
# least from as far as these factors: emitters and places of one movie differ.
CERTAIN = 2.0
WIDTH_FACTOR, LIGHT_FACTOR, BACKGROUND_FACTOR = 1.04, 1.4, 1.3
# What is less certain than this factor is as good as not measured.
MOST_FACTOR = 4.0
# Frames differ, and a structure is denser here than there: parts of the local density.
LEAST_DENSITY, MOST_DENSITY = 0.2, 1.2
LEAST_UNEVENNESS, MORE_UNEVENNESS = 0.05, 1.5
LEAST_CALIBRATION_ERROR = 0.05

# Parts of the time that a network's training and its refiner's may take; where the network stays as
# it is, its refiner has both. The rest is for looking at the movie and for comparing.
NETWORK_SHARE, REFINER_SHARE = 0.4, 0.45
# A network that has been trained learns what is special about a movie at a lower rate.
FRESH_RATE, GOING_ON_RATE = 1e-3, 3e-4
FALL = 30.0


class AdaptSettings(Settings):
    """How a network is adapted to a movie.

    Parameters
    ----------
    tune : str
        ``refiner`` leaves the network that sees single frames as it is; ``all`` trains both.
    from_scratch : bool
        Whether both start from drawn weights.
    structures : str
        ``own`` lets most simulated movies show pieces of the movie's own first reconstruction,
        turned, mirrored and zoomed at random, beside structures of every kind; ``any`` shows the
        latter alone.
    structures_share : float
        Which part ``own`` are.
    time_budget_s : float
        Seconds that everything may take, about.
    steps : int, optional
        Number of batches of each training, however long they take; the result can be repeated
        exactly then. Together with it ``movies`` counts, which a time cuts short.
    movies : int
        Simulated movies for the refiner to learn from, at most.
    seed : int
    patch_px, movie_frames : int
        Size of simulated movies in camera pixels and frames.
    validation_movies, compared_movies : int
        Movies by which the best refiner is chosen, and others on which it is compared with the
        network from before.
    """

    tune: Literal["refiner", "all"] = "refiner"
    from_scratch: bool = False
    structures: Literal["own", "any"] = "own"
    structures_share: float = Field(0.7, ge=0, le=1)
    time_budget_s: float = Field(600.0, gt=0)
    steps: int | None = Field(None, ge=1)
    movies: int = Field(2000, ge=1, le=100_000)
    seed: int = Field(1, ge=0, lt=2**32)
    patch_px: int = Field(40, ge=8, le=512, multiple_of=4)
    movie_frames: int = Field(300, ge=4, le=10_000)
    validation_movies: int = Field(12, ge=1, le=1000)
    compared_movies: int = Field(10, ge=2, le=1000)

    @property
    def trains_network(self) -> bool:
        """Whether the network itself is trained, besides its refiner."""
        return self.from_scratch or self.tune == "all"

    def examples(self, movie: Conditions, structures_path: str | None) -> MovieExamples:
        """Return the conditions of simulated movies like a measured one."""
        base = MovieExamples(
            patch_px=self.patch_px,
            frames_per_scene=self.movie_frames,
            least_emitters=2 * self.movie_frames,
            structures_path=structures_path,
            structures_share=self.structures_share,
        )
        return like(base, movie)

    def network_training(self, movie: Conditions, card: NetworkCard, path: str) -> TrainingSettings:
        """Return the training of a network of the same architecture as the one in a file."""
        return TrainingSettings(
            name=card.name,
            seed=self.seed,
            start_from=None if self.from_scratch else path,
            **self._length(NETWORK_SHARE),
            averaging=0.995,
            validate_every=200,
            network=card.network,
            scaling=card.scaling,
            rendering=card.rendering,
            examples=like(SimulatedExamples(patch_px=self.patch_px), movie),
            schedule=self._schedule(),
        )

    def refiner_training(
        self, examples: MovieExamples, card: NetworkCard, path: str, start_from: str
    ) -> RefinementTraining:
        """Return the training of a refiner.

        Parameters
        ----------
        examples : MovieExamples
        card : NetworkCard
            Of the network from before, whose refiner it starts from if there is one.
        path : str
            The network that gets the refiner.
        start_from : str
            The network from before.
        """
        frames, has_refiner = self.movie_frames, card.refinement is not None
        share = REFINER_SHARE + (0 if self.trains_network else NETWORK_SHARE)
        return RefinementTraining(
            seed=self.seed,
            network=path,
            start_from=start_from if has_refiner and not self.from_scratch else None,
            refinement=card.refinement or RefinementSettings(),
            movies=self.movies,
            validation_movies=self.validation_movies,
            lengths=tuple(sorted({max(frames * part // 6, 1) for part in (1, 2, 4, 6)})),
            **self._length(share),
            crop_px=min(160, 8 * self.patch_px),
            averaging=0.98,
            validate_every=50,
            examples=examples,
            schedule=self._schedule(),
        )

    def _length(self, share: float) -> dict[str, Any]:
        """Return the settings of how long a training lasts that has a share of the time."""
        if self.steps is not None:
            return {"steps": self.steps}
        return {"time_budget_s": share * self.time_budget_s}

    def _schedule(self) -> CosineSchedule:
        rate = FRESH_RATE if self.from_scratch else GOING_ON_RATE
        return CosineSchedule(peak_rate=rate, final_rate=rate / FALL, warmup_steps=30)


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

    Raises
    ------
    InputError
        If a measurement is beyond what can be simulated.
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
    narrowed = examples.model_dump() | changes | others
    return validated(type(examples), narrowed, "a simulation like the movie")


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
