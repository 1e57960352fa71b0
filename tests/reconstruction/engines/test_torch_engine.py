from __future__ import annotations

import pytest
import torch

from deepstorm.errors import InputError
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines.torch_engine import TorchEngine


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for runtime in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(runtime, "is_available", lambda: False)


def test_the_device_is_found_by_itself(file: TrainedNetwork) -> None:
    assert TorchEngine(file, "auto").name == "torch-cpu"


@pytest.mark.parametrize(("device", "message"), [("cuda", "no CUDA"), ("mps", "no Apple GPU")])
def test_a_device_that_is_not_there_is_refused(
    file: TrainedNetwork, device: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        TorchEngine(file, device)
