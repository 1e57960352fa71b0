from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepstorm.models.architectures import DeepStormNetworkSettings, NativeNetworkSettings
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import save_network
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.native import NativeNetwork
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.training.course.reducing import allow_8_bits
from deepstorm.training.examples.protocol import ExampleSource
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.losses import SpikeCrossEntropyLoss

SHAPE = NativeNetworkSettings(width=4, deep_width=8)


@pytest.fixture
def source() -> ExampleSource:
    return SimulatedExamples(patch_px=8, scenes=2, frames_per_scene=1).prepare(
        PhotonScaling(), 8, 1
    )


@pytest.fixture
def network() -> NativeNetwork:
    torch.manual_seed(3)
    return NativeNetwork(SHAPE).eval()


def kept(network: NativeNetwork, path: Path) -> Path:
    card = NetworkCard(name="tiny", network=SHAPE, scaling=PhotonScaling())
    save_network(path, network, card)
    return path


def test_a_good_network_gets_its_ranges(
    network: NativeNetwork, source: ExampleSource, tmp_path: Path
) -> None:
    path = kept(network, tmp_path / "tiny.safetensors")
    assert allow_8_bits(path, source, SpikeCrossEntropyLoss())
    file = TrainedNetwork.open(path)
    ranges = file.card.activation_ranges
    assert len(ranges) == sum("weight" in name for name in network.state_dict()) + 2
    assert min(ranges) > 0
    for name, tensor in file.load().state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_a_network_that_8_bits_spoil_stays_as_it_is(
    network: NativeNetwork, source: ExampleSource, tmp_path: Path
) -> None:
    """One channel of huge values, which nothing follows from, leaves no steps for the others."""
    with torch.no_grad():
        network.encode_full[0].weight[0] *= 1e5
        network.encode_full[0].bias[0] = 1e5
        network.encode_full[2].weight[:, 0] = 0
        network.head.weight.mul_(3000)
    path = kept(network, tmp_path / "tiny.safetensors")
    before = path.read_bytes()
    assert not allow_8_bits(path, source, SpikeCrossEntropyLoss())
    assert path.read_bytes() == before


def test_the_papers_network_is_left_alone(source: ExampleSource, tmp_path: Path) -> None:
    settings = DeepStormNetworkSettings(upsampling=8)
    path = tmp_path / "paper.safetensors"
    card = NetworkCard(name="paper", network=settings, scaling=MinMaxScaling())
    save_network(path, DeepStormNetwork(settings), card)
    assert not allow_8_bits(path, source, SpikeCrossEntropyLoss())
