"""Training of a refiner: a network's sums over simulated movies, and the truth they stand for.

Two phases, both of which can be stopped at any time: the movies are made and kept, then the refiner
learns from crops of them. The network itself stays as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.models.architectures import RefinementSettings
from deepstorm.models.checkpoint import save_network
from deepstorm.models.devices import find_device
from deepstorm.models.refinement import Refiner
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import DEFAULT_NETWORK, open_network
from deepstorm.training.course.folder import (
    BEST_NAME,
    MOVIES_FOLDER,
    STATE_NAME,
    best_network,
    restore,
)
from deepstorm.training.course.learner import Learner, finite, seeded
from deepstorm.training.course.loop import OnStep, OnValidation, run_course
from deepstorm.training.course.loss_log import Progress, log_losses
from deepstorm.training.course.pace import Pace
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.crops import Crops
from deepstorm.training.examples.protocol import TRAINING, VALIDATION
from deepstorm.training.examples.summed_movies import (
    KeptMovie,
    MovieExamples,
    MovieSource,
    discard_others,
    find_movie,
    keep_movie,
)
from deepstorm.training.losses import relative_squared_error

STREAM_NAMES = {TRAINING: "training", VALIDATION: "validation"}
RECORD_KEY = "refinement"
# Part of a given time in which movies are made, and how many are needed in any case.
MOVIES_SHARE = 0.45
FEWEST_MOVIES = 8


class RefinementTraining(Settings):
    """A whole training of a refiner: for which network, on what, how long.

    Parameters
    ----------
    name : str
        Name of the training, and of its folder; the network keeps its own.
    seed : int
        Decides movies, crops and initial weights.
    network : str
        The network whose sums are refined, by embedded name or file. A refiner that it has is
        replaced.
    start_from : str, optional
        A network, by embedded name or file, whose refiner is the initial one; drawn from the seed
        where absent.
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
    steps : int
        Number of batches, where no time is given.
    time_budget_s : float
        Seconds that the training may take; the number of batches is found from the speed of the
        first ones. 0 for ``steps``, however long they take.
    patience : int
        Validations without improvement after which the training ends; 0 for none.
    precision : str
        ``bfloat16`` computes convolutions in bfloat16 and keeps weights in float32.
    averaging : float
        Decay of the exponential moving average of weights that is validated and kept; 0 for none.
    gradient_limit : float
        Largest norm of a gradient; longer ones are shortened. 0 for no limit.
    validate_every : int
        Steps between validations.
    checkpoint_every_s : float
        Seconds between states from which a killed training resumes.
    """

    kind: Literal["refinement"] = "refinement"
    name: str = Field("refinement", min_length=1, max_length=200)
    seed: int = Field(0, ge=0, lt=2**63)
    network: str = DEFAULT_NETWORK
    start_from: str | None = None
    movies: int = Field(600, ge=1, le=100_000)
    validation_movies: int = Field(40, ge=1, le=10_000)
    lengths: tuple[int, ...] = (50, 100, 200, 300)
    crop_px: int = Field(160, ge=8, multiple_of=4)
    margin_px: int = Field(24, ge=0, multiple_of=4)
    batch_size: int = Field(8, ge=1)
    loss_floor: float = Field(20.0, gt=0)
    steps: int = Field(2000, ge=1)
    time_budget_s: float = Field(0.0, ge=0)
    patience: int = Field(0, ge=0)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    averaging: float = Field(0.99, ge=0, lt=1)
    gradient_limit: float = Field(1.0, ge=0)
    validate_every: int = Field(100, ge=1)
    checkpoint_every_s: float = Field(120.0, gt=0)
    examples: MovieExamples = MovieExamples()
    refinement: RefinementSettings = RefinementSettings()
    schedule: CosineSchedule = CosineSchedule()

    @model_validator(mode="after")
    def _lengths_fit_the_movies(self) -> RefinementTraining:
        frames, lengths = self.examples.frames_per_scene, self.lengths
        ascending = list(lengths) == sorted(set(lengths)) and min(lengths, default=0) > 0
        if not ascending or lengths[-1] != frames:
            raise ValueError(
                f"the lengths {list(lengths)} cannot be used; give numbers of frames that rise to "
                f"those of a movie, 'examples.frames_per_scene' = {frames}"
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


class RefinementTrainer:
    """Train a refiner in a folder that holds everything needed to go on.

    Parameters
    ----------
    settings : RefinementTraining
    folder : Path
        Holds the movies, the state, the best network so far and the losses; continued if it has
        some of them.
    device : str
        Torch device.
    resume : bool
        Whether to go on from a state in the folder; else it plays no part, and is replaced, as are
        movies that were made of something else.

    Raises
    ------
    InputError
        If there is no such network, or the folder holds a training with other settings or a damaged
        state, or the network takes no frames of the examples' size.
    """

    def __init__(
        self,
        settings: RefinementTraining,
        folder: Path,
        device: str = "cpu",
        *,
        resume: bool = True,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.device = find_device(device)
        trained = open_network(settings.network)
        self.card = trained.card
        self.network = trained.load()
        self.network.refiner = None
        self.network.to(self.device)
        self._check_sides()
        self.source = MovieSource(
            TrainedNetwork.of(self.network, self.card),
            settings.examples,
            settings.lengths,
            settings.seed,
            settings.precision,
        )
        resumed = resume and (folder / STATE_NAME).exists()
        with seeded(settings.seed):
            self.refiner = _new_refiner(settings, started=resumed).to(self.device)
        self.refiner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner = Learner(self.refiner, settings.averaging, settings.gradient_limit)
        if resumed:
            restore(folder, self.learner, settings)
        self._is_fresh = not resume
        self.pace = Pace(settings, self.learner.history, device=self.device)
        # Known once the movies are there.
        self._crops: Crops
        self._held_back: list[KeptMovie] = []
        self._gathered = math.nan

    def run(
        self,
        on_movie: Callable[[int, int], None] = lambda done, total: None,
        on_step: OnStep = lambda step, loss: None,
        on_validation: OnValidation = lambda progress: None,
    ) -> Path:
        """Train to the end; return the file of the network with the refiner that was best.

        Parameters
        ----------
        on_movie : callable
            Called with the number of movies made so far, and that of all.
        on_step : callable
            Called after each step with the number of steps done and the loss.
        on_validation : callable
            Called after each validation, whose loss is the mean NMSE, as a fraction.

        Raises
        ------
        InputError
            If a loss is not a finite number, or a file in the folder is damaged or cannot be
            written.
        """
        movies, self._held_back = self._movies(on_movie)
        self._gathered = _mean([_nmse(*self._whole(movie)) for movie in self._held_back])
        self._crops = self._crops_of(movies)
        every_s = self.settings.checkpoint_every_s
        run_course(self, self.folder, self.settings, every_s, on_step, on_validation)
        return best_network(self.folder)

    def _check_sides(self) -> None:
        side, divisor = self.settings.examples.side_px, self.network.divisor
        if side % divisor:
            raise InputError(
                f"the movies have sides of {side} pixels, the network takes multiples of "
                f"{divisor}; change 'examples.patch_px'"
            )

    def _movies(
        self, on_movie: Callable[[int, int], None]
    ) -> tuple[list[KeptMovie], list[KeptMovie]]:
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
                f"the {budget_s:.0f} s that the training may take passed while its movies were "
                "made; they are kept: the same command goes on with them"
            )

    def _has_movies_enough(self, count: int) -> bool:
        """Tell whether to begin with fewer movies than asked for, for want of time.

        A training that has begun goes on with those that it began with.
        """
        budget_s = self.settings.time_budget_s
        spent = budget_s > 0 and self.pace.used_s > MOVIES_SHARE * budget_s
        return count >= FEWEST_MOVIES and (spent or self.learner.history.step > 0)

    def _crops_of(self, movies: list[KeptMovie]) -> Crops:
        return Crops(
            movies,
            self.settings.seed,
            crop_px=self.settings.crop_px,
            margin_px=self.settings.margin_px,
            batch_size=self.settings.batch_size,
            step_px=Refiner.divisor,
        )

    def step(self) -> float:
        """Learn from one batch; return its loss."""
        history, schedule = self.learner.history, self.settings.schedule
        batch = self._crops.batch(history.step)
        sums, truth, counted = (
            torch.from_numpy(part).to(self.device)
            for part in (batch.sums, batch.truth, batch.counted)
        )
        image = self._refined(sums)
        loss = relative_squared_error(image, truth, counted, self.settings.loss_floor)
        value = finite(float(loss.detach()), history.step + 1)
        rate = schedule.rate(history.step, self.pace.steps, history.validation_losses)
        self.learner.step(loss, rate)
        return value

    def _refined(self, sums: Tensor) -> Tensor:
        reduced = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            image: Tensor = self.refiner(sums.to(memory_format=torch.channels_last))
        return image

    def _whole(self, movie: KeptMovie) -> tuple[Tensor, Tensor]:
        """Return the gathered sum of a whole movie and the truth, both (1, 1, y, x)."""
        planes = torch.from_numpy(movie.read(-1))[None]
        return planes[:, 1:2], planes[:, 3:]

    @torch.no_grad()
    def validate(self) -> Progress:
        """Score the averaged weights, keep them if they are the best so far, and log."""
        history = self.learner.history
        with self.learner.averaged():
            errors = [self._refined_nmse(movie) for movie in self._held_back]
            nmse = finite(_mean(errors), history.step)
            best = nmse < min(history.validation_losses, default=math.inf)
            history.validation_losses.append(nmse)
            if best:
                self._save_best()
        progress = Progress(
            step=history.step,
            training_loss=_mean(history.recent_losses),
            validation_loss=nmse,
            rate=self.learner.optimizer.param_groups[0]["lr"],
            elapsed_s=self.pace.elapsed_s,
        )
        history.recent_losses.clear()
        log_losses(self.folder, progress)
        return progress

    @torch.no_grad()
    def trial(self) -> float:
        """Return how many seconds a validation takes, by a part of one."""
        began = time.monotonic()
        self._refined_nmse(self._held_back[0])
        return (time.monotonic() - began) * len(self._held_back)

    def _refined_nmse(self, movie: KeptMovie) -> float:
        planes = torch.from_numpy(movie.read(-1))[None].to(self.device)
        return _nmse(self._refined(planes[:, :3]), planes[:, 3:])

    def _save_best(self) -> None:
        """Write the network with the refiner as it is now."""
        history, every = self.learner.history, self.settings.validate_every
        steps = [min(every * (i + 1), history.step) for i in range(len(history.validation_losses))]
        record: dict[str, Any] = {
            "settings": self.settings.model_dump(mode="json"),
            "step": history.step,
            "refined_nmse_percent": 100 * history.validation_losses[-1],
            "gathered_nmse_percent": 100 * self._gathered,
            "curve": [
                [step, 100 * nmse]
                for step, nmse in zip(steps, history.validation_losses, strict=True)
            ],
            "torch_version": torch.__version__,
            "package_version": version("deepstorm"),
        }
        training = self.card.training | {RECORD_KEY: record}
        card = self.card.model_copy(
            update={"refinement": self.settings.refinement, "training": training}
        )
        self.network.refiner = self.refiner
        save_network(self.folder / BEST_NAME, self.network, card, overwrite=True)


def _new_refiner(settings: RefinementTraining, *, started: bool) -> Refiner:
    """Return the initial refiner.

    A training that has started takes its weights from its state, wherever it once started from.
    """
    refiner = Refiner(settings.refinement)
    if settings.start_from is None or started:
        return refiner
    given = open_network(settings.start_from).load().refiner
    if given is None:
        raise InputError(
            f"the network '{settings.start_from}' has no refiner to start from; leave "
            "'start_from' out, or choose another one"
        )
    wanted, found = refiner.state_dict(), given.state_dict()
    if {n: t.shape for n, t in wanted.items()} != {n: t.shape for n, t in found.items()}:
        raise InputError(
            f"the refiner of the network '{settings.start_from}' has other layers than the new "
            "one; give both the same [refinement]"
        )
    refiner.load_state_dict(found)
    return refiner


def _nmse(image: Tensor, truth: Tensor) -> float:
    """Return the squared error over the squared truth, at the best scale of the image."""
    overlap, squared = (image * truth).sum(), image.square().sum().clamp(min=1e-12)
    return float(1 - overlap.square() / (squared * truth.square().sum()))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
