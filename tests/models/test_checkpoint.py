from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deepstorm.errors import InputError
from deepstorm.files import file_checksum
from deepstorm.models import checkpoint
from deepstorm.models.architectures import (
    DeepStormNetworkSettings,
    NativeNetworkSettings,
    NetworkSettings,
    RefinementSettings,
)
from deepstorm.models.building import build
from deepstorm.models.card import HEADER_KEY, NetworkCard
from deepstorm.models.checkpoint import load_network, save_network
from deepstorm.models.network import Network
from deepstorm.models.refinement import SUMS, Refiner
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling, Scaling

TINY = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)


def card_of(network: NetworkSettings, scaling: Scaling | None = None) -> NetworkCard:
    told = network.kind == "native" and network.channels == 3
    scaling = scaling or (PhotonScaling(percentile=20.0) if told else MinMaxScaling())
    return NetworkCard(
        name="tiny µ",
        network=network,
        scaling=scaling,
        validity={"sigma_px": (0.9, 1.7)},
        training={"steps": 10, "losses": [1.0, 0.5], "note": None},
        package_version="0.1.0",
    )


def built(settings: NetworkSettings, seed: int = 0) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "tiny.safetensors"
    save_network(target, built(TINY), card_of(TINY))
    return target


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Write the file anew with a changed card."""
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    card = json.loads(card_of(TINY).model_dump_json())
    change(card)
    save_file(tensors, path, metadata={HEADER_KEY: json.dumps(card)})


@pytest.mark.parametrize(
    ("settings", "scaling"),
    [
        (TINY, PhotonScaling(percentile=5.0)),
        (DeepStormNetworkSettings(upsampling=1), MinMaxScaling(mean=0.3)),
    ],
    ids=["native", "deepstorm"],
)
def test_a_network_comes_back_bit_for_bit(
    tmp_path: Path, settings: NetworkSettings, scaling: Scaling
) -> None:
    network, card = built(settings, seed=3), card_of(settings, scaling)
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(2, network.channels, 8, 8, generator=generator)
    with torch.no_grad():
        network(frames)  # moves the statistics of batch normalization
        network.eval()
        save_network(tmp_path / "a.safetensors", network, card)
        loaded, found = load_network(tmp_path / "a.safetensors")
        assert torch.equal(loaded(frames), network(frames))
    assert found == card
    assert type(loaded) is type(network)
    assert not loaded.training
    assert not any(tensor.is_meta for tensor in loaded.state_dict().values())


def test_a_loaded_network_can_be_trained_further(path: Path) -> None:
    network, _ = load_network(path)
    network(torch.zeros(1, 3, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_memory_layout_makes_no_difference(path: Path, tmp_path: Path) -> None:
    network = built(TINY).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_network(tmp_path / "last.safetensors", network, card_of(TINY))
    assert (tmp_path / "last.safetensors").read_bytes() == path.read_bytes()


def test_loading_leaves_random_numbers_alone(path: Path) -> None:
    before = torch.get_rng_state()
    load_network(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_network_does_not_change_with_its_file(path: Path) -> None:
    network, _ = load_network(path)
    with path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(bytes(1000))
    original = built(TINY).state_dict()
    assert all(torch.equal(tensor, original[name]) for name, tensor in network.state_dict().items())


def test_paths_may_be_strings(path: Path) -> None:
    assert load_network(str(path))[1].name == "tiny µ"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no network file .*nowhere.safetensors"):
        load_network(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="there is no network file"):
        load_network(tmp_path)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    for name in ("weights.pt", "weights.safetensors"):
        torch.save({"weights": torch.zeros(3), "trap": Trap()}, tmp_path / name)
        with pytest.raises(InputError, match=r"pickled weights .* can run code"):
            load_network(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100, 5000])
def test_random_bytes_are_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "noise.safetensors"
    path.write_bytes(np.random.default_rng(size).bytes(size))
    with pytest.raises(InputError, match="not a complete safetensors file"):
        load_network(path)


@pytest.mark.parametrize("kept", [4, 50, 2000, -1])
def test_truncated_files_are_refused(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        load_network(path)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.zeros(2)}, path, metadata=metadata)
        with pytest.raises(InputError, match="but not a deepstorm network"):
            load_network(path)


@pytest.mark.parametrize(
    "header", ["", "{", "[" * 100_000, '{"a":' * 100_000, '{"name": 1' + "0" * 5000 + "}"]
)
def test_damaged_headers_are_refused(path: Path, header: str) -> None:
    save_file({"weight": torch.zeros(2)}, path, metadata={HEADER_KEY: header})
    with pytest.raises(InputError, match="is damaged"):
        load_network(path)


@pytest.mark.parametrize("header", ["null", "[1]", '"text"', "{}"])
def test_headers_of_another_kind_are_refused(path: Path, header: str) -> None:
    save_file({"weight": torch.zeros(2)}, path, metadata={HEADER_KEY: header})
    with pytest.raises(InputError, match=r"the header of .* cannot be used"):
        load_network(path)


def test_newer_formats_are_refused_with_advice(path: Path) -> None:
    # A newer header may hold anything else that is new.
    rewrite(path, lambda card: card.update(format_version=2, attention=True))
    with pytest.raises(InputError, match=r"has format 2, .* reads only up to 1; update deepstorm"):
        load_network(path)


@pytest.mark.parametrize("version", ["2", 2.0, 0, None, [3]])
def test_odd_versions_are_refused(path: Path, version: object) -> None:
    rewrite(path, lambda card: card.update(format_version=version))
    with pytest.raises(InputError, match="'format_version'"):
        load_network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "'colour': Extra inputs are not permitted"),
        ({"network": {"kind": "native", "depth": 3}}, "'network.native.depth': Extra inputs"),
        ({"network": {"kind": "transformer"}}, "'network'"),
        ({"scaling": {"kind": "photons", "percentile": -1}}, "'scaling.photons.percentile'"),
        ({"scaling": {"kind": "asinh"}}, "'scaling'"),
        ({"validity": {"sigma_px": [1.0]}}, "'validity.sigma_px"),
        ({"validity": {"sigma_px": [1.0, float("nan")]}}, "'validity.sigma_px.1'"),
        ({"name": "x" * 201}, "'name'"),
    ],
)
def test_cards_that_do_not_fit_are_refused(
    path: Path, change: dict[str, object], message: str
) -> None:
    rewrite(path, lambda card: card.update(change))
    with pytest.raises(InputError, match=message):
        load_network(path)


@pytest.mark.parametrize(
    "other",
    [
        NativeNetworkSettings(width=8, deep_width=8, upsampling=2),
        NativeNetworkSettings(width=4, deep_width=8, upsampling=8),
        NativeNetworkSettings(width=4, deep_width=8, upsampling=2, channels=1),
        DeepStormNetworkSettings(),
    ],
    ids=str,
)
def test_weights_of_another_architecture_are_refused(path: Path, other: NetworkSettings) -> None:
    rewrite(path, lambda card: card.update(card_of(other).model_dump(mode="json")))
    with pytest.raises(InputError, match="do not match the network that its header describes"):
        load_network(path)


def test_frames_of_other_channels_than_the_network_takes_are_refused(path: Path) -> None:
    rewrite(path, lambda card: card.update(scaling={"kind": "minmax"}))
    with pytest.raises(InputError, match=r"gives frames of 1 channel.*the network takes 3"):
        load_network(path)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda tensors: tensors.pop("head.bias"), "head.bias"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "extra"),
        (lambda tensors: tensors.update({"head.bias": tensors["head.bias"].double()}), "head.bias"),
        (lambda tensors: tensors.update({"head.bias": tensors["head.bias"].half()}), "head.bias"),
        (lambda tensors: tensors.update({"head.bias": torch.zeros(5)}), "head.bias"),
    ],
)
def test_missing_surplus_and_mistyped_weights_are_named(
    path: Path, change: Callable[[dict[str, torch.Tensor]], object], name: str
) -> None:
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path, metadata={HEADER_KEY: card_of(TINY).model_dump_json()})
    with pytest.raises(InputError, match=f"first difference: '{name}'"):
        load_network(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    network = built(TINY)
    with torch.no_grad():
        network.head.weight[3, 2] = value
    save_network(tmp_path / "a.safetensors", network, card_of(TINY))
    with pytest.raises(InputError, match="not finite numbers"):
        load_network(tmp_path / "a.safetensors")


def test_an_absurd_architecture_is_refused_by_its_settings(path: Path) -> None:
    huge = {"kind": "native", "width": 10**9, "deep_width": 10**9, "upsampling": 8}
    rewrite(path, lambda card: card.update(network=huge))
    with pytest.raises(InputError, match=r"'network.native.width': .* less than or equal to 1024"):
        load_network(path)


def test_a_large_architecture_takes_no_memory_before_its_weights_are_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Network] = []

    def spy(settings: NetworkSettings) -> Network:
        made.append(build(settings))
        return made[-1]

    monkeypatch.setattr(checkpoint, "build", spy)
    large = NativeNetworkSettings(width=1024, deep_width=2048, upsampling=32)
    rewrite(path, lambda card: card.update(network=large.model_dump()))
    with pytest.raises(InputError, match="do not match"):
        load_network(path)
    assert sum(parameter.numel() for parameter in made[0].parameters()) > 10**8
    assert all(tensor.is_meta for tensor in made[0].state_dict().values())


def test_weights_that_a_header_only_claims_are_refused(path: Path) -> None:
    claim = {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}
    header = {
        "__metadata__": {HEADER_KEY: card_of(TINY).model_dump_json()},
        "head.weight": claim,
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(InputError, match="not a complete safetensors file"):
        load_network(path)


def test_an_existing_file_is_kept_unless_it_may_be_replaced(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists"):
        save_network(path, built(TINY, seed=9), card_of(TINY))
    assert path.read_bytes() == before
    save_network(path, built(TINY, seed=9), card_of(TINY), overwrite=True)
    assert path.read_bytes() != before


def test_nothing_half_written_remains(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def failing(tensors: object, target: Path, metadata: object) -> None:
        target.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(checkpoint, "save_file", failing)
    for name in ("tiny.safetensors", "new.safetensors"):
        with pytest.raises(OSError, match="the disk is full"):
            save_network(path.with_name(name), built(TINY, 5), card_of(TINY), overwrite=True)
    assert [found.name for found in path.parent.iterdir()] == ["tiny.safetensors"]
    assert path.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"output folder .*nowhere' does not exist"):
        save_network(tmp_path / "nowhere" / "a.safetensors", built(TINY), card_of(TINY))


def test_the_checksum_is_sha256(path: Path) -> None:
    assert file_checksum(path) == hashlib.sha256(path.read_bytes()).hexdigest()


REFINEMENT = RefinementSettings(width=4, half_width=4, quarter_width=4)


def refined_file(path: Path, card: NetworkCard) -> Network:
    """Write a network with a refiner, and return it."""
    network = built(TINY, seed=4)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network.refiner = Refiner(REFINEMENT).eval()
    save_network(path, network, card)
    return network


def test_a_refiner_comes_back_with_its_network(tmp_path: Path) -> None:
    card = card_of(TINY).model_copy(update={"refinement": REFINEMENT})
    network = refined_file(tmp_path / "a.safetensors", card)
    loaded, found = load_network(tmp_path / "a.safetensors")
    assert found == card
    assert loaded.refiner is not None
    assert network.refiner is not None
    assert not loaded.refiner.training
    sums = torch.rand(1, SUMS, 12, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded.refiner(sums), network.refiner(sums))


def test_a_network_without_a_refiner_has_none(path: Path) -> None:
    network, card = load_network(path)
    assert network.refiner is None
    assert card.refinement is None


def test_card_and_weights_agree_on_the_refiner(path: Path) -> None:
    rewrite(path, lambda card: card.update(refinement=REFINEMENT.model_dump()))
    with pytest.raises(InputError, match="first difference: 'refiner"):
        load_network(path)
    refined_file(path.with_name("b.safetensors"), card_of(TINY))
    with pytest.raises(InputError, match="first difference: 'refiner"):
        load_network(path.with_name("b.safetensors"))
