from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.models.devices import DeviceName
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines import choice
from deepstorm.reconstruction.engines.choice import EngineName, choose_engine, installed_engines


class Recorded:
    """Stands for an engine and tells what it was made with."""

    kind = ""

    def __init__(self, network: object, *, device: str, peaks: object) -> None:
        self.name = f"{self.kind}-{device}"


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let torch say which GPUs there are, and make engines that only have a name."""

    def set_up(
        *, cuda: bool = False, mps: bool = False, engines: str = "torch openvino onnx"
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(choice, "may_have_gpu", lambda: cuda or mps)
        monkeypatch.setattr(choice, "installed_engines", engines.split)

    from deepstorm.reconstruction.engines import onnx_engine, openvino_engine, torch_engine

    for module, name, kind in (
        (torch_engine, "TorchEngine", "torch"),
        (openvino_engine, "OpenVinoEngine", "openvino"),
        (onnx_engine, "OnnxEngine", "onnx"),
    ):
        monkeypatch.setattr(module, name, type(name, (Recorded,), {"kind": kind}))
    return set_up


@pytest.mark.parametrize(
    ("there", "device", "engine", "name"),
    [
        ({}, "auto", "auto", "openvino-cpu"),
        ({}, "cpu", "auto", "openvino-cpu"),
        ({"cuda": True}, "auto", "auto", "torch-cuda"),
        ({"cuda": True}, "cuda", "auto", "torch-cuda"),
        ({"cuda": True}, "cpu", "auto", "openvino-cpu"),
        ({"mps": True}, "auto", "auto", "torch-mps"),
        ({"mps": True}, "mps", "auto", "torch-mps"),
        ({"mps": True}, "cpu", "auto", "openvino-cpu"),
        ({"engines": "torch onnx"}, "auto", "auto", "torch-cpu"),
        ({"engines": "torch"}, "cpu", "auto", "torch-cpu"),
        ({"cuda": True}, "cpu", "torch", "torch-cpu"),
        ({"cuda": True}, "cuda", "torch", "torch-cuda"),
        ({}, "cpu", "openvino", "openvino-cpu"),
        ({"cuda": True}, "cuda", "onnx", "onnx-cuda"),
        ({}, "cpu", "onnx", "onnx-cpu"),
        # An engine that was asked for finds a device by itself.
        ({"cuda": True}, "auto", "torch", "torch-auto"),
        ({"cuda": True}, "auto", "openvino", "openvino-auto"),
        ({"cuda": True}, "auto", "onnx", "onnx-auto"),
    ],
)
def test_engines_are_chosen_by_name_and_by_what_is_there(
    trained: TrainedNetwork,
    pretend: Callable[..., None],
    there: dict[str, Any],
    device: DeviceName,
    engine: EngineName,
    name: str,
) -> None:
    pretend(**there)
    assert choose_engine(trained, device, engine).name == name


@pytest.mark.parametrize(
    ("device", "engine", "message"),
    [
        ("cuda", "auto", "no CUDA device"),
        ("mps", "auto", "no Apple GPU"),
        ("gpu", "auto", "device 'gpu' is not known; choose one of auto, cpu, cuda, mps"),
        ("auto", "tensorflow", "engine 'tensorflow' is not known; there are: torch, openvino"),
        ("cuda", "openvino", r"'openvino' does not run on the device 'cuda', only on cpu; there"),
        ("mps", "onnx", "only on cpu or cuda"),
    ],
)
def test_what_is_not_there_is_refused(
    trained: TrainedNetwork,
    pretend: Callable[..., None],
    device: Any,
    engine: Any,
    message: str,
) -> None:
    pretend()
    with pytest.raises(InputError, match=message):
        choose_engine(trained, device, engine)


def test_engines_that_are_not_installed_are_refused(
    trained: TrainedNetwork, pretend: Callable[..., None]
) -> None:
    pretend(engines="torch")
    with pytest.raises(InputError, match="'openvino' is not installed; there are: torch"):
        choose_engine(trained, "cpu", "openvino")
    with pytest.raises(MissingExtraError, match=r"deepstorm\[onnx\]"):
        choose_engine(trained, "cpu", "onnx")


def test_torch_takes_over_where_openvino_is_not_installed(
    trained: TrainedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "openvino" not in installed_engines()
    assert choose_engine(trained, "cpu").name == "torch-cpu"


def test_every_engine_is_there_and_knows_its_name(trained: TrainedNetwork) -> None:
    for name in installed_engines():
        assert choose_engine(trained, "cpu", name).name.startswith(f"{name}-")
        assert choose_engine(trained, "auto", name).name.startswith(f"{name}-")
