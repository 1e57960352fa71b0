"""Training of a refiner: a network's sums over simulated movies, and the truth they stand for.

Two phases, both of which can be stopped at any time: the movies are made and kept, then the refiner
learns from crops of them. The network itself stays as it is.
"""

from __future__ import annotations

import math
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from deepstorm.errors import InputError
from deepstorm.models.architectures import RefinementSettings
from deepstorm.models.checkpoint import save_network
from deepstorm.models.refinement import Refiner
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import DEFAULT_NETWORK, open_network
from deepstorm.training.course.distributed import ALONE, Team
from deepstorm.training.course.folder import BEST_NAME, MOVIES_FOLDER
from deepstorm.training.course.learner import seeded
from deepstorm.training.course.loop import Course, OnMovie
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.course.settings import CourseSettings, Decay, Name, Steps
from deepstorm.training.examples.crops import Crops
from deepstorm.training.examples.protocol import TRAINING, VALIDATION, check_side
from deepstorm.training.examples.summed_movies import (
    KeptMovie,
    SummedMovieSource,
    discard_others,
    find_movie,
    keep_movie,
)
from deepstorm.training.examples.whole_movies import MovieExamples
from deepstorm.training.losses import relative_squared_error

STREAM_NAMES = {TRAINING: "training", VALIDATION: "validation"}
RECORD_KEY = "refinement"
# Part of a given time in which movies are made, and how many are needed in any case.
MOVIES_SHARE = 0.45
FEWEST_MOVIES = 8


class RefinementTraining(CourseSettings):
    """A whole training of a refiner: for which network, on what, how long.

    Parameters that are not here are those of
    :class:`~deepstorm.training.course.settings.CourseSettings`.

    Parameters
    ----------
    name : str
        The network keeps its own.
    start_from : str, optional
        Its refiner is the initial one.
    network : str
        The network whose sums are refined, by embedded name or file. A refiner that it has is
        replaced.
    movies, validation_movies : int
        Simulated movies to learn from, and others to validate on. Where a time is given, fewer are
        made to learn from if nearly half of it passes with them.
    lengths : tuple of int
        Numbers of frames over which sums are taken, ascending; the last is the whole movie.
    crop_px, margin_px : int
        Side of a crop and width of its margin, in super-resolution pixels. What happens in the
        margin does not count, unless the image itself ends there.
    batch_size : int
        Crops per step.
    loss_floor : float
        Added to a crop's sum of squared truth, by which its error is divided: crops with hardly
        any emitters weigh little.
    examples : MovieExamples
    refinement : RefinementSettings
    """

    kind: Literal["refinement"] = "refinement"
    name: Name = "refinement"
    steps: Steps = 2000
    averaging: Decay = 0.99
    validate_every: Steps = 100
    schedule: CosineSchedule = CosineSchedule()
    network: str = DEFAULT_NETWORK
    movies: int = Field(600, ge=1, le=100_000)
    validation_movies: int = Field(40, ge=1, le=10_000)
    lengths: tuple[int, ...] = (50, 100, 200, 300)
    crop_px: int = Field(160, ge=8, multiple_of=4)
    margin_px: int = Field(24, ge=0, multiple_of=4)
    batch_size: int = Field(8, ge=1)
    loss_floor: float = Field(20.0, gt=0)
    examples: MovieExamples = MovieExamples()
    refinement: RefinementSettings = RefinementSettings()

    @model_validator(mode="after")
    def _lengths_fit_the_movies(self) -> RefinementTraining:
        frames, lengths = self.examples.frames_per_scene, self.lengths
        ascending = list(lengths) == sorted(set(lengths)) and min(lengths, default=0) > 0
        if not ascending or lengths[-1] != frames:
            raise ValueError(
                f"the lengths {list(lengths)} cannot be used; give increasing numbers of "
                "frames, the last of them that of a movie, 'examples.frames_per_scene' = "
                f"{frames}"
            )
        return self

    @model_validator(mode="after")
    def _margins_leave_something(self) -> RefinementTraining:
        if 2 * self.margin_px >= self.crop_px:
            raise ValueError(
                f"crops of {self.crop_px} pixels with margins of {self.margin_px} are all margin; "
                "enlarge 'crop_px'"
            )
        return self


