"""The training loop: resumable at any step, with the weights an unbroken run would have had."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.files import written_whole
from deepstorm.models.checkpoint import Network, NetworkCard, NetworkSettings, save_network
from deepstorm.models.native import NativeNetworkSettings
from deepstorm.models.scaling import AsinhScaling, Scaling
from deepstorm.training.examples import (
    VALIDATION,
    Batch,
    Examples,
    ExampleSource,
    SimulatedExamples,
)
from deepstorm.training.losses import Loss, SpikeCrossEntropyLoss
from deepstorm.training.schedules import CosineSchedule, Schedule

STATE_NAME = "state.safetensors"
BEST_NAME = "best.safetensors"
LOSSES_NAME = "losses.csv"


class TrainingSettings(Settings):
    """A whole training: what, on what, how long.

    Parameters
    ----------
    name : str
        Name of the trained network.
    seed : int
        Decides initial weights and examples.
    steps : int
        Number of batches.
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
    """

    name: str = Field("native", min_length=1, max_length=200)
    seed: int = Field(0, ge=0)
    steps: int = Field(10_000, ge=1)
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    averaging: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    gradient_limit: float = Field(1.0, ge=0)
    validate_every: int = Field(250, ge=1)
    validation_batches: int = Field(16, ge=1)
    checkpoint_every_s: float = Field(120.0, gt=0)
    network: NetworkSettings = NativeNetworkSettings()
    scaling: Scaling = AsinhScaling()
    examples: Examples = SimulatedExamples()
    loss: Loss = SpikeCrossEntropyLoss()
    schedule: Schedule = CosineSchedule()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands after a validation.

    Parameters
    ----------
    step : int
        Steps done.
    training_loss : float
        Mean since the last validation.
    validation_loss : float
    rate : float
        Learning rate.
    elapsed_s : float
        Since this process began to train.
    """

    step: int
    training_loss: float
    validation_loss: float
    rate: float
    elapsed_s: float


