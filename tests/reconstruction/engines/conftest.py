from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from deepstorm.models.architectures import NativeNetworkSettings, RefinementSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import save_network
from deepstorm.models.native import NativeNetwork
from deepstorm.models.quantization import measure_ranges
from deepstorm.models.refinement import Refiner
from deepstorm.models.rendering import ConcentratedRendering
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines import kept_models

Frames = npt.NDArray[np.float32]

SHAPE = NativeNetworkSettings(width=4, deep_width=8)
REFINEMENT = RefinementSettings(width=4, half_width=4, quarter_width=4)


@pytest.fixture(scope="package")
def network() -> NativeNetwork:
    """A network with a refiner, both of which answer differently from pixel to pixel."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = build(SHAPE)
        for module in built.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.2)
        nn.init.normal_(built.head.weight, std=1.5)
        nn.init.constant_(built.head.bias, -4.0)  # type: ignore[arg-type]
        built.refiner = Refiner(REFINEMENT)
        nn.init.normal_(built.refiner.head.weight, std=3.0)
    return built.eval()


@pytest.fixture(scope="package")
def card(network: NativeNetwork, draw_frames: Callable[..., Frames]) -> NetworkCard:
    return NetworkCard(
        name="tiny",
        network=SHAPE,
        scaling=PhotonScaling(),
        rendering=ConcentratedRendering(),
        refinement=REFINEMENT,
        activation_ranges=measure_ranges(network, [torch.from_numpy(draw_frames(8, 3, 32, 32))]),
    )


@pytest.fixture(scope="package")
def draw_frames() -> Callable[..., Frames]:
    def draw(*shape: int) -> Frames:
        return np.random.default_rng(0).normal(0.5, 1.0, shape).astype(np.float32)

    return draw


@pytest.fixture(scope="package", autouse=True)
def cache_for_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep converted networks apart from those of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(kept_models.SWITCH, raising=False)
        for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(variable, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="package")
def trained(network: NativeNetwork, card: NetworkCard) -> TrainedNetwork:
    return TrainedNetwork.of(network, card)


@pytest.fixture(scope="package")
def file(
    tmp_path_factory: pytest.TempPathFactory, network: NativeNetwork, card: NetworkCard
) -> TrainedNetwork:
    path = tmp_path_factory.mktemp("networks") / "tiny.safetensors"
    save_network(path, network, card)
    return TrainedNetwork.open(path)
