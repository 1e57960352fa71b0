from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from deepstorm.errors import InputError
from deepstorm.models.architectures import DeepStormNetworkSettings, NativeNetworkSettings
from deepstorm.models.scaling import Scaling
from deepstorm.training.course.folder import STATE_NAME
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.protocol import TRAINING, VALIDATION, Batch
from deepstorm.training.examples.regions import RegionExamples
from deepstorm.training.examples.simulated import SimulatedExamples, SimulatedSource
from deepstorm.training.network import NetworkTrainer, TrainingSettings

SIMULATED = SimulatedExamples(patch_px=16, scenes=2, frames_per_scene=1)
SETTINGS = TrainingSettings(
    steps=11,
    validate_every=4,
    validation_batches=2,
    checkpoint_every_s=1e9,
    network=NativeNetworkSettings(width=4, deep_width=8, upsampling=4),
    examples=SIMULATED,
)


def prepared(settings: TrainingSettings) -> SimulatedSource:
    return SIMULATED.prepare(settings.scaling, settings.network.upsampling, 0)


class Spoilt:
    """Examples of which one stream gives frames without numbers from a step on."""

    def __init__(self, settings: TrainingSettings, stream: int, from_step: int = 0) -> None:
        source = prepared(settings)
        self.scaling: Scaling = source.scaling
        self._batch = source.batch(0)
        self._stream, self._from = stream, from_step

    def validity(self) -> dict[str, tuple[float, float]]:
        return {}

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        if stream == self._stream and step >= self._from:
            return Batch(np.full_like(self._batch.frames, np.nan), self._batch.spikes)
        return self._batch


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"checkpoint_every_s": 1e-9})
    source = Spoilt(settings, TRAINING, from_step=5)
    with pytest.raises(InputError, match=r"the loss became nan at step 6; lower the learning rate"):
        NetworkTrainer(settings, tmp_path, source=source).run()
    # What is on disk is from before, and can be gone on with.
    assert NetworkTrainer(settings, tmp_path, source=source).history.step == 5
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / STATE_NAME).values())


def test_a_validation_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    source = Spoilt(SETTINGS, VALIDATION)
    with pytest.raises(InputError, match=r"the loss became nan at step 4"):
        NetworkTrainer(SETTINGS, tmp_path, source=source).run()
    assert list(tmp_path.iterdir()) == []


def test_an_absurd_learning_rate_is_named(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(
        update={"schedule": CosineSchedule(peak_rate=1e30, warmup_steps=1), "gradient_limit": 0.0}
    )
    with pytest.raises(InputError, match="lower the learning rate"):
        NetworkTrainer(settings, tmp_path, source=prepared(settings)).run()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"examples": RegionExamples(region_px=10)},
            "sides of 10 pixels, the network takes multiples of 4",
        ),
        (
            {
                "network": DeepStormNetworkSettings(upsampling=1),
                "examples": SimulatedExamples(patch_px=12),
            },
            "sides of 12 pixels, the network takes multiples of 8",
        ),
    ],
)
def test_frames_that_the_network_does_not_take_are_refused(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        NetworkTrainer(SETTINGS.model_copy(update=change), tmp_path, source=prepared(SETTINGS))
