from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from deepstorm.errors import InputError
from deepstorm.files import file_checksum
from deepstorm.models import checkpoint
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import load_network, save_network
from deepstorm.models.network import Network
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import embedded_cards, embedded_networks, open_network

TINY = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)
CARD = NetworkCard(name="tiny", network=TINY, scaling=PhotonScaling())
OTHER_CARD = CARD.model_copy(update={"name": "other"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "tiny.safetensors"
    save_network(target, build(TINY), CARD)
    return target


@pytest.fixture
def network() -> Network:
    return build(TINY)


def same_weights(one: Network, other: Network) -> bool:
    weights = other.state_dict()
    assert one.state_dict().keys() == weights.keys()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items())


def test_one_in_a_file_knows_its_card_and_loads_its_weights(path: Path) -> None:
    trained = TrainedNetwork.open(str(path))
    assert trained.card == CARD
    assert trained.name == "tiny"
    assert trained.path == path
    assert trained.checksum == file_checksum(path)
    loaded = trained.load()
    assert not loaded.training
    assert same_weights(loaded, load_network(path)[0])


def test_each_loading_gives_a_network_of_its_own(path: Path) -> None:
    trained = TrainedNetwork.open(path)
    first, second = trained.load(), trained.load()
    with torch.no_grad():
        first.head.bias += 1
    assert not same_weights(first, second)
    assert same_weights(second, trained.load())


def test_one_in_memory_is_the_network_itself(network: Network) -> None:
    trained = TrainedNetwork.of(network.train(), CARD)
    assert (trained.card, trained.name, trained.path) == (CARD, "tiny", None)
    assert trained.load() is network
    assert not network.training


def test_the_checksum_in_memory_tells_weights_and_cards_apart(network: Network) -> None:
    trained = TrainedNetwork.of(network, CARD)
    before = trained.checksum
    assert before == TrainedNetwork.of(network, CARD).checksum
    assert before != TrainedNetwork.of(network, OTHER_CARD).checksum
    with torch.no_grad():
        network.head.bias[0] += 1
    assert trained.checksum != before


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    noise = tmp_path / "noise.safetensors"
    noise.write_bytes(bytes(100))
    with pytest.raises(InputError, match="not a complete safetensors file"):
        TrainedNetwork.open(noise)
    with pytest.raises(InputError, match="there is no network file"):
        TrainedNetwork.open(tmp_path / "nowhere.safetensors")


def test_damaged_weights_are_refused_when_they_are_loaded(path: Path, network: Network) -> None:
    with torch.no_grad():
        network.head.weight[0] = float("nan")
    save_network(path, network, CARD, overwrite=True)
    trained = TrainedNetwork.open(path)
    with pytest.raises(InputError, match="not finite numbers"):
        trained.load()


def test_a_file_that_is_replaced_while_it_is_read_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = TrainedNetwork.open(path)
    load = checkpoint.load_network

    def slow(source: Path) -> tuple[Network, NetworkCard]:
        found = load(source)
        save_network(source, build(TINY), CARD, overwrite=True)
        return found

    monkeypatch.setattr(checkpoint, "load_network", slow)
    with pytest.raises(InputError, match="was replaced while it was in use; start again"):
        trained.load()


def test_weights_of_another_card_are_refused(path: Path, network: Network) -> None:
    trained = TrainedNetwork.open(path)
    save_network(path, network, OTHER_CARD, overwrite=True)
    with pytest.raises(InputError, match="was replaced"):
        _ = trained.checksum
    with pytest.raises(InputError, match="was replaced"):
        trained.load()


def test_weights_other_than_those_of_the_checksum_are_refused(path: Path, network: Network) -> None:
    trained = TrainedNetwork.open(path)
    assert trained.checksum
    save_network(path, network, CARD, overwrite=True)
    with pytest.raises(InputError, match="was replaced"):
        trained.load()


def test_a_file_that_went_away_is_named(path: Path) -> None:
    trained = TrainedNetwork.open(path)
    path.unlink()
    with pytest.raises(InputError, match=r"there is no network file .*tiny.safetensors"):
        trained.load()


def unpickled(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - these tests wrote it


def test_one_in_a_file_survives_pickling(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    trained = TrainedNetwork.open(path.name)
    pickled = pickle.dumps(trained)
    assert len(pickled) < 1000  # no weights
    monkeypatch.chdir("/")
    back = unpickled(pickled)
    assert (back.card, back.checksum, back.path) == (CARD, file_checksum(path), path)
    assert same_weights(back.load(), load_network(path)[0])
    assert unpickled(pickle.dumps(back)).checksum == trained.checksum


def sum_of_weights(trained: TrainedNetwork) -> float:
    return sum(float(tensor.sum()) for tensor in trained.load().state_dict().values())


def test_one_in_a_file_reaches_another_process(path: Path) -> None:
    trained = TrainedNetwork.open(path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(sum_of_weights, (trained,)) == sum_of_weights(trained)


@pytest.mark.parametrize("card", [CARD, OTHER_CARD], ids=["same card", "other card"])
def test_another_file_in_its_place_is_refused(
    path: Path, network: Network, card: NetworkCard
) -> None:
    pickled = pickle.dumps(TrainedNetwork.open(path))
    before = file_checksum(path)
    save_network(path, network, card, overwrite=True)
    with pytest.raises(InputError, match=f"but {before} was expected: it was replaced"):
        unpickled(pickled)
    path.unlink()
    with pytest.raises(InputError, match="there is no network file"):
        unpickled(pickled)


def test_one_in_memory_is_not_pickled(network: Network) -> None:
    with pytest.raises(TypeError, match="save it to a file, and open that"):
        pickle.dumps(TrainedNetwork.of(network, CARD))


def test_pytorch_is_not_needed_before_weights_are(path: Path) -> None:
    steps = (
        "import pickle, sys",
        "from deepstorm.models.trained_network import TrainedNetwork",
        "from deepstorm.models.zoo import embedded_cards, open_network",
        "embedded_cards()",
        "open_network().checksum",
        f"trained = pickle.loads(pickle.dumps(TrainedNetwork.open({str(path)!r})))",
        "print(trained.name, 'torch' in sys.modules)",
        "trained.load()",
        "print('torch' in sys.modules)",
    )
    told = subprocess.run(
        [sys.executable, "-c", "\n".join(steps)], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["tiny", "False", "True"]


def test_embedded_cards_are_those_of_the_embedded_networks() -> None:
    cards = embedded_cards()
    assert cards.keys() == embedded_networks().keys()
    for name, path in embedded_networks().items():
        assert cards[name] == load_network(path)[1] == open_network(name).card
        assert open_network(name).path == path
