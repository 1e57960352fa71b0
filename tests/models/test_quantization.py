from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.checkpoint import load_network
from deepstorm.models.native import NativeNetwork
from deepstorm.models.quantization import in_8_bits, measure_ranges
from deepstorm.models.zoo import embedded_cards, find_network
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Instrument

RANGES = (1.0, 2.0, 1.0, 1.0)


class Chain(nn.Module):
    """Four convolutions, the third one transposed, whose kernels leave values as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(1, 1, 1, 1))

    def expected_emitters(self, frames: Tensor) -> Tensor:
        features = functional.conv2d(frames, self.kernel)
        features = functional.conv2d(features, self.kernel)
        features = functional.conv_transpose2d(features, self.kernel)
        return functional.conv2d(features, self.kernel)


def chained(frames: Tensor) -> Tensor:
    with torch.no_grad(), in_8_bits(RANGES):
        return Chain().expected_emitters(frames)


def test_what_enters_is_rounded_to_a_range() -> None:
    values = torch.tensor([0.0, 0.001, 0.4999, 0.7, 0.983, 3.0])
    found = chained(values[None, None, None])[0, 0, 0]
    # The coarser one comes first, then the finer one, which also cuts off.
    steps = (values.clamp(0, 2) * 255 / 2).round() * 2 / 255
    expected = ((steps * 255).round() / 255).clamp(0, 1)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found[1:4], values[1:4], atol=1e-4)


@pytest.mark.parametrize("transposed", [False, True])
def test_each_output_has_its_own_steps(transposed: bool) -> None:
    """A kernel of small numbers is no coarser for a neighbour of large ones."""
    kernels = torch.tensor([[1.0, 0.013], [1e-3, 0.3e-3]])  # of an output each, two inputs
    seen: list[Tensor] = []

    class Pair(nn.Module):
        def expected_emitters(self, frames: Tensor) -> Tensor:
            frames = functional.conv2d(frames, torch.eye(2)[..., None, None])
            if transposed:
                features = functional.conv_transpose2d(frames, kernels.T[..., None, None])
            else:
                features = functional.conv2d(frames, kernels[..., None, None])
            seen.append(features)
            return functional.conv2d(features, torch.eye(2)[..., None, None])

    second = torch.tensor([0.0, 1.0])[None, :, None, None]
    with in_8_bits([1, 1, 1]):
        Pair().expected_emitters(second)
    expected = torch.tensor([round(0.013 * 63) / 63, round(0.3 * 63) / 63 * 1e-3])
    torch.testing.assert_close(seen[0].flatten(), expected)


def test_first_and_last_convolution_stay_exact() -> None:
    values = torch.rand(1, 1, 8, 8)

    class Ends(nn.Module):
        def expected_emitters(self, frames: Tensor) -> Tensor:
            kernel = torch.full((1, 1, 1, 1), 0.3333)
            return functional.conv2d(functional.conv2d(frames, kernel), kernel)

    with in_8_bits([1e-3, 1e-3]):
        torch.testing.assert_close(Ends().expected_emitters(values), values * 0.3333**2)


def test_rounding_ends_with_its_context() -> None:
    values = torch.rand(1, 1, 8, 8)
    with pytest.raises(KeyError), in_8_bits(RANGES):
        raise KeyError
    torch.testing.assert_close(Chain().expected_emitters(values), values)


@pytest.mark.parametrize("ranges", [RANGES[:3], (*RANGES, 1.0)])
def test_ranges_of_another_network_are_refused(ranges: tuple[float, ...]) -> None:
    with (
        pytest.raises(InputError, match=rf"has 4 convolutions, but there are {len(ranges)} ranges"),
        in_8_bits(ranges),
    ):
        Chain().expected_emitters(torch.rand(1, 1, 4, 4))


def test_ranges_are_those_of_usual_frames() -> None:
    batches = [torch.full((50, 1, 4, 4), 0.5) for _ in range(4)]
    for index, batch in enumerate(batches):
        batch[0, 0, 1, 2] = 1.0 + index
    batches[0][1] = 100.0  # a single frame in 200
    ranges = measure_ranges(Chain(), batches)  # type: ignore[arg-type]
    assert len(ranges) == 4
    assert max(ranges) < 5
    assert min(ranges) > 1


def test_ranges_come_in_the_order_of_computation() -> None:
    network = build(NativeNetworkSettings(width=4, deep_width=8)).eval()
    frames = torch.rand(2, 3, 16, 16)
    entered: list[float] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda module, given, result: entered.append(float(given[0].amax()))
            )
    ranges = measure_ranges(network, [frames[:1], frames[:1]])
    # Two of twelve convolutions are in two parts, which no hook sees.
    assert len(ranges) == 14
    seen = entered[: len(entered) // 2]
    positions = [
        min(range(14), key=lambda at, value=value: abs(ranges[at] - value)) for value in seen
    ]
    np.testing.assert_allclose([ranges[at] for at in positions], seen, rtol=1e-5)
    assert positions[0] == 0
    assert positions[-1] == 13


CONDITIONS = [(0.5, 1000.0, 50.0), (5.0, 300.0, 10.0), (5.0, 5000.0, 100.0), (12.0, 2000.0, 20.0)]


@pytest.mark.parametrize(("density", "photons", "background"), CONDITIONS)
def test_the_embedded_network_is_as_good_in_8_bits(
    density: float, photons: float, background: float
) -> None:
    card = embedded_cards()["native"]
    if not card.activation_ranges:
        pytest.skip("the ranges of the embedded network were not measured")
    network = load_network(find_network())[0]
    assert isinstance(network, NativeNetwork)
    settings = SimulationSettings(
        frames=4,
        height_px=48,
        width_px=48,
        density_per_um2=density,
        brightness=Brightness(mean_photons=photons),
        background=Background(mean_photons=background),
    )
    frames = np.concatenate(list(simulate_movie(settings, np.random.default_rng(1)).frames()))
    zero, slope = settings.camera.noise_line()
    scaling = card.scaling.fit(frames, Instrument(zero, slope, 1.1))
    scaled = torch.from_numpy(scaling.apply(frames))
    with torch.inference_mode():
        exact = network.expected_emitters(scaled)
        with in_8_bits(card.activation_ranges):
            reduced = network.expected_emitters(scaled)
    assert float((reduced - exact).square().sum() / exact.square().sum()) < 0.01
    assert float(reduced.sum()) == pytest.approx(float(exact.sum()), rel=0.03)
