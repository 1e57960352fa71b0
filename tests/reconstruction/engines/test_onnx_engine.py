from __future__ import annotations

import sys

import pytest

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines.onnx_engine import OnnxEngine


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_what_is_not_installed_is_named(
    trained: TrainedNetwork, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "onnx":
        pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deepstorm\[onnx\]'"):
        OnnxEngine(trained)


def test_devices_that_it_has_not_are_refused(trained: TrainedNetwork) -> None:
    runtime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("this ONNX Runtime knows CUDA")
    with pytest.raises(InputError, match="no device 'cuda' here, only cpu"):
        OnnxEngine(trained, "cuda")


def test_auto_takes_what_is_there(trained: TrainedNetwork) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("this ONNX Runtime knows CUDA")
    assert OnnxEngine(trained, "auto").name == "onnx-cpu"
