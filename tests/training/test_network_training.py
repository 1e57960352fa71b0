from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from deepstorm.errors import InputError
from deepstorm.models.architectures import DeepStormNetworkSettings, NativeNetworkSettings
from deepstorm.models.checkpoint import load_network
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling, Scaling
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.training.course.folder import BEST_NAME, STATE_NAME, save_state
from deepstorm.training.course.loss_log import LOSSES_HEADER, LOSSES_NAME, Validation
from deepstorm.training.course.schedules import CosineSchedule, PlateauSchedule
from deepstorm.training.examples.protocol import TRAINING, Batch, ExampleSource
from deepstorm.training.examples.regions import RegionExamples
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.losses import BlurredSpikesLoss
from deepstorm.training.network import NetworkTrainer, TrainingSettings

NEVER_S, ALWAYS_S = 1e9, 1e-9

MODERN = TrainingSettings(
    name="tiny",
    seed=1,
    steps=11,
    validate_every=4,
    validation_batches=2,
    checkpoint_every_s=NEVER_S,
    weight_decay=0.01,
    network=NativeNetworkSettings(width=4, deep_width=8, upsampling=4),
    examples=SimulatedExamples(patch_px=16, scenes=2, frames_per_scene=1),
    schedule=CosineSchedule(peak_rate=3e-3, warmup_steps=3),
)
PAPER = TrainingSettings(
    name="paper",
    seed=2,
    steps=5,
    precision="float32",
    averaging=0.0,
    gradient_limit=0.0,
    validate_every=2,
    validation_batches=1,
    checkpoint_every_s=NEVER_S,
    network=DeepStormNetworkSettings(upsampling=2),
    scaling=MinMaxScaling(),
    examples=RegionExamples(
        simulation=SimulationSettings(frames=6, height_px=16, width_px=16, density_per_um2=8),
        region_px=8,
        regions_per_frame=4,
        min_emitters=1,
        batch_size=4,
    ),
    loss=BlurredSpikesLoss(),
    schedule=PlateauSchedule(patience=1),
)
KINDS = [MODERN, PAPER]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trainer(
    settings: TrainingSettings, folder: Path, source: ExampleSource | None = None
) -> NetworkTrainer:
    folder.mkdir(exist_ok=True)
    examples = settings.examples.prepare(
        settings.scaling, settings.network.upsampling, settings.seed
    )
    return NetworkTrainer(settings, folder, source=source or examples)


class Killed(Exception):  # noqa: N818
    """Stands for the end of a process."""


def kill_at(step: int) -> Callable[[int, float], None]:
    def on_step(done: int, _: float) -> None:
        if done == step:
            raise Killed

    return on_step


def losses_of(folder: Path) -> list[list[str]]:
    with (folder / LOSSES_NAME).open(newline="") as file:
        return list(csv.reader(file))


@dataclass(frozen=True)
class Outcome:
    """All that a training leaves, without when it saved and how long it took."""

    state: dict[str, bytes]
    history: dict[str, str]
    best: dict[str, bytes]
    losses: str

    @classmethod
    def of(cls, folder: Path) -> Outcome:
        metadata = metadata_of(folder / STATE_NAME)
        history = {
            key: value for key, value in metadata.items() if key not in ("settings", "used_s")
        }
        return cls(
            _bytes(folder / STATE_NAME),
            history,
            _bytes(folder / BEST_NAME),
            (folder / LOSSES_NAME).read_text(),
        )


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
    return metadata


