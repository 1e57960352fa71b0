from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deepstorm.errors import InputError
from deepstorm.models import checkpoint
from deepstorm.models.architectures import (
    DeepStormNetworkSettings,
    NativeNetworkSettings,
    RefinementSettings,
)
from deepstorm.models.checkpoint import Network, NetworkCard, load_network, save_network
from deepstorm.models.network_file import NetworkFile, file_checksum
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.zoo import embedded_cards, embedded_networks

TINY = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)
CARD = NetworkCard(name="tiny", network=TINY, scaling=PhotonScaling())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "tiny.safetensors"
    save_network(target, TINY.build(), CARD)
    return target


def test_it_knows_its_card_and_loads_its_weights(path: Path) -> None:
    file = NetworkFile(str(path))
    assert file.card == CARD
    assert file.path == path
    assert file.checksum == file_checksum(path)
    loaded, expected = file.load(), load_network(path)[0]
    assert not loaded.training
    for name, tensor in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    noise = tmp_path / "noise.safetensors"
    noise.write_bytes(bytes(100))
    with pytest.raises(InputError, match="not a complete safetensors file"):
        NetworkFile(noise)
    with pytest.raises(InputError, match="there is no network file"):
        NetworkFile(tmp_path / "nowhere.safetensors")


def test_damaged_weights_are_refused_when_they_are_loaded(path: Path) -> None:
    network = TINY.build()
    with torch.no_grad():
        network.head.weight[0] = float("nan")
    save_network(path, network, CARD, overwrite=True)
    file = NetworkFile(path)
    with pytest.raises(InputError, match="not finite numbers"):
        file.load()


def test_a_file_that_is_replaced_meanwhile_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = NetworkFile(path)
    load = checkpoint.load_network

    def slow(source: Path) -> tuple[Network, NetworkCard]:
        found = load(source)
        save_network(source, TINY.build(), CARD, overwrite=True)
        return found

    monkeypatch.setattr(checkpoint, "load_network", slow)
    with pytest.raises(InputError, match="was replaced while it was read; start again"):
        file.load()


def test_cards_are_read_without_pytorch() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from deepstorm.models.zoo import embedded_cards; embedded_cards();"
            "print('torch' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "False"


def test_embedded_cards_are_those_of_the_embedded_networks() -> None:
    cards = embedded_cards()
    assert cards.keys() == embedded_networks().keys()
    for name, path in embedded_networks().items():
        assert cards[name] == load_network(path)[1]


@pytest.mark.parametrize(
    "settings",
    [
        NativeNetworkSettings(width=4, deep_width=8, upsampling=5, channels=2),
        DeepStormNetworkSettings(upsampling=3),
        DeepStormNetworkSettings(upsampling=8),
    ],
    ids=str,
)
def test_what_is_known_without_weights_is_what_networks_say(
    settings: NativeNetworkSettings | DeepStormNetworkSettings,
) -> None:
    with torch.device("meta"):
        network = settings.build()
    for name in ("upsampling", "channels", "divisor", "halo_px"):
        assert getattr(network, name) == getattr(settings, name)


def test_what_is_known_of_refiners_is_what_they_say() -> None:
    settings = RefinementSettings(width=2, half_width=2, quarter_width=2, reach_px=9)
    refiner = settings.build()
    assert (refiner.divisor, refiner.halo_px) == (settings.divisor, settings.halo_px)


def test_the_papers_network_needs_more_memory_per_pixel() -> None:
    native, paper = NativeNetworkSettings(), DeepStormNetworkSettings()
    assert paper.features_per_px > 3 * native.features_per_px
    # No less than the widest layer, with the layer before it.
    assert native.features_per_px > native.width + native.deep_width
    assert paper.features_per_px >= 2 * 32 * paper.upsampling**2
