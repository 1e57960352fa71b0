from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deepstorm.errors import InputError
from deepstorm.training.course.learner import Learner
from deepstorm.training.course.state import read_state, write_state


def learner(averaging: float = 0.9, gradient_limit: float = 1.0) -> Learner:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Learner(module, averaging, gradient_limit)


def learn(pupil: Learner, steps: int, factor: float = 1.0) -> None:
    for _ in range(steps):
        place = pupil.history.step
        image = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(place))
        loss = factor * pupil.module(image).square().mean()
        pupil.step(loss, 1e-2, float(loss.detach()))


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_learner_that_was_kept_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, steps: int
) -> None:
    unbroken, broken, resumed = learner(), learner(), learner()
    learn(unbroken, 7)
    learn(broken, steps)
    path = tmp_path / "state.safetensors"
    write_state(path, broken.state("settings"))
    resumed.take_up(read_state(path), path)
    assert resumed.history.step == steps
    learn(resumed, 7 - steps)
    assert same(resumed.state("").tensors, unbroken.state("").tensors)
    assert resumed.history == unbroken.history


def test_a_state_of_another_module_is_refused(tmp_path: Path) -> None:
    pupil = learner()
    learn(pupil, 1)
    path = tmp_path / "state.safetensors"
    write_state(path, pupil.state(""))
    other = Learner(nn.Conv2d(2, 4, 3), 0.9, 1.0)
    before = copied(other.module.state_dict())
    with pytest.raises(InputError, match="is not the complete state"):
        other.take_up(read_state(path), path)
    assert same(other.module.state_dict(), before)


def test_averaged_weights_lag_behind_and_are_lent() -> None:
    pupil = learner()
    learn(pupil, 5)
    present = copied(pupil.module.state_dict())
    with pupil.averaged():
        assert same(pupil.module.state_dict(), pupil.average)
        assert not same(pupil.module.state_dict(), present)
    assert same(pupil.module.state_dict(), present)


def test_lent_weights_are_given_back_when_something_fails() -> None:
    pupil = learner()
    learn(pupil, 5)
    present = copied(pupil.module.state_dict())
    with pytest.raises(InputError), pupil.averaged():
        raise InputError
    assert same(pupil.module.state_dict(), present)


def test_without_averaging_the_average_is_the_present() -> None:
    pupil = learner(averaging=0.0)
    learn(pupil, 3)
    assert same(pupil.average, pupil.module.state_dict())


def test_counts_are_not_averaged() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    pupil = Learner(module, 0.9, 1.0)
    learn(pupil, 3)
    assert pupil.average["1.num_batches_tracked"] == 3
    assert not torch.equal(pupil.average["1.running_var"], module.state_dict()["1.running_var"])


def test_weights_decay_without_a_gradient() -> None:
    decaying, lasting = (
        Learner(learner().module, 0.0, 0.0, weight_decay=decay) for decay in (0.5, 0.0)
    )
    for pupil in (decaying, lasting):
        learn(pupil, 1, factor=0.0)
    # At a rate of 0.01 and with no gradient, AdamW leaves 1 - 0.01 * decay of each weight.
    for name, weight in lasting.module.state_dict().items():
        torch.testing.assert_close(decaying.module.state_dict()[name], 0.995 * weight)


@pytest.mark.parametrize("limit", [0.0, 1e-3])
def test_gradients_are_limited(limit: float) -> None:
    pupil = learner(gradient_limit=limit)
    learn(pupil, 1, factor=100)
    gradients = [w.grad for w in pupil.module.parameters() if w.grad is not None]
    norm = float(torch.stack([g.norm() for g in gradients]).norm())
    assert norm > 1 if limit == 0 else norm <= limit * 1.001
