"""Trainings whose settings fit together, and that start from a network that is already trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deepstorm.config import validated
from deepstorm.errors import InputError
from deepstorm.models.architectures import (
    DeepStormNetworkSettings,
    NativeNetworkSettings,
    NetworkSettings,
)
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import save_network
from deepstorm.models.network import Network
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling, Scaling
from deepstorm.models.zoo import embedded_cards, find_network
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.network import NetworkTrainer, TrainingSettings

TINY = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)
EXAMPLES = SimulatedExamples(patch_px=16, scenes=1, frames_per_scene=2)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def save_trained(path: Path, settings: NetworkSettings, seed: int = 5) -> Network:
    """Write a network that sees something, and return it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(settings).eval()
        torch.nn.init.normal_(network.head.weight)
    scaling = PhotonScaling() if network.channels == 3 else MinMaxScaling()
    card = NetworkCard(name="trained", network=settings, scaling=scaling)
    save_network(path, network, card, overwrite=True)
    return network


def starting(path: Path | str | None, network: NetworkSettings = TINY) -> TrainingSettings:
    return TrainingSettings(
        steps=4,
        precision="float32",
        validate_every=2,
        validation_batches=1,
        start_from=None if path is None else str(path),
        network=network,
        examples=EXAMPLES,
    )


def trainer(settings: TrainingSettings, folder: Path) -> NetworkTrainer:
    source = EXAMPLES.prepare(settings.scaling, settings.network.upsampling, settings.seed)
    folder.mkdir(exist_ok=True)
    return NetworkTrainer(settings, folder, source=source)


def scaled_frames(channels: int) -> torch.Tensor:
    return torch.randn(2, channels, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trained.safetensors"


def test_a_training_starts_from_the_weights_of_another(path: Path, tmp_path: Path) -> None:
    trained = save_trained(path, TINY)
    training = trainer(starting(path), tmp_path / "run")
    for name, tensor in trained.state_dict().items():
        assert torch.equal(training.network.state_dict()[name], tensor)
        # What is validated and kept starts there, too.
        assert torch.equal(training.learner.average[name], tensor)
    assert training.history.step == 0


def test_the_networks_that_came_along_are_known_by_name(tmp_path: Path) -> None:
    card = embedded_cards()["native"]
    settings = starting("native", card.network).model_copy(update={"scaling": card.scaling})
    weights = trainer(settings, tmp_path / "run").network.state_dict()
    trained = load_file(find_network("native"))
    assert all(torch.equal(tensor, trained[name]) for name, tensor in weights.items())


def test_channels_that_are_new_have_no_effect_at_first(path: Path, tmp_path: Path) -> None:
    trained = save_trained(path, TINY.model_copy(update={"channels": 1}))
    network = trainer(starting(path), tmp_path / "run").network.eval()
    frames, others = scaled_frames(3), 100 * scaled_frames(3)
    others[:, 0] = frames[:, 0]
    with torch.no_grad():
        wanted = trained(frames[:, :1])
        torch.testing.assert_close(network(frames), wanted)
        torch.testing.assert_close(network(others), wanted)
    assert wanted.std() > 0.1


def test_channels_that_are_new_are_learnt(path: Path, tmp_path: Path) -> None:
    save_trained(path, TINY.model_copy(update={"channels": 1}))
    training = trainer(starting(path), tmp_path / "run")
    training.run()
    first = training.network.state_dict()["encode_full.0.weight"]  # (width, channel, 3, 3)
    assert (first[:, 1:].abs().amax((0, 2, 3)) > 0).all()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (TINY.model_copy(update={"width": 8}), "encode_full.0.weight"),
        (TINY.model_copy(update={"deep_width": 4}), "encode_half.0.weight"),
        (TINY.model_copy(update={"upsampling": 4}), "head.weight"),
        (DeepStormNetworkSettings(upsampling=2), "encode_full.0.weight"),
    ],
    ids=["wider", "narrower", "finer", "the paper's"],
)
def test_another_architecture_is_no_start(
    path: Path, tmp_path: Path, given: NetworkSettings, name: str
) -> None:
    save_trained(path, given)
    words = f"cannot start from the network .*its '{name}' has the shape .* same architecture"
    with pytest.raises(InputError, match=words):
        trainer(starting(path), tmp_path / "run")


def test_a_network_that_is_not_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no network 'nowhere'"):
        trainer(starting("nowhere"), tmp_path / "run")


class Killed(Exception):  # noqa: N818
    """Stands for the end of a process."""


def kill(step: int, _: float) -> None:
    if step == 3:
        raise Killed


@pytest.mark.parametrize("later", ["changed", "deleted"])
def test_a_resumed_training_does_not_start_again(path: Path, tmp_path: Path, later: str) -> None:
    save_trained(path, TINY)
    settings = starting(path)
    unbroken = load_file(trainer(settings, tmp_path / "unbroken").run().path)
    with pytest.raises(Killed):
        trainer(settings, tmp_path / "run").run(kill)
    if later == "changed":
        save_trained(path, TINY, seed=6)
    else:
        path.unlink()
    resumed = trainer(settings, tmp_path / "run")
    assert resumed.history.step == 2
    found = load_file(resumed.run().path)
    assert all(torch.equal(found[name], tensor) for name, tensor in unbroken.items())


def test_a_training_may_start_from_the_best_of_another_folder(tmp_path: Path) -> None:
    best = trainer(starting(None), tmp_path / "first").run().path
    second = trainer(starting(best), tmp_path / "second")
    weights = load_file(best)
    assert all(
        torch.equal(second.learner.average[name], tensor) for name, tensor in weights.items()
    )


@pytest.mark.parametrize(
    ("network", "scaling"),
    [
        (NativeNetworkSettings(), PhotonScaling()),
        (NativeNetworkSettings(channels=1), MinMaxScaling()),
        (DeepStormNetworkSettings(), MinMaxScaling()),
    ],
    ids=["native", "native of one channel", "the paper's"],
)
def test_a_network_takes_the_channels_that_its_scaling_gives(
    network: NetworkSettings, scaling: Scaling
) -> None:
    loss = {"kind": "spike_cross_entropy" if network.kind == "native" else "blurred_spikes"}
    settings = validated(
        TrainingSettings,
        {"network": network.model_dump(), "scaling": scaling.model_dump(), "loss": loss},
        "a recipe",
    )
    with torch.device("meta"):
        assert build(settings.network).channels == settings.scaling.channels


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"scaling": {"kind": "minmax"}}, "'minmax' gives frames of 1 channel.* takes 3"),
        ({"network": {"kind": "native", "channels": 2}}, "'photons' gives .* 3 .* takes 2"),
        (
            {"network": {"kind": "deepstorm"}, "loss": {"kind": "blurred_spikes"}},
            "'photons' gives .* takes 1; choose another scaling",
        ),
    ],
)
def test_a_scaling_that_does_not_fit_the_network_is_refused(
    values: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        validated(TrainingSettings, values, "a recipe")


@pytest.mark.parametrize(
    ("network", "scaling", "loss", "words"),
    [
        ("native", "photons", "blurred_spikes", "'native' .* 'spike_cross_entropy'"),
        ("deepstorm", "minmax", "spike_cross_entropy", "'deepstorm' .* 'blurred_spikes'"),
    ],
)
def test_a_loss_that_does_not_fit_the_network_is_refused(
    network: str, scaling: str, loss: str, words: str
) -> None:
    values = {"network": network, "scaling": scaling, "loss": loss}
    with pytest.raises(InputError, match=f"a {words}"):
        validated(TrainingSettings, {key: {"kind": kind} for key, kind in values.items()}, "it")