@dataclass(slots=True)
class History:
    """What a resumed training must know besides tensors."""

    step: int = 0
    validation_losses: list[float] = field(default_factory=list)
    recent_losses: list[float] = field(default_factory=list)


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

    Raises
    ------
    InputError
        If the folder holds a training with other settings.
    """

    def __init__(
        self, settings: TrainingSettings, source: ExampleSource, folder: Path, device: str = "cpu"
    ) -> None:
        self.settings = settings
        self.source = source
        self.folder = folder
        self.device = torch.device(device)
        self.network = _new_network(settings).to(self.device, memory_format=torch.channels_last)
        self.average = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=1e-3, weight_decay=settings.weight_decay
        )
        self.history = History()
        if (folder / STATE_NAME).exists():
            self._restore()

    def run(self, on_step: Callable[[int, float], None] = lambda step, loss: None) -> Path:
        """Train to the end and return the file of the network that was best on validation.

        Parameters
        ----------
        on_step : callable
            Called after each step with the number of steps done and the loss.
        """
        for _ in self.progress(on_step):
            pass
        return self.folder / BEST_NAME

    def progress(
        self, on_step: Callable[[int, float], None] = lambda step, loss: None
    ) -> Iterator[Progress]:
        """Train to the end, yielding after each validation."""
        began = saved = time.monotonic()
        while self.history.step < self.settings.steps:
            loss = self._step()
            on_step(self.history.step, loss)
            if self._validation_is_due():
                yield self._validate(began)
                self._save_state()
                saved = time.monotonic()
            elif time.monotonic() - saved > self.settings.checkpoint_every_s:
                self._save_state()
                saved = time.monotonic()

    def _validation_is_due(self) -> bool:
        step = self.history.step
        return step % self.settings.validate_every == 0 or step == self.settings.steps

    def _step(self) -> float:
        """Do one step of the optimizer and return its loss."""
        history, settings = self.history, self.settings
        rate = settings.schedule.rate(history.step, settings.steps, history.validation_losses)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.source.batch(history.step))
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.gradient_limit > 0:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.gradient_limit)
        self.optimizer.step()
        history.step += 1
        self._update_average()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(
                f"the loss became {value} at step {history.step}; lower the learning rate"
            )
        history.recent_losses.append(value)
        return value

    def _loss(self, batch: Batch) -> Tensor:
        frames = torch.from_numpy(batch.frames).to(
            self.device, memory_format=torch.channels_last
        )
        spikes = torch.from_numpy(batch.spikes).to(self.device)
        reduced = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=reduced):
            output = self.network(frames)
        return self.settings.loss(output.float(), spikes)

    @torch.no_grad()
    def _update_average(self) -> None:
        """Move the averaged weights towards the present ones; quickly at first."""
        step = self.history.step
        decay = min(self.settings.averaging, (1 + step) / (10 + step))
        decay = decay if self.settings.averaging > 0 else 0.0
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    @torch.no_grad()
    def _validate(self, began: float) -> Progress:
        """Score the averaged weights, keep them if they are the best so far, and log."""
        history = self.history
        present = {name: t.clone() for name, t in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        self.network.eval()
        batches = range(self.settings.validation_batches)
        losses = [float(self._loss(self.source.batch(i, VALIDATION))) for i in batches]
        loss = sum(losses) / len(losses)
        if loss < min(history.validation_losses, default=math.inf):
            self._save_best(loss)
        self.network.load_state_dict(present)
        history.validation_losses.append(loss)
        progress = Progress(
            step=history.step,
            training_loss=sum(history.recent_losses) / len(history.recent_losses),
            validation_loss=loss,
            rate=self.optimizer.param_groups[0]["lr"],
            elapsed_s=time.monotonic() - began,
        )
        history.recent_losses.clear()
        self._log(progress)
        return progress

    def _save_best(self, loss: float) -> None:
        record: dict[str, Any] = {
            "settings": self.settings.model_dump(mode="json"),
            "step": self.history.step,
            "validation_loss": loss,
            "torch_version": torch.__version__,
        }
        card = NetworkCard(
            name=self.settings.name,
            network=self.settings.network,
            scaling=self.source.scaling,
            validity=self.settings.examples.validity(),
            training=record,
            package_version=version("deepstorm"),
        )
        save_network(self.folder / BEST_NAME, self.network, card, overwrite=True)

    def _log(self, progress: Progress) -> None:
        """Append a line to the table of losses."""
        path = self.folder / LOSSES_NAME
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "training_loss", "validation_loss", "rate"])
            writer.writerow(
                [progress.step, progress.training_loss, progress.validation_loss, progress.rate]
            )

    def _save_state(self) -> None:
        """Write all that a resumed training needs, without pickling."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        metadata = {
            "settings": self.settings.model_dump_json(),
            "step": str(self.history.step),
            "validation_losses": json.dumps(self.history.validation_losses),
            "recent_losses": json.dumps(self.history.recent_losses),
        }
        plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
        with written_whole(self.folder / STATE_NAME, overwrite=True) as partial:
            save_file(plain, partial, metadata=metadata)

    def _restore(self) -> None:
        """Take up the state in the folder."""
        with safe_open(self.folder / STATE_NAME, framework="pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key).to(self.device) for key in file.keys()}
        if metadata["settings"] != self.settings.model_dump_json():
            raise InputError(
                f"'{self.folder}' holds a training with other settings; "
                "choose another folder or the same settings"
            )
        self.history = History(
            step=int(metadata["step"]),
            validation_losses=json.loads(metadata["validation_losses"]),
            recent_losses=json.loads(metadata["recent_losses"]),
        )
        self.network.load_state_dict(_below("network.", tensors))
        self.average = _below("average.", tensors)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below("optimizer.", tensors).items():
            index, key = name.split(".")
            moments.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name starts with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _new_network(settings: TrainingSettings) -> Network:
    """Draw initial weights from the seed, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return settings.network.build()
