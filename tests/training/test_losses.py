from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import signal, stats
from torch import Tensor

from deepstorm.training.losses import (
    BlurredSpikesLoss,
    Loss,
    SpikeCrossEntropyLoss,
    gaussian_blur,
)

LOSSES: list[Loss] = [BlurredSpikesLoss(), SpikeCrossEntropyLoss()]


def draw(seed: int = 0, occupied: float = 0.02) -> tuple[Tensor, Tensor]:
    """Outputs and spike counts of two frames."""
    generator = torch.Generator().manual_seed(seed)
    output = torch.randn(2, 1, 24, 20, generator=generator)
    rate = torch.full((2, 1, 24, 20), occupied)
    return output, torch.poisson(rate, generator=generator)


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 7), (0.6, 7), (2.0, 13)])
@pytest.mark.parametrize("side", [5, 20])
def test_blur_is_a_convolution_with_a_sampled_gaussian(sigma: float, size: int, side: int) -> None:
    line = torch.randn(side, generator=torch.Generator().manual_seed(side))
    profile = stats.norm.pdf(np.arange(size) - size // 2, scale=sigma)
    profile *= 2 / profile.sum()
    reach = size // 2
    expected = np.convolve(line, profile)[reach : reach + side]
    found = gaussian_blur(side, sigma, size, 2.0) @ line
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("sigma", "size"), [(1.0, 7), (0.5, 7), (1.5, 11)])
@pytest.mark.parametrize("l1_weight", [0.0, 1.0, 3.0])
def test_blurred_spikes_follow_the_formula(sigma: float, size: int, l1_weight: float) -> None:
    output, spikes = draw()
    profile = stats.norm.pdf(np.arange(size) - size // 2, scale=sigma)
    kernel = np.outer(profile, profile)
    # 100 times a unit spike through a kernel of sum 1 is 50 times one through a kernel of sum 2.
    kernel *= 2 / kernel.sum()
    squares = [
        signal.convolve2d(found - 50 * true, kernel, mode="same") ** 2
        for found, true in zip(output[:, 0].double(), spikes[:, 0].double(), strict=True)
    ]
    expected = np.mean(squares) + l1_weight * output.abs().mean().item()
    loss = BlurredSpikesLoss(sigma_px=sigma, l1_weight=l1_weight)(output, spikes)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_blurred_spikes_are_best_matched_by_spikes_of_height_50() -> None:
    _, spikes = draw(1)
    loss = BlurredSpikesLoss(l1_weight=0.0)
    assert loss(50 * spikes, spikes).item() == 0.0
    assert loss(45 * spikes, spikes).item() > 0.0


def test_the_l1_term_prefers_fewer_light() -> None:
    _, spikes = draw(2)
    height = 50 * spikes
    assert BlurredSpikesLoss()(height, spikes).item() == pytest.approx(height.mean().item())


@given(st.integers(1, 99))
@settings(max_examples=20, deadline=None)
def test_cross_entropy_is_least_at_the_true_probability(percent: int) -> None:
    # 100 pixels that look alike, of which some are occupied: one log-odds for all of them.
    spikes = torch.zeros(100, dtype=torch.float64)
    spikes[:percent] = 1
    spikes = spikes.reshape(1, 1, 10, 10)
    best = math.log(percent / (100 - percent))

    def loss(log_odds: float) -> Tensor:
        return SpikeCrossEntropyLoss()(torch.full_like(spikes, log_odds), spikes)

    entropy = -percent * math.log(percent / 100) - (100 - percent) * math.log(1 - percent / 100)
    assert loss(best).item() == pytest.approx(entropy / percent)
    for step in (-0.1, 0.1):
        assert loss(best + step).item() > loss(best).item()


def test_cross_entropy_does_not_depend_on_the_size_of_the_batch() -> None:
    output, spikes = draw(3)
    once = SpikeCrossEntropyLoss()(output, spikes)
    twice = SpikeCrossEntropyLoss()(output.repeat(2, 1, 1, 1), spikes.repeat(2, 1, 1, 1))
    assert twice.item() == pytest.approx(once.item(), rel=1e-6)


def test_two_emitters_in_a_pixel_occupy_it_once() -> None:
    output, spikes = draw(4, occupied=0.2)
    assert spikes.max() >= 2
    single = SpikeCrossEntropyLoss()(output, spikes.clamp(max=1))
    assert SpikeCrossEntropyLoss()(output, spikes).item() == single.item()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("occupied", [0.0, 0.02])
def test_losses_and_gradients_are_finite(loss: Loss, scale: float, occupied: float) -> None:
    output, spikes = draw(5, occupied)
    output = (scale * output).requires_grad_()
    value = loss(output, spikes)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    if scale == 1.0:
        assert output.grad.abs().max() > 0


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_gradients_are_those_of_finite_differences(loss: Loss) -> None:
    output, spikes = draw(6)
    output = output[:1, :, :6, :6].contiguous().requires_grad_()
    value = loss(output, spikes[:1, :, :6, :6])
    (gradient,) = torch.autograd.grad(value, output)
    step = 0.01
    for place in [(0, 0, 0, 0), (0, 0, 3, 2)]:
        bump = torch.zeros_like(output)
        bump[place] = step
        with torch.no_grad():
            sides = [loss(output + sign * bump, spikes[:1, :, :6, :6]) for sign in (1, -1)]
        slope = (sides[0] - sides[1]).item() / (2 * step)
        # Differences of values of about 100 in single precision, over 0.02.
        assert gradient[place].item() == pytest.approx(slope, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_arguments_are_left_as_they_were(loss: Loss) -> None:
    output, spikes = draw(7, occupied=0.3)
    before = output.clone(), spikes.clone()
    loss(output, spikes)
    assert torch.equal(output, before[0])
    assert torch.equal(spikes, before[1])


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.kind)
def test_losses_survive_json(loss: Loss) -> None:
    adapter: TypeAdapter[Loss] = TypeAdapter(Loss)
    assert adapter.validate_json(loss.model_dump_json()) == loss


@pytest.mark.parametrize("values", [{"kind": "mse"}, {"kind": "blurred_spikes", "sigma_px": 0}, {}])
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Loss).validate_python(values)
