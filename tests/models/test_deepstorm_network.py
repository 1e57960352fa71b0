from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from deepstorm.models.architectures import DeepStormNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.deepstorm import (
    SPIKE_HEIGHT,
    Convolution,
    DeepStormNetwork,
    EnlargingConvolution,
)


def network(upsampling: int = 1) -> DeepStormNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(DeepStormNetworkSettings(upsampling=upsampling)).eval()


def frames(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def paper() -> DeepStormNetwork:
    """A network whose batch normalizations are not the identity."""
    net = network(upsampling=2)
    generator = torch.Generator().manual_seed(2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return net


def test_it_has_the_papers_number_of_parameters() -> None:
    with torch.device("meta"):
        net = build(DeepStormNetworkSettings())
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_366_208


def test_it_has_the_papers_layers(paper: DeepStormNetwork) -> None:
    shapes = [tuple(m.weight.shape) for m in paper.modules() if isinstance(m, nn.Conv2d)]
    assert shapes == [
        (32, 1, 3, 3),
        (64, 32, 3, 3),
        (128, 64, 3, 3),
        (512, 128, 3, 3),
        (128, 512, 3, 3),
        (64, 128, 3, 3),
        (32, 64, 3, 3),
        (1, 32, 1, 1),
    ]
    for module in paper.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
        if isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)


def test_it_computes_the_papers_network_layer_for_layer(paper: DeepStormNetwork) -> None:
    weights = paper.state_dict()

    def convolve(features: Tensor, index: int) -> Tensor:
        name = f"layers.{index}"
        features = functional.conv2d(features, weights[f"{name}.0.weight"], padding=1)
        mean, variance = weights[f"{name}.1.running_mean"], weights[f"{name}.1.running_var"]
        features = (features - mean[:, None, None]) / (variance[:, None, None] + 1e-3).sqrt()
        features = features * weights[f"{name}.1.weight"][:, None, None]
        shifted: Tensor = features + weights[f"{name}.1.bias"][:, None, None]
        return shifted.clamp_min(0)

    def enlarge(features: Tensor, factor: int) -> Tensor:
        return features.repeat_interleave(factor, -1).repeat_interleave(factor, -2)

    batch = frames(2, 1, 8, 12)
    features = enlarge(batch, 2)
    for index in range(3):
        features = convolve(features, index)
        # The largest of each 2 × 2 cell.
        features = features.unfold(-2, 2, 2).unfold(-2, 2, 2).amax((-1, -2))
    features = convolve(features, 3)
    for index in range(4, 7):
        features = convolve(enlarge(features, 2), index)
    expected = functional.conv2d(features, weights["head.weight"])
    with torch.no_grad():
        torch.testing.assert_close(paper(batch), expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 0


@pytest.mark.parametrize("upsampling", [1, 2, 3, 4, 6, 8, 12, 16])
def test_the_divisor_is_the_smallest_side_that_fits(upsampling: int) -> None:
    with torch.device("meta"):
        net = build(DeepStormNetworkSettings(upsampling=upsampling)).eval()
        for sides in (1, 2):
            side = net.divisor * sides
            output = net(torch.empty(1, 1, side, side))
            assert output.shape == (1, 1, side * upsampling, side * upsampling)
    fitting = [side for side in range(1, 9) if side * upsampling % 8 == 0]
    assert net.divisor == fitting[0]


def test_nothing_beyond_the_halo_is_seen(paper: DeepStormNetwork) -> None:
    image = frames(1, 1, 48, 48).requires_grad_()
    output = paper(image)[0, 0]
    # Eight neighbours, since pooling cells make the reach depend on the place.
    for centre in range(44, 52):
        (gradient,) = torch.autograd.grad(output[centre, centre], image, retain_graph=True)
        touched = gradient[0, 0].nonzero()
        assert 7 < (touched - centre // 2).abs().max() <= paper.halo_px


@pytest.mark.parametrize("upsampling", [1, 2, 3, 4, 6, 8, 12, 32])
def test_the_halo_keeps_tiles_in_step_with_pooling(upsampling: int) -> None:
    with torch.device("meta"):
        net = build(DeepStormNetworkSettings(upsampling=upsampling))
    assert net.halo_px % net.divisor == 0
    # 2 convolutions at each resolution, 1 at the lowest, reach 2 + 4 + 8 + 8 enlarged pixels;
    # pooled cells of 8 × 8 add up to 7.
    assert net.halo_px * upsampling >= 29


def test_output_is_enlarged_on_both_axes(paper: DeepStormNetwork) -> None:
    with torch.no_grad():
        assert paper(frames(3, 1, 8, 20)).shape == (3, 1, 16, 40)


def test_evaluation_is_deterministic_and_frames_are_independent(paper: DeepStormNetwork) -> None:
    batch = frames(3, 1, 8, 8)
    with torch.no_grad():
        output = paper(batch)
        assert torch.equal(output, paper(batch))
        for index in range(3):
            torch.testing.assert_close(paper(batch[index : index + 1])[0], output[index])


def test_initial_weights_are_orthogonal() -> None:
    for layer in network().layers:
        assert isinstance(layer, Convolution)
        matrix = layer.state_dict()["0.weight"].flatten(1)  # (after, 9 · before)
        if matrix.shape[0] > matrix.shape[1]:
            matrix = matrix.T
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), rtol=0, atol=1e-5)


def test_in_place_activations_change_neither_input_nor_gradients(paper: DeepStormNetwork) -> None:
    plain, batch = copy.deepcopy(paper), frames(1, 1, 8, 8)
    for module in plain.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    kept = batch.clone()
    gradients = [
        torch.autograd.grad(net(batch).square().mean(), list(net.parameters()))
        for net in (paper, plain)
    ]
    assert torch.equal(batch, kept)
    for fast, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, slow)


def test_expected_emitters_undo_the_height_of_spikes(paper: DeepStormNetwork) -> None:
    net, batch = copy.deepcopy(paper), frames(1, 1, 8, 8)
    with torch.no_grad():
        raw = net(batch)
        torch.testing.assert_close(net.expected_emitters(batch) * SPIKE_HEIGHT, raw.clamp_min(0))
        net.head.weight.neg_()
        torch.testing.assert_close(net.expected_emitters(batch) * SPIKE_HEIGHT, -raw.clamp_max(0))
    assert raw.abs().max() > 0


@pytest.mark.parametrize("values", [{"upsampling": 0}, {"upsampling": 33}, {"width": 64}])
def test_impossible_settings_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        DeepStormNetworkSettings.model_validate(values)


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 2**16),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_enlarging_convolutions_are_those_of_repeated_pixels(
    before: int, after: int, shape: tuple[int, int], seed: int, training: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    folded = EnlargingConvolution(before, after).train(training).double()
    features = torch.randn(2, before, *shape, generator=generator, dtype=torch.float64)
    plain = copy.deepcopy(folded)
    repeated = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = nn.Sequential.forward(plain, repeated)
    found = folded(features)
    torch.testing.assert_close(found, expected)
    # The same gradients, too: training through the folded form is training the paper's network.
    weights = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for one, other in zip(folded.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(folded.state_dict(), plain.state_dict())
