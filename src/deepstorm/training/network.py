"""Training of a network, on pairs of frames and emitters."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings, NetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard, check_channels
from deepstorm.models.checkpoint import save_network
from deepstorm.models.network import Network
from deepstorm.models.rendering import ConcentratedRendering, Rendering
from deepstorm.models.scaling import PhotonScaling, Scaling
from deepstorm.models.zoo import open_network
from deepstorm.training.course.ahead import ExamplesAhead
from deepstorm.training.course.distributed import ALONE, Team
from deepstorm.training.course.folder import BEST_NAME
from deepstorm.training.course.learner import seeded
from deepstorm.training.course.loop import Course
from deepstorm.training.course.schedules import CosineSchedule, Schedule
from deepstorm.training.course.settings import CourseSettings, Decay, Name, Steps
from deepstorm.training.examples.composites import CompositeExamples
from deepstorm.training.examples.protocol import VALIDATION, Batch, ExampleSource, check_side
from deepstorm.training.examples.regions import RegionExamples
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.losses import Loss, SpikeCrossEntropyLoss

Examples = Annotated[
    SimulatedExamples | RegionExamples | CompositeExamples, Field(discriminator="kind")
]


class TrainingSettings(CourseSettings):
    """A whole training: what, on what, how long.

    Parameters that are not here are those of
    :class:`~deepstorm.training.course.settings.CourseSettings`.

    Parameters
    ----------
    name : str
        Name of the trained network, too.
    weight_decay : float
        Of the optimizer.
    validation_batches : int
    start_from : str, optional
        It may have fewer input channels.
    network : NetworkSettings
    scaling : Scaling
    rendering : Rendering
        Plays no part in training, and is kept with the network.
    examples : Examples
    loss : Loss
    """

    name: Name = "native"
    steps: Steps = 10_000
    averaging: Decay = 0.999
    validate_every: Steps = 250
    schedule: Schedule = CosineSchedule()
    weight_decay: float = Field(0.0, ge=0)
    validation_batches: int = Field(16, ge=1)
    network: NetworkSettings = NativeNetworkSettings()
    scaling: Scaling = PhotonScaling()
    rendering: Rendering = ConcentratedRendering()
    examples: Examples = SimulatedExamples()
    loss: Loss = SpikeCrossEntropyLoss()

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


class NetworkTrainer(Course):
    """Train a network in a folder that holds everything needed to go on.

    Parameters
    ----------
    settings : TrainingSettings
    folder, device, team, resume
        See :class:`~deepstorm.training.course.loop.Course`.
    source : ExampleSource
        Where batches come from.

    Raises
    ------
    InputError
        If the folder holds a training with other settings or a damaged state, or the examples'
        frames are not of a size that the network takes.
    """

    settings: TrainingSettings

    def __init__(
        self,
        settings: TrainingSettings,
        folder: Path,
        device: str = "cpu",
        team: Team = ALONE,
        *,
        source: ExampleSource,
        resume: bool = True,
    ) -> None:
        self.source = source
        self.held_back = settings.validation_batches
        with seeded(settings.seed):
            self.network = build(settings.network)
        check_side(settings.examples.side_px, self.network.divisor)
        super().__init__(
            settings,
            self.network,
            partial(_copy_weights, self.network),
            folder,
            device,
            team,
            resume=resume,
            weight_decay=settings.weight_decay,
        )
        self._joined = team.wrapped(self.network)
        self._examples = source if self.device.type == "cpu" else ExamplesAhead(source)

    def loss(self, step: int) -> tuple[Tensor, float]:
        """Return the loss of this process's share of a batch, and that of the whole batch."""
        batch = self.team.share(self._examples.batch(step))
        return self.team.shared_loss(*self._loss(batch, self._joined))

    def score(self, index: int) -> float:
        """Return the loss of a validation batch."""
        return float(self._loss(self.source.batch(index, VALIDATION), self.network)[0])

    def keep_best(self, loss: float) -> None:
        """Write the network with its card."""
        record = self.record({"validation_loss": loss, "curve": self.curve(loss)})
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

    def _loss(self, batch: Batch, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, and what it is a mean over."""
        frames = torch.from_numpy(batch.frames).to(self.device, memory_format=torch.channels_last)
        spikes = torch.from_numpy(batch.spikes).to(self.device)
        with self.autocast():
            output = network(frames)
        loss = self.settings.loss
        return loss(output.float(), spikes), loss.weight(spikes)


@torch.no_grad()
def _copy_weights(network: Network, name_or_path: str) -> None:
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
