from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.scaling import MinMaxScaling
from deepstorm.training.course.folder import STATE_NAME
from deepstorm.training.course.state import History, State, read_state, write_state
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.network import NetworkTrainer, TrainingSettings

ONE_STEP = TrainingSettings(
    name="tiny",
    steps=1,
    validation_batches=1,
    network=NativeNetworkSettings(width=4, deep_width=8, upsampling=2),
    examples=SimulatedExamples(patch_px=8, scenes=1, frames_per_scene=1),
)


def trainer(settings: TrainingSettings, folder: Path) -> NetworkTrainer:
    examples = settings.examples.prepare(settings.scaling, settings.network.upsampling, 0)
    return NetworkTrainer(settings, folder, source=examples)


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
    return metadata


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state of a training after one step."""
    trainer(ONE_STEP, tmp_path).run()
    return tmp_path / STATE_NAME


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    tensors = {"a": torch.rand(2, 3), "step": torch.tensor(7.0)}
    history = History(step=7, validation_losses=[1 / 3, 1e-300], recent_losses=[0.1 + 0.2])
    write_state(tmp_path / "state.safetensors", State("{}", history, tensors))
    found = read_state(tmp_path / "state.safetensors")
    assert found.settings == "{}"
    assert found.history == history
    assert set(found.tensors) == set(tensors)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())


def test_a_state_does_not_change_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_state(path, State("{}", History(), {"a": torch.ones(4)}))
    found = read_state(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(torch.ones(4).numpy().tobytes(), bytes(16)))
    assert torch.equal(found.tensors["a"], torch.ones(4))


def test_weights_in_any_memory_layout_are_written(tmp_path: Path) -> None:
    weights = torch.rand(2, 3, 4, 5)
    for number, tensor in enumerate([weights.to(memory_format=torch.channels_last), weights.mT]):
        path = tmp_path / f"{number}.safetensors"
        write_state(path, State("{}", History(), {"a": tensor}))
        assert torch.equal(read_state(path).tensors["a"], tensor)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the complete state of a training"):
        read_state(tmp_path / "state.safetensors")


@pytest.mark.parametrize(
    "change", [{"seed": 3}, {"steps": 12}, {"averaging": 0.5}, {"scaling": MinMaxScaling()}]
)
def test_a_folder_with_other_settings_is_refused(state: Path, change: dict[str, object]) -> None:
    before = state.read_bytes()
    with pytest.raises(InputError, match="holds a training with other settings"):
        trainer(ONE_STEP.model_copy(update=change), state.parent)
    assert state.read_bytes() == before


def test_settings_that_an_older_version_did_not_know_are_as_default(state: Path) -> None:
    metadata = metadata_of(state)
    known = metadata["settings"]
    metadata["settings"] = known.replace('"weight_decay":0.0,', "")
    assert metadata["settings"] != known
    save_file(load_file(state), state, metadata=metadata)
    assert trainer(ONE_STEP, state.parent).history.step == 1
    with pytest.raises(InputError, match="other settings"):
        trainer(ONE_STEP.model_copy(update={"weight_decay": 0.1}), state.parent)


DAMAGED_FILES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "header cut off": lambda content: content[:100],
    "empty": lambda content: b"",
    "text": lambda content: b"step,loss\n" * 100,
}
HEAD = "network.head.weight"
DAMAGED_RECORDS: dict[str, Callable[[dict[str, str]], dict[str, str] | None]] = {
    "no record": lambda record: None,
    "no step": lambda record: {key: text for key, text in record.items() if key != "step"},
    "odd step": lambda record: record | {"step": "seven"},
    "odd losses": lambda record: record | {"validation_losses": "[1.0,"},
}
Tensors = dict[str, torch.Tensor]
DAMAGED_TENSORS: dict[str, Callable[[Tensors], Tensors]] = {
    "one missing": lambda tensors: {key: t for key, t in tensors.items() if key != HEAD},
    "one too many": lambda tensors: tensors | {"other": torch.zeros(1)},
    "another shape": lambda tensors: tensors | {HEAD: torch.zeros(3)},
}


def assert_refused(state: Path) -> None:
    with pytest.raises(InputError, match=r"is not the complete state of a training; replace it"):
        trainer(ONE_STEP, state.parent)


@pytest.mark.parametrize("how", DAMAGED_FILES)
def test_a_damaged_file_is_refused(state: Path, how: str) -> None:
    state.write_bytes(DAMAGED_FILES[how](state.read_bytes()))
    assert_refused(state)


@pytest.mark.parametrize("how", DAMAGED_RECORDS)
def test_a_state_without_its_record_is_refused(state: Path, how: str) -> None:
    save_file(load_file(state), state, metadata=DAMAGED_RECORDS[how](metadata_of(state)))
    assert_refused(state)


@pytest.mark.parametrize("how", DAMAGED_TENSORS)
def test_a_state_with_other_tensors_is_refused(state: Path, how: str) -> None:
    metadata = metadata_of(state)
    save_file(DAMAGED_TENSORS[how](load_file(state)), state, metadata=metadata)
    assert_refused(state)
