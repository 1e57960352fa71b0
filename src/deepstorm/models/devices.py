"""Which processor a network runs on."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from deepstorm.errors import InputError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def find_device(name: str = "auto") -> torch.device:
    """Return a device that is there.

    Parameters
    ----------
    name : str
        ``cpu``, ``cuda``, ``mps`` (Apple), or ``auto`` for a GPU where there is one.

    Raises
    ------
    InputError
        If the device asked for is unknown or not there.
    """
    if name not in get_args(DeviceName):
        raise InputError(
            f"the device '{name}' is not known; choose one of {', '.join(get_args(DeviceName))}"
        )
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "cuda" and not cuda:
        raise InputError(
            "no CUDA device is available to PyTorch; use --device cpu or install a CUDA build"
        )
    if name == "mps" and not mps:
        raise InputError("no Apple GPU (MPS) is available to PyTorch; use --device cpu")
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if cuda else "mps" if mps else "cpu")
