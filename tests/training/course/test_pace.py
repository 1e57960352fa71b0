from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.scaling import Scaling
from deepstorm.training.course.folder import STATE_NAME
from deepstorm.training.course.loss_log import Validation
from deepstorm.training.course.pace import Pace, is_stalled
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.course.state import History, read_state
from deepstorm.training.examples.protocol import TRAINING, Batch
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.network import NetworkTrainer, TrainingSettings

BUDGET_S, STEP_S, VALIDATION_S = 100.0, 1.0, 0.5
SETTINGS = TrainingSettings(
    steps=10**9,
    time_budget_s=BUDGET_S,
    precision="float32",
    validate_every=10,
    validation_batches=2,
    network=NativeNetworkSettings(width=4, deep_width=8, upsampling=2),
    examples=SimulatedExamples(patch_px=8, scenes=1, frames_per_scene=1),
    schedule=CosineSchedule(warmup_steps=5),
)


@dataclass
class Clock:
    """Time that passes when it is told to."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class TimedSource:
    """Examples that take a known time each."""

    clock: Clock
    step_s: Callable[[int], float] = lambda step: STEP_S
    scaling: Scaling = field(init=False)

    def __post_init__(self) -> None:
        self._source = SETTINGS.examples.prepare(SETTINGS.scaling, 2, 0)
        self.scaling = self._source.scaling

    def validity(self) -> dict[str, tuple[float, float]]:
        return {}

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        self.clock.now += self.step_s(step) if stream == TRAINING else VALIDATION_S
        return self._source.batch(step, stream)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("pace", "loop"):
        monkeypatch.setattr(f"deepstorm.training.course.{module}.time", clock)
    return clock


def weights(folder: Path) -> dict[str, bytes]:
    tensors = load_file(folder / STATE_NAME)
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


class Killed(Exception):  # noqa: N818
    """Stands for the end of a process."""


def test_a_training_fills_its_time_and_ends_in_it(tmp_path: Path, clock: Clock) -> None:
    began, seen = clock.now, list[Validation]()
    training = NetworkTrainer(SETTINGS, tmp_path, source=TimedSource(clock))
    training.run(on_validation=seen.append)
    assert 0.9 * BUDGET_S < clock.now - began <= BUDGET_S
    history = read_state(tmp_path / STATE_NAME).history
    # (93 s - 5 steps - 1 s of trials - 1 s for the last validation) / 1.1 s, after 5 steps.
    assert history.step == history.planned_steps == seen[-1].step == 78 + 5
    assert history.used_s == pytest.approx(clock.now - began)
    assert training.pace.ending == "all steps are done"
    assert seen[-1].rate == pytest.approx(SETTINGS.schedule.final_rate, rel=0.2)


def test_it_makes_the_network_of_as_many_steps(tmp_path: Path, clock: Clock) -> None:
    for name in ("timed", "counted"):
        (tmp_path / name).mkdir()
    NetworkTrainer(SETTINGS, tmp_path / "timed", source=TimedSource(clock)).run()
    same = SETTINGS.model_copy(update={"time_budget_s": 0.0, "steps": 83})
    NetworkTrainer(same, tmp_path / "counted", source=TimedSource(clock)).run()
    assert weights(tmp_path / "timed") == weights(tmp_path / "counted")


def test_a_resumed_training_keeps_its_plan_and_counts_its_time(
    tmp_path: Path, clock: Clock
) -> None:
    def die(step: int, _: float) -> None:
        if step == 43:
            raise Killed

    for name in ("unbroken", "broken"):
        (tmp_path / name).mkdir()
    NetworkTrainer(SETTINGS, tmp_path / "unbroken", source=TimedSource(clock)).run()
    with pytest.raises(Killed):
        NetworkTrainer(SETTINGS, tmp_path / "broken", source=TimedSource(clock)).run(die)
    clock.now += 1e6  # what lies between two runs does not count
    # The second one runs on a slower machine, yet there is time enough for all steps.
    slower = TimedSource(clock, lambda step: 1.05 * STEP_S)
    NetworkTrainer(SETTINGS, tmp_path / "broken", source=slower).run()
    assert weights(tmp_path / "broken") == weights(tmp_path / "unbroken")
    used = read_state(tmp_path / "broken" / STATE_NAME).history.used_s
    assert 90 < used < BUDGET_S


def test_a_resumed_training_keeps_time_for_its_last_validation(clock: Clock) -> None:
    """It knows how many steps there are, but not yet how long a validation takes."""
    history = History(step=40, planned_steps=10**6, used_s=90.0)
    pace = Pace(SETTINGS, history)
    trials = iter([10.0])
    clock.now += 1.0
    pace.after_step(1.0, lambda: next(trials))
    assert history.is_out_of_time  # 91 s are used, 15 s are reserved
    assert history.planned_steps == 10**6


def test_a_machine_that_slows_down_ends_in_good_order(tmp_path: Path, clock: Clock) -> None:
    began, seen = clock.now, list[Validation]()
    source = TimedSource(clock, lambda step: STEP_S if step < 43 else 3 * STEP_S)
    training = NetworkTrainer(SETTINGS, tmp_path, source=source)
    training.run(on_validation=seen.append)
    assert 0.9 * BUDGET_S < clock.now - began <= BUDGET_S
    history = read_state(tmp_path / STATE_NAME).history
    assert 43 < history.step < history.planned_steps
    assert seen[-1].step == history.step  # the last steps are validated, too
    assert training.pace.ending == "its time was used up"
    steps: list[int] = []
    NetworkTrainer(SETTINGS, tmp_path, source=source).run(lambda step, _: steps.append(step))
    assert steps == []


def test_a_time_too_short_gives_one_step(tmp_path: Path, clock: Clock) -> None:
    short = SETTINGS.model_copy(update={"time_budget_s": 0.5})
    seen: list[Validation] = []
    NetworkTrainer(short, tmp_path, source=TimedSource(clock)).run(on_validation=seen.append)
    assert [progress.step for progress in seen] == [1]


@pytest.mark.parametrize(
    ("losses", "patience", "stalled"),
    [
        ([], 1, False),
        ([1.0], 1, False),
        ([1.0, 1.0], 1, True),
        ([1.0, 0.9], 1, False),
        ([3.0, 1.0, 2.0, 2.0], 2, True),
        ([3.0, 1.0, 2.0, 0.5], 2, False),
        ([3.0, 1.0, 2.0, 0.5, 0.6], 2, False),
        ([1.0, 2.0, 2.0, 2.0], 0, False),
    ],
)
def test_stalled_after_known_losses(losses: list[float], patience: int, stalled: bool) -> None:
    assert is_stalled(losses, patience) is stalled


@given(st.lists(st.floats(0, 10), max_size=30), st.integers(1, 5))
def test_stalled_means_that_the_best_is_so_old(losses: Sequence[float], patience: int) -> None:
    age = len(losses) - 1 - losses.index(min(losses)) if losses else 0
    assert is_stalled(losses, patience) is (age >= patience)


def test_patience_ends_a_training(tmp_path: Path) -> None:
    # A rate that destroys what the first steps learnt; the best network stays.
    settings = SETTINGS.model_copy(
        update={
            "time_budget_s": 0.0,
            "steps": 200,
            "validate_every": 1,
            "averaging": 0.0,
            "patience": 3,
            "gradient_limit": 0.0,
            "schedule": CosineSchedule(peak_rate=1.0, warmup_steps=1),
        }
    )
    source = settings.examples.prepare(settings.scaling, 2, 0)
    losses: list[float] = []
    training = NetworkTrainer(settings, tmp_path, source=source)
    training.run(on_validation=lambda progress: losses.append(progress.validation_loss))
    assert len(losses) == losses.index(min(losses)) + 1 + 3 < 200
    assert training.pace.ending == "3 validations brought no improvement"
    again: list[int] = []
    NetworkTrainer(settings, tmp_path, source=source).run(lambda step, _: again.append(step))
    assert again == []


def test_without_a_time_the_plan_is_the_steps() -> None:
    settings = SETTINGS.model_copy(update={"time_budget_s": 0.0, "steps": 7})
    history = History(step=6)
    pace = Pace(settings, history)
    assert (pace.steps, pace.is_over, pace.ending) == (7, False, "")
    history.step = 7
    assert (pace.is_over, pace.validation_is_due()) == (True, True)
