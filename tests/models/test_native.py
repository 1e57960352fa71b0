from __future__ import annotations

import copy
import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.native import NativeNetwork


def network(upsampling: int = 2, seed: int = 0, channels: int = 3) -> NativeNetwork:
    settings = NativeNetworkSettings(
        width=4, deep_width=8, upsampling=upsampling, channels=channels
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = build(settings)
        # The fresh head is nearly blind; a trained one is not.
        nn.init.normal_(built.head.weight)
    return built.eval()


def frames(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("upsampling", [1, 2, 3, 8])
@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 12), (36, 20)])
def test_each_pixel_becomes_upsampling_squared(upsampling: int, height: int, width: int) -> None:
    with torch.no_grad():
        output = network(upsampling)(frames(3, 3, height, width))
    assert output.shape == (3, 1, height * upsampling, width * upsampling)
    assert output.isfinite().all()


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_every_channel_is_seen(channels: int) -> None:
    net = network(channels=channels)
    assert net.channels == channels
    batch = frames(1, channels, 16, 16).requires_grad_()
    net(batch).square().sum().backward()
    assert batch.grad is not None
    assert (batch.grad.abs().amax((0, 2, 3)) > 0).all()


def test_the_default_is_the_documented_architecture() -> None:
    with torch.device("meta"):
        built = build(NativeNetworkSettings())
    shapes = [tuple(m.weight.shape) for m in built.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [
        (64, 3, 3, 3),
        (64, 64, 3, 3),
        (128, 64, 3, 3),
        (128, 128, 3, 3),
        (128, 128, 3, 3),
        (128, 128, 3, 3),
        (128, 256, 3, 3),
        (128, 128, 3, 3),
        (64, 192, 3, 3),
        (64, 64, 3, 3),
        (128, 64, 3, 3),
        (64, 128, 1, 1),
    ]


def test_evaluation_is_deterministic_and_frames_are_independent() -> None:
    net, batch = network(), frames(3, 3, 16, 16)
    with torch.no_grad():
        output = net(batch)
        assert torch.equal(output, net(batch))
        for index in range(3):
            torch.testing.assert_close(net(batch[index : index + 1])[0], output[index])


@pytest.mark.parametrize(("rows", "columns"), [(4, 0), (0, 8), (12, 4)])
def test_a_shift_by_whole_pooling_cells_shifts_the_output(rows: int, columns: int) -> None:
    net, upsampling = network(), 2
    large = frames(1, 3, 96, 100)
    first = large[..., :80, :84]
    shifted = large[..., rows : rows + 80, columns : columns + 84]
    with torch.no_grad():
        before, after = net(first), net(shifted)
    margin, dy, dx = net.halo_px * upsampling, rows * upsampling, columns * upsampling
    height, width = before.shape[-2] - dy, before.shape[-1] - dx
    interior = (..., slice(margin, height - margin), slice(margin, width - margin))
    moved = before[..., dy:, dx:]
    assert moved[interior].numel() > 0
    torch.testing.assert_close(after[interior[0], interior[1], interior[2]], moved[interior])


def test_nothing_beyond_the_halo_is_seen() -> None:
    net = network(upsampling=1).double()
    assert net.halo_px % net.divisor == 0
    image = frames(1, 3, 96, 96).double().requires_grad_()
    # Four neighbours, since pooling cells make the reach depend on the place.
    for centre in range(46, 50):
        (gradient,) = torch.autograd.grad(net(image)[0, 0, centre, centre], image)
        touched = gradient[0].abs().sum(0).nonzero()
        assert 12 < (touched - centre).abs().max() <= net.halo_px


def test_sub_pixels_are_in_their_own_camera_pixel() -> None:
    # With a blind network, the head's bias alone decides: channel r · upsampling + c is sub-pixel
    # (row r, column c).
    net = network(upsampling=3)
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.copy_(torch.arange(9.0))  # type: ignore[union-attr]
        output = net(frames(1, 3, 4, 8))[0, 0]
    for row in range(3):
        for column in range(3):
            assert (output[row::3, column::3] == 3 * row + column).all()


def test_in_place_activations_change_neither_input_nor_gradients() -> None:
    net, batch = network(), frames(2, 3, 16, 16)
    plain = copy.deepcopy(net)
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    kept = batch.clone()
    for each in (net, plain):
        each(batch).square().mean().backward()
    assert torch.equal(batch, kept)
    for fast, slow in zip(net.parameters(), plain.parameters(), strict=True):
        assert fast.grad is not None
        assert slow.grad is not None
        torch.testing.assert_close(fast.grad, slow.grad)
        assert fast.grad.abs().max() > 0


def test_a_fresh_network_expects_few_emitters() -> None:
    torch.manual_seed(0)
    fresh = build(NativeNetworkSettings(width=4, deep_width=8)).eval()
    with torch.no_grad():
        expected = fresh.expected_emitters(frames(2, 3, 16, 16))
    assert expected.mean().item() == pytest.approx(1 / (1 + math.exp(6)), rel=0.3)


def test_expected_emitters_are_probabilities() -> None:
    net, batch = network(), frames(2, 3, 16, 16)
    with torch.no_grad():
        expected, log_odds = net.expected_emitters(100 * batch), net(100 * batch)
    assert (expected >= 0).all()
    assert (expected <= 1).all()
    torch.testing.assert_close(expected, torch.sigmoid(log_odds))


def test_initial_weights_follow_the_seed() -> None:
    one, same, other = network(seed=1), network(seed=1), network(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head.weight, other.head.weight)


@pytest.mark.parametrize(
    "values",
    [{"width": 2}, {"deep_width": 10**6}, {"upsampling": 0}, {"channels": 0}, {"depth": 3}],
)
def test_impossible_settings_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        NativeNetworkSettings.model_validate(values)