class RefinerTrainer(Course):
    """Train a refiner in a folder that holds everything needed to go on.

    Parameters
    ----------
    settings : RefinementTraining
    folder : Path
        Holds the movies, too; those that are there are used again.
    device, team
        See :class:`~deepstorm.training.course.loop.Course`; one process trains.
    resume : bool
        Whether to go on from a state in the folder; else it plays no part, and is replaced, as are
        movies that were made of something else.

    Raises
    ------
    InputError
        If there is no such network, or the folder holds a training with other settings or a damaged
        state, the network takes no frames of the examples' size, or there are several processes.
    """

    settings: RefinementTraining
    loss_before: float = math.nan

    def __init__(
        self,
        settings: RefinementTraining,
        folder: Path,
        device: str = "cpu",
        team: Team = ALONE,
        *,
        resume: bool = True,
    ) -> None:
        if team.size > 1:
            raise InputError(
                f"a refiner is trained by one process, not by {team.size}; start it without "
                "torchrun"
            )
        trained = open_network(settings.network)
        network, self.card = trained.load(), trained.card
        network.refiner = None
        check_side(settings.examples.side_px, network.divisor)
        with seeded(settings.seed):
            self.refiner = Refiner(settings.refinement)
        start = partial(_copy_weights, self.refiner)
        super().__init__(settings, self.refiner, start, folder, device, team, resume=resume)
        self.network = network.to(self.device)
        self.source = SummedMovieSource(
            TrainedNetwork.of(self.network, self.card),
            settings.examples,
            settings.lengths,
            settings.seed,
            settings.precision,
        )
        self.held_back = settings.validation_movies
        self._is_fresh = not resume
        # Known once the movies are there.
        self._crops: Crops
        self._validated: list[KeptMovie] = []

    def prepare(self, on_movie: OnMovie) -> None:
        """Make the movies, as far as they are not there yet, and score them without a refiner."""
        movies, self._validated = self._movies(on_movie)
        errors = [_nmse(planes[:, 1:2], planes[:, 3:]) for planes in map(_whole, self._validated)]
        self.loss_before = sum(errors) / len(errors)
        self._crops = Crops(
            movies,
            self.settings.seed,
            crop_px=self.settings.crop_px,
            margin_px=self.settings.margin_px,
            batch_size=self.settings.batch_size,
            step_px=Refiner.divisor,
        )

    def loss(self, step: int) -> tuple[Tensor, float]:
        """Return the error of a batch of crops relative to their truth, twice."""
        batch = self._crops.batch(step)
        sums, truth, counted = (
            torch.from_numpy(part).to(self.device)
            for part in (batch.sums, batch.truth, batch.counted)
        )
        image = self._refined(sums)
        loss = relative_squared_error(image, truth, counted, self.settings.loss_floor)
        return loss, float(loss.detach())

    def score(self, index: int) -> float:
        """Return the NMSE of a whole movie that was held back, as a fraction."""
        planes = _whole(self._validated[index]).to(self.device)
        return _nmse(self._refined(planes[:, :3]), planes[:, 3:])

    def keep_best(self, loss: float) -> None:
        """Write the network with the refiner as it is now."""
        record = self.record(
            {
                "refined_nmse_percent": 100 * loss,
                "gathered_nmse_percent": 100 * self.loss_before,
                "curve": [[step, 100 * nmse] for step, nmse in self.curve(loss)],
            }
        )
        record["package_version"] = version("deepstorm")
        training = self.card.training | {RECORD_KEY: record}
        card = self.card.model_copy(
            update={"refinement": self.settings.refinement, "training": training}
        )
        self.network.refiner = self.refiner
        save_network(self.folder / BEST_NAME, self.network, card, overwrite=True)

    def _refined(self, sums: Tensor) -> Tensor:
        with self.autocast():
            image: Tensor = self.refiner(sums.to(memory_format=torch.channels_last))
        return image

    def _movies(self, on_movie: OnMovie) -> tuple[list[KeptMovie], list[KeptMovie]]:
        """Find the movies to learn from and those held back; make what is missing."""
        home = self.folder / MOVIES_FOLDER
        home.mkdir(exist_ok=True)
        if self._is_fresh:
            discard_others(home, self.source.origin)
        counts = {
            VALIDATION: self.settings.validation_movies,
            TRAINING: self.settings.movies,
        }
        found: dict[int, list[KeptMovie]] = {TRAINING: [], VALIDATION: []}
        for stream, count in counts.items():
            for index in range(count):
                path = home / f"{STREAM_NAMES[stream]}-{index:05d}.safetensors"
                if not path.exists():
                    if stream == TRAINING and self._has_movies_enough(index):
                        break
                    keep_movie(path, self.source.movie(index, stream), self.source.origin)
                    self._check_time()
                found[stream].append(find_movie(path, self.source.origin))
                on_movie(sum(map(len, found.values())), sum(counts.values()))
        return found[TRAINING], found[VALIDATION]

    def _check_time(self) -> None:
        budget_s = self.settings.time_budget_s
        if budget_s and self.pace.used_s > budget_s:
            raise InputError(
                f"the {budget_s:.0f} s that the training may take were used up while its movies "
                "were simulated; they are kept: the same command continues with them"
            )

    def _has_movies_enough(self, count: int) -> bool:
        """Tell whether to begin with fewer movies than asked for, for want of time.

        A training that has begun goes on with those that it began with.
        """
        budget_s = self.settings.time_budget_s
        spent = budget_s > 0 and self.pace.used_s > MOVIES_SHARE * budget_s
        return count >= FEWEST_MOVIES and (spent or self.history.step > 0)


def _copy_weights(refiner: Refiner, name_or_path: str) -> None:
    """Copy the weights of a trained network's refiner."""
    given = open_network(name_or_path).load().refiner
    if given is None:
        raise InputError(
            f"the network '{name_or_path}' has no refiner to start from; leave 'start_from' out, "
            "or choose another one"
        )
    wanted, found = refiner.state_dict(), given.state_dict()
    if {n: t.shape for n, t in wanted.items()} != {n: t.shape for n, t in found.items()}:
        raise InputError(
            f"the refiner of the network '{name_or_path}' has other layers than the new one; give "
            "both the same [refinement]"
        )
    refiner.load_state_dict(found)


def _whole(movie: KeptMovie) -> Tensor:
    """Return the three sums over a whole movie and the truth, shape (1, 4, y, x)."""
    return torch.from_numpy(movie.read(-1))[None]


def _nmse(image: Tensor, truth: Tensor) -> float:
    """Return the squared error over the squared truth, at the best scale of the image."""
    overlap, squared = (image * truth).sum(), image.square().sum().clamp(min=1e-12)
    return float(1 - overlap.square() / (squared * truth.square().sum()))
