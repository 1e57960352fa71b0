from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from children.our_networks import arithmetic, export_weights, unfolded
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.scaling import MinMaxScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import open_network

# (pixels as a part of 64 × 64 at 8 ×, channels before, after) of the paper's 3 × 3 convolutions.
LAYERS = (
    (1, 1, 32),
    (1 / 4, 32, 64),
    (1 / 16, 64, 128),
    (1 / 64, 128, 512),
    (1 / 16, 512, 128),
    (1 / 4, 128, 64),
    (1, 64, 32),
)


@pytest.fixture(scope="module")
def file() -> TrainedNetwork:
    return open_network("deepstorm-paper")


@pytest.fixture(scope="module")
def network(file: TrainedNetwork) -> DeepStormNetwork:
    loaded = file.load()
    assert isinstance(loaded, DeepStormNetwork)
    return loaded


def test_multiplications_are_counted(network: DeepStormNetwork) -> None:
    pixels = 512**2
    head = pixels * 32
    encoder, decoder = (
        sum(9 * share * pixels * before * after for share, before, after in layers)
        for layers in (LAYERS[:4], LAYERS[4:])
    )
    small = arithmetic(network, 64)
    assert small["unfolded"] == pytest.approx((encoder + decoder + head) / 1e9)
    # Each of a pixel's four copies meets 4 different values instead of 9.
    assert small["folded"] == pytest.approx((encoder + 4 / 9 * decoder + head) / 1e9)
    assert arithmetic(network, 128)["folded"] == pytest.approx(4 * small["folded"])


def test_skips_are_folded_for_what_comes_from_below() -> None:
    counts = arithmetic(build(NativeNetworkSettings(width=4, deep_width=8)), 8)
    # 8 channels from below into 8 at half resolution, and 8 into 4 at full resolution.
    from_below = 9 * (4**2 * 8 * 8 + 8**2 * 8 * 4) / 1e9
    assert counts["unfolded"] - counts["folded"] == pytest.approx(5 / 9 * from_below)


def test_counting_leaves_the_network_as_it_was(network: DeepStormNetwork) -> None:
    arithmetic(network, 16)
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}


def test_the_published_form_gives_the_same(network: DeepStormNetwork) -> None:
    frames = torch.randn(1, 1, 5, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, written = network(frames), unfolded(network)(frames)
    assert (ours > 0).any()
    assert (ours < 0).any()
    torch.testing.assert_close(ours, written, rtol=0, atol=1e-5 * float(ours.abs().max()))


def test_exported_weights_are_those_of_the_network(
    network: DeepStormNetwork, file: TrainedNetwork, tmp_path: Path
) -> None:
    """Run the encoder as Keras's conventions have it, from the exported arrays."""
    export_weights(file, tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz") as stored:
        weights = {name: torch.from_numpy(stored[name]) for name in stored}
    features = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = network.layers[1](functional.max_pool2d(network.layers[0](features), 2))
    for index in (0, 1):
        kernel = weights[f"convolution{index}"].permute(3, 2, 0, 1)
        factor, offset, mean, variance = weights[f"normalization{index}"][..., None, None]
        features = functional.conv2d(features, kernel, padding=1)
        scale = factor / (variance + weights["epsilon"]).sqrt()
        features = ((features - mean) * scale + offset).relu()
        features = functional.max_pool2d(features, 2) if index == 0 else features
    torch.testing.assert_close(features, wanted, rtol=1e-4, atol=1e-5)
    assert weights["head"].shape == (1, 1, 32, 1)
    assert isinstance(file.card.scaling, MinMaxScaling)
    assert weights["mean"] == file.card.scaling.mean