def _bytes(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What trainings leave that nothing interrupted, by name."""
    outcomes = {}
    for settings in KINDS:
        folder = tmp_path_factory.mktemp(settings.name)
        assert trainer(settings, folder).run().path == folder / BEST_NAME
        outcomes[settings.name] = Outcome.of(folder)
    return outcomes


@pytest.mark.parametrize("checkpoint_every_s", [NEVER_S, ALWAYS_S])
@pytest.mark.parametrize("kills", [(1,), (3,), (4,), (6,), (11,), (2, 5, 6, 9)])
def test_a_killed_training_ends_as_an_unbroken_one(
    unbroken: dict[str, Outcome], tmp_path: Path, kills: tuple[int, ...], checkpoint_every_s: float
) -> None:
    settings = MODERN.model_copy(update={"checkpoint_every_s": checkpoint_every_s})
    for step in kills:
        with pytest.raises(Killed):
            trainer(settings, tmp_path).run(kill_at(step))
    trainer(settings, tmp_path).run()
    assert Outcome.of(tmp_path) == unbroken["tiny"]


@pytest.mark.parametrize("checkpoint_every_s", [NEVER_S, ALWAYS_S])
@pytest.mark.parametrize("kill", [3, 5])
def test_a_killed_training_of_the_papers_network_ends_as_an_unbroken_one(
    unbroken: dict[str, Outcome], tmp_path: Path, kill: int, checkpoint_every_s: float
) -> None:
    settings = PAPER.model_copy(update={"checkpoint_every_s": checkpoint_every_s})
    with pytest.raises(Killed):
        trainer(settings, tmp_path).run(kill_at(kill))
    trainer(settings, tmp_path).run()
    assert Outcome.of(tmp_path) == unbroken["paper"]


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings.name)
def test_a_training_killed_while_it_saves_ends_as_an_unbroken_one(
    unbroken: dict[str, Outcome],
    tmp_path: Path,
    settings: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The losses and the best network are on disk then, the state is not.
    saves = itertools.count()

    def save_or_die(*arguments: Any) -> None:
        if next(saves) == 1:
            raise Killed
        save_state(*arguments)

    monkeypatch.setattr("deepstorm.training.course.loop.save_state", save_or_die)
    with pytest.raises(Killed):
        trainer(settings, tmp_path).run()
    assert len(losses_of(tmp_path)) == 3
    trainer(settings, tmp_path).run()
    assert Outcome.of(tmp_path) == unbroken[settings.name]


def test_a_training_stopped_by_its_watcher_loses_nothing(
    unbroken: dict[str, Outcome], tmp_path: Path
) -> None:
    def stop(_: Validation) -> None:
        raise Killed

    with pytest.raises(Killed):
        trainer(MODERN, tmp_path).run(on_validation=stop)
    again = trainer(MODERN, tmp_path)
    assert again.history.step == 4
    again.run()
    assert Outcome.of(tmp_path) == unbroken["tiny"]


def test_only_steps_since_the_last_state_are_done_again(tmp_path: Path) -> None:
    steps: list[int] = []
    settings = MODERN.model_copy(update={"checkpoint_every_s": ALWAYS_S})
    with pytest.raises(Killed):
        trainer(settings, tmp_path).run(kill_at(7))
    trainer(settings, tmp_path).run(lambda step, _: steps.append(step))
    assert steps == [7, 8, 9, 10, 11]


def test_a_training_says_what_came_of_it(tmp_path: Path) -> None:
    losses: list[float] = []
    done = trainer(MODERN, tmp_path).run(on_validation=lambda v: losses.append(v.validation_loss))
    assert (done.path, done.steps) == (tmp_path / BEST_NAME, 11)
    assert (done.loss_before, done.loss_after) == (None, min(losses))
    assert done.ending == "all steps are done"
    again = trainer(MODERN, tmp_path).run()
    assert (again.steps, again.loss_after) == (11, min(losses))
    assert done.used_s > 0


def test_a_training_that_has_ended_is_not_done_again(tmp_path: Path) -> None:
    settings = MODERN.model_copy(update={"steps": 2})
    trainer(settings, tmp_path).run()
    before = Outcome.of(tmp_path)
    assert trainer(settings, tmp_path).run(kill_at(1)).path == tmp_path / BEST_NAME
    assert Outcome.of(tmp_path) == before
    (tmp_path / BEST_NAME).unlink()
    with pytest.raises(InputError, match=r"is complete, but .* is missing"):
        trainer(settings, tmp_path).run()


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings.name)
def test_the_seed_decides_the_weights(
    unbroken: dict[str, Outcome], tmp_path: Path, settings: TrainingSettings
) -> None:
    trainer(settings, tmp_path / "same").run()
    assert Outcome.of(tmp_path / "same") == unbroken[settings.name]
    other = trainer(settings.model_copy(update={"seed": 99}), tmp_path / "other")
    first = trainer(settings, tmp_path / "first")
    weights = zip(other.network.parameters(), first.network.parameters(), strict=True)
    assert any(not torch.equal(one, another) for one, another in weights)


def test_global_generators_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    trainer(MODERN.model_copy(update={"steps": 2}), tmp_path).run()
    assert torch.equal(torch.get_rng_state(), before)


def test_losses_are_written_at_each_validation(tmp_path: Path) -> None:
    seen: list[Validation] = []
    steps: list[float] = []
    trainer(MODERN, tmp_path).run(lambda _, loss: steps.append(loss), seen.append)
    header, *rows = losses_of(tmp_path)
    assert header == LOSSES_HEADER
    assert [int(row[0]) for row in rows] == [progress.step for progress in seen] == [4, 8, 11]
    for row, progress, part in zip(rows, seen, (steps[:4], steps[4:8], steps[8:]), strict=True):
        assert float(row[1]) == progress.training_loss == pytest.approx(np.mean(part))
        assert float(row[2]) == progress.validation_loss
        assert float(row[3]) == progress.rate
    rates = [progress.rate for progress in seen]
    assert rates == [MODERN.schedule.rate(step - 1, 11, []) for step in (4, 8, 11)]
    elapsed = [progress.elapsed_s for progress in seen]
    assert elapsed == sorted(elapsed)


def test_a_table_of_losses_that_was_cut_off_is_mended(
    unbroken: dict[str, Outcome], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        trainer(MODERN, tmp_path).run(kill_at(6))
    with (tmp_path / LOSSES_NAME).open("a") as file:
        file.write("8,5.01,4.9,0.001\n11,5.0")
    trainer(MODERN, tmp_path).run()
    assert Outcome.of(tmp_path) == unbroken["tiny"]


class FixedBatch:
    """The same examples at every step, so that there is something to learn in a few of them."""

    def __init__(self, settings: TrainingSettings) -> None:
        source = settings.examples.prepare(settings.scaling, settings.network.upsampling, 0)
        self.scaling: Scaling = source.scaling
        self._batch = source.batch(0)

    def validity(self) -> dict[str, tuple[float, float]]:
        return {}

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        return self._batch


@pytest.mark.parametrize("settings", KINDS, ids=lambda settings: settings.name)
def test_an_easy_task_is_learnt(settings: TrainingSettings, tmp_path: Path) -> None:
    easy = settings.model_copy(
        update={
            "steps": 20,
            "validate_every": 10,
            "averaging": 0.0,
            "schedule": CosineSchedule(peak_rate=5e-3, warmup_steps=1),
        }
    )
    losses: list[float] = []
    seen: list[Validation] = []
    trainer(easy, tmp_path, FixedBatch(easy)).run(lambda _, loss: losses.append(loss), seen.append)
    assert losses[-1] < 0.9 * losses[0]
    assert seen[1].validation_loss < seen[0].validation_loss


def test_the_best_network_holds_the_averaged_weights(tmp_path: Path) -> None:
    averages: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []
    training = trainer(MODERN, tmp_path)

    def remember(progress: Validation) -> None:
        averages.append({name: t.clone() for name, t in training.learner.average.items()})
        losses.append(progress.validation_loss)

    best = training.run(on_validation=remember).path
    network, card = load_network(best)
    expected = averages[int(np.argmin(losses))]
    assert set(network.state_dict()) == set(expected)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name])
    present = training.network.state_dict()
    assert any(not torch.equal(tensor, present[name]) for name, tensor in expected.items())
    assert card.name == "tiny"
    assert card.scaling == PhotonScaling()
    assert card.validity == MODERN.examples.validity()
    assert card.training["validation_loss"] == min(losses)
    best_at = losses.index(min(losses))
    assert [loss for _, loss in card.training["curve"]] == losses[: best_at + 1]
    assert card.training["settings"] == MODERN.model_dump(mode="json")


def test_a_worse_validation_does_not_replace_the_best_network(tmp_path: Path) -> None:
    # A learning rate that destroys what the first steps learnt.
    settings = MODERN.model_copy(
        update={
            "averaging": 0.0,
            "validate_every": 1,
            "steps": 20,
            "schedule": CosineSchedule(peak_rate=0.3, warmup_steps=4),
        }
    )
    losses: list[float] = []

    def look(validation: Validation) -> None:
        losses.append(validation.validation_loss)
        kept = load_network(tmp_path / BEST_NAME)[1].training
        assert kept["step"] == 1 + int(np.argmin(losses))

    with pytest.raises(Killed):
        trainer(settings, tmp_path).run(kill_at(6), look)
    assert losses != sorted(losses, reverse=True)


def test_the_average_moves_slowly_towards_the_weights(tmp_path: Path) -> None:
    settings = MODERN.model_copy(update={"steps": 3})
    training = trainer(settings, tmp_path)
    expected = {name: t.clone() for name, t in training.network.state_dict().items()}

    def follow(step: int, _: float) -> None:
        decay = (1 + step) / (10 + step)
        for name, tensor in training.network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor

    training.run(follow)
    for name, tensor in training.learner.average.items():
        torch.testing.assert_close(tensor, expected[name])


def test_validation_leaves_the_training_as_it_was(tmp_path: Path) -> None:
    # Statistics of the normalization, too: the paper's network has them.
    often = PAPER.model_copy(update={"validate_every": 1, "schedule": CosineSchedule()})
    seldom = often.model_copy(update={"validate_every": 5})
    trainer(often, tmp_path / "often").run()
    trainer(seldom, tmp_path / "seldom").run()
    states = [_bytes(tmp_path / name / STATE_NAME) for name in ("often", "seldom")]
    assert states[0] == states[1]
