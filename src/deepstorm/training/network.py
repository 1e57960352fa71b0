"""The training loop: resumable at any step, with the weights an unbroken run would have had."""

from __future__ import annotations

import math
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings, NetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard, check_channels
from deepstorm.models.checkpoint import save_network
from deepstorm.models.devices import find_device
from deepstorm.models.network import Network
from deepstorm.models.rendering import ConcentratedRendering, Rendering
from deepstorm.models.scaling import PhotonScaling, Scaling
from deepstorm.models.zoo import open_network
from deepstorm.training.course.ahead import ExamplesAhead
from deepstorm.training.course.distributed import ALONE, Team
from deepstorm.training.course.folder import BEST_NAME, STATE_NAME, best_network, restore
from deepstorm.training.course.learner import Learner, finite, seeded
from deepstorm.training.course.loop import OnStep, OnValidation, run_course
from deepstorm.training.course.loss_log import Progress, log_losses
from deepstorm.training.course.pace import Pace
from deepstorm.training.course.schedules import CosineSchedule, Schedule
from deepstorm.training.course.state import History
from deepstorm.training.examples.composites import CompositeExamples
from deepstorm.training.examples.protocol import VALIDATION, Batch, ExampleSource
from deepstorm.training.examples.regions import RegionExamples
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.losses import Loss, SpikeCrossEntropyLoss

Examples = Annotated[
    SimulatedExamples | RegionExamples | CompositeExamples, Field(discriminator="kind")
]


class TrainingSettings(Settings):
    """A whole training: what, on what, how long.

    Parameters
    ----------
    name : str
        Name of the trained network.
    seed : int
        Decides initial weights and examples.
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
    validation_batches : int
    checkpoint_every_s : float
        Seconds between states from which a killed training resumes.
    start_from : str, optional
        A network, by embedded name or file, whose weights are the initial ones; drawn from the seed
        where absent. It may have fewer input channels.
    """

    name: str = Field("native", min_length=1, max_length=200)
    seed: int = Field(0, ge=0, lt=2**63)
    steps: int = Field(10_000, ge=1)
    time_budget_s: float = Field(0.0, ge=0)
    patience: int = Field(0, ge=0)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    averaging: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    gradient_limit: float = Field(1.0, ge=0)
    validate_every: int = Field(250, ge=1)
    validation_batches: int = Field(16, ge=1)
    checkpoint_every_s: float = Field(120.0, gt=0)
    start_from: str | None = None
    network: NetworkSettings = NativeNetworkSettings()
    scaling: Scaling = PhotonScaling()
    rendering: Rendering = ConcentratedRendering()
    examples: Examples = SimulatedExamples()
    loss: Loss = SpikeCrossEntropyLoss()
    schedule: Schedule = CosineSchedule()

    @model_validator(mode="after")
    def _scaling_fits_the_network(self) -> TrainingSettings:
        check_channels(self.scaling, self.network)
        return self

    @model_validator(mode="after")
    def _loss_fits_the_network(self) -> TrainingSettings:
        fitting = {"native": "spike_cross_entropy", "deepstorm": "blurred_spikes"}
        if self.loss.kind != fitting[self.network.kind]:
            raise ValueError(
                f"a '{self.network.kind}' network is trained with the loss "
                f"'{fitting[self.network.kind]}', not '{self.loss.kind}'"
            )
        return self


