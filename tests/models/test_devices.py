from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from deepstorm.errors import InputError
from deepstorm.models import devices
from deepstorm.models.devices import find_device, may_have_gpu


def _pretend(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "found"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, found: str
) -> None:
    _pretend(monkeypatch, cuda=cuda, mps=mps)
    assert find_device().type == found
    assert find_device("cpu").type == "cpu"


@pytest.mark.parametrize(("name", "message"), [("cuda", "no CUDA"), ("mps", "no Apple")])
def test_what_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    _pretend(monkeypatch, cuda=False, mps=False)
    with pytest.raises(InputError, match=message):
        find_device(name)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="'gpu' is not known"):
        find_device("gpu")


@pytest.mark.skipif(sys.platform == "darwin", reason="there, the processor tells")
@pytest.mark.parametrize(("cuda", "rocm"), [(False, False), (True, False), (False, True)])
def test_a_gpu_may_be_there_where_a_driver_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: bool, rocm: bool
) -> None:
    interface = tmp_path / "kfd"
    if rocm:
        interface.touch()
    monkeypatch.setattr(devices, "ROCM_INTERFACE", interface)
    # Of the C library every process has some; of the other none.
    monkeypatch.setattr(devices, "CUDA_LIBRARY", None if cuda else "libnowhere.so")
    assert may_have_gpu() == (cuda or rocm)


def test_where_torch_finds_a_gpu_there_may_be_one() -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        assert may_have_gpu()
