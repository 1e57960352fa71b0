from __future__ import annotations

import pytest
import torch

from deepstorm.errors import InputError
from deepstorm.models.devices import find_device


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