class Trainer:
    """Train a network in a folder that holds everything needed to go on.

    Parameters
    ----------
    settings : TrainingSettings
    source : ExampleSource
        Where batches come from.
    folder : Path
        Holds the state, the best network so far and the losses; continued if it has a state.
    device : str
        Torch device.
    team : Team
        The processes that train it together.
    resume : bool
        Whether to go on from a state in the folder; else it plays no part, and is replaced.

    Raises
    ------
    InputError
        If the folder holds a training with other settings or a damaged state, or the examples'
        frames are not of a size that the network takes.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        source: ExampleSource,
        folder: Path,
        device: str = "cpu",
        team: Team = ALONE,
        *,
        resume: bool = True,
    ) -> None:
        self.settings = settings
        self.source = source
        self.folder = folder
        self.team = team
        self.device = find_device(device)
        resumed = resume and (folder / STATE_NAME).exists()
        self.network = _new_network(settings, started=resumed).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._check_sides()
        self.learner = Learner(
            self.network, settings.averaging, settings.gradient_limit, settings.weight_decay
        )
        if resumed:
            restore(folder, self.learner, settings)
        self.pace = Pace(settings, self.history, team, self.device)
        self._joined = team.wrapped(self.network)
        self._examples = source if self.device.type == "cpu" else ExamplesAhead(source)

    @property
    def history(self) -> History:
        """What has been done so far."""
        return self.learner.history

    @property
    def average(self) -> dict[str, Tensor]:
        """The averaged weights, which are validated and kept."""
        return self.learner.average

    def _check_sides(self) -> None:
        side, divisor = self.settings.examples.side_px, self.network.divisor
        if side % divisor:
            raise InputError(
                f"the training frames have sides of {side} pixels, the network takes multiples of "
                f"{divisor}; change the size of the examples"
            )

    def run(
        self,
        on_step: OnStep = lambda step, loss: None,
        on_validation: OnValidation = lambda progress: None,
    ) -> Path:
        """Train to the end and return the file of the network that was best on validation.

        Parameters
        ----------
        on_step : callable
            Called after each step with the number of steps done and the loss.
        on_validation : callable
            Called after each validation.

        Raises
        ------
        InputError
            If a loss is not a finite number, or a file in the folder cannot be written.
        """
        every_s = self.settings.checkpoint_every_s
        run_course(self, self.folder, self.settings, every_s, on_step, on_validation, self.team)
        self.team.wait()
        return best_network(self.folder)

    def step(self) -> float:
        """Do one step of the optimizer and return its loss."""
        history = self.history
        rate = self.settings.schedule.rate(history.step, self.pace.steps, history.validation_losses)
        self.network.train()
        batch = self.team.share(self._examples.batch(history.step))
        loss, weight = self._loss(batch, self._joined)
        followed, whole = self.team.shared_loss(loss, weight)
        value = finite(whole, history.step + 1)
        self.learner.step(followed, rate, value)
        return value

    @torch.no_grad()
    def validate(self) -> Progress:
        """Score the averaged weights, keep them if they are the best so far, and log."""
        history, team = self.history, self.team
        batches = range(team.rank, self.settings.validation_batches, team.size)
        self.network.eval()
        with self.learner.averaged():
            loss = finite(team.mean([self._score(i) for i in batches], self.device), history.step)
            if loss < min(history.validation_losses, default=math.inf) and team.writes:
                self._save_best(loss)
        history.validation_losses.append(loss)
        progress = Progress(
            step=history.step,
            training_loss=sum(history.recent_losses) / len(history.recent_losses),
            validation_loss=loss,
            rate=self.learner.optimizer.param_groups[0]["lr"],
            elapsed_s=self.pace.elapsed_s,
        )
        history.recent_losses.clear()
        if team.writes:
            log_losses(self.folder, progress)
        return progress

    @torch.no_grad()
    def trial(self) -> float:
        """Return how many seconds a validation takes, by a part of one."""
        self.network.eval()
        self._score(0)  # the first one is slower
        began = time.monotonic()
        self._score(0)
        return (time.monotonic() - began) * self.settings.validation_batches

    def _score(self, index: int) -> float:
        """Return the loss of a validation batch."""
        return float(self._loss(self.source.batch(index, VALIDATION), self.network)[0])

    def _loss(self, batch: Batch, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, and what it is a mean over."""
        frames = torch.from_numpy(batch.frames).to(self.device, memory_format=torch.channels_last)
        spikes = torch.from_numpy(batch.spikes).to(self.device)
        reduced = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            output = network(frames)
        loss = self.settings.loss
        return loss(output.float(), spikes), loss.weight(spikes)

    def _save_best(self, loss: float) -> None:
        record: dict[str, Any] = {
            "settings": self.settings.model_dump(mode="json"),
            "step": self.history.step,
            "validation_loss": loss,
            "curve": [*self._curve(), [self.history.step, loss]],
            "torch_version": torch.__version__,
        }
        if self.history.planned_steps:
            record["planned_steps"] = self.history.planned_steps
        card = NetworkCard(
            name=self.settings.name,
            network=self.settings.network,
            scaling=self.source.scaling,
            rendering=self.settings.rendering,
            validity=self.source.validity(),
            training=record,
            package_version=version("deepstorm"),
        )
        save_network(self.folder / BEST_NAME, self.network, card, overwrite=True)

    def _curve(self) -> list[list[float]]:
        """Return the validations before this one, as (step, loss)."""
        losses = self.history.validation_losses
        return [[self.settings.validate_every * (i + 1), loss] for i, loss in enumerate(losses)]


def _new_network(settings: TrainingSettings, *, started: bool) -> Network:
    """Return the initial network.

    A training that has started takes its weights from its state, wherever it once started from.
    """
    with seeded(settings.seed):
        network = build(settings.network)
    if settings.start_from is not None and not started:
        _start_from(network, settings.start_from)
    return network


@torch.no_grad()
def _start_from(network: Network, name_or_path: str) -> None:
    """Copy the weights of a trained network; input channels that it lacks have no effect yet."""
    trained = open_network(name_or_path).load().state_dict()
    weights = network.state_dict()
    for name, tensor in weights.items():
        given = trained.get(name, torch.empty(0))
        if given.ndim == 4 and given.shape[1] < tensor.shape[1]:
            missing = tensor.shape[1] - given.shape[1]
            given = functional.pad(given, (0, 0, 0, 0, 0, missing))
        if given.shape != tensor.shape:
            raise InputError(
                f"a training cannot start from the network '{name_or_path}': its '{name}' has the "
                f"shape {tuple(given.shape)}, the new network's {tuple(tensor.shape)}; "
                "choose one of the same architecture"
            )
        tensor.copy_(given)
