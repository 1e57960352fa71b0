from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from deepstorm.models.architectures import DeepStormNetworkSettings, NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.native import NativeNetwork
from deepstorm.models.network import Network
from deepstorm.models.rendering import ConcentratedRendering
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def enliven(network: Network, output_scale: float, output_bias: float | None) -> None:
    """Draw weights and biases at random, so that the output varies from pixel to pixel."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.7, 1.3, generator=generator)
            module.bias.data.normal_(0, 0.3, generator=generator)
        if isinstance(module, nn.Conv2d):
            inputs = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / inputs) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.2, generator=generator)
    network.head.weight.data.mul_(output_scale)
    if output_bias is not None and network.head.bias is not None:
        network.head.bias.data.add_(output_bias)
    network.eval()


@pytest.fixture(scope="package")
def native_network() -> NativeNetwork:
    network = build(NativeNetworkSettings(width=4, deep_width=8))
    enliven(network, output_scale=3.0, output_bias=-4.0)
    return network


@pytest.fixture(scope="package")
def paper_network() -> DeepStormNetwork:
    network = build(DeepStormNetworkSettings())
    enliven(network, output_scale=3.0, output_bias=None)
    return network


@pytest.fixture(scope="package")
def native_card(native_network: NativeNetwork) -> NetworkCard:
    settings = NativeNetworkSettings(width=4, deep_width=8)
    return NetworkCard(
        name="tiny", network=settings, scaling=PhotonScaling(), rendering=ConcentratedRendering()
    )


@pytest.fixture(scope="package")
def paper_card() -> NetworkCard:
    scaling = MinMaxScaling(mean=0.2, standard_deviation=0.2)
    return NetworkCard(name="paper", network=DeepStormNetworkSettings(), scaling=scaling)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
