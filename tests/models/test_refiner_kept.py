from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepstorm.models.architectures import NativeNetworkSettings, RefinementSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import load_network, save_network
from deepstorm.models.refinement import Refiner
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork

TINY = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)
SMALL = RefinementSettings(width=2, half_width=2, quarter_width=2)


def saved(
    path: Path, network: NativeNetworkSettings = TINY, refinement: RefinementSettings | None = None
) -> Path:
    """Write a network of drawn weights."""
    module = build(network)
    if refinement is not None:
        module.refiner = Refiner(refinement)
    card = NetworkCard(
        name=path.stem, network=network, scaling=PhotonScaling(), refinement=refinement
    )
    save_network(path, module, card)
    return path


def test_a_refiner_comes_along_weight_for_weight(tmp_path: Path) -> None:
    tuned = saved(tmp_path / "tuned.safetensors")
    source = saved(tmp_path / "source.safetensors", refinement=SMALL)
    made = tmp_path / "made.safetensors"
    joined = TrainedNetwork.open(tuned).with_refiner_of(TrainedNetwork.open(source))
    save_network(made, joined.load(), joined.card)
    network, card = load_network(made)
    assert (card.name, card.refinement) == ("tuned", SMALL)
    assert card.training["refiner_of"] == "source"
    expected = load_network(tuned)[0].state_dict()
    refiner = load_network(source)[0].refiner
    assert refiner is not None
    expected |= {f"refiner.{name}": tensor for name, tensor in refiner.state_dict().items()}
    found = network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("own", "architecture", "theirs"),
    [
        (SMALL, TINY, RefinementSettings(width=3)),  # it has one of its own
        (None, TINY, None),
        (None, NativeNetworkSettings(width=8, deep_width=8, upsampling=2), SMALL),
    ],
)
def test_other_networks_stay_as_they_are(
    own: RefinementSettings | None,
    architecture: NativeNetworkSettings,
    theirs: RefinementSettings | None,
    tmp_path: Path,
) -> None:
    tuned = saved(tmp_path / "tuned.safetensors", refinement=own)
    source = saved(tmp_path / "source.safetensors", architecture, theirs)
    trained = TrainedNetwork.open(tuned)
    joined = trained.with_refiner_of(TrainedNetwork.open(source))
    assert joined is trained
    assert joined.card == load_network(tuned)[1]
    assert (joined.load().refiner is None) == (own is None)
