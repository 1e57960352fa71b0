"""Which processor a network runs on."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from deepstorm.errors import InputError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


# Without the driver's library, CUDA cannot be there; without the kernel's interface, ROCm cannot.
CUDA_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
ROCM_INTERFACE = Path("/dev/kfd")


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
    check_device_name(name)
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "cuda" and not cuda:
        raise InputError(
            "no CUDA device is available to PyTorch; use `device='cpu'` or install a CUDA build"
        )
    if name == "mps" and not mps:
        raise InputError("no Apple GPU (MPS) is available to PyTorch; use `device='cpu'`")
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if cuda else "mps" if mps else "cpu")


def check_device_name(name: str) -> None:
    """Refuse a device that is not known.

    Raises
    ------
    InputError
    """
    if name not in get_args(DeviceName):
        raise InputError(
            f"the device '{name}' is not known; choose one of {', '.join(get_args(DeviceName))}"
        )


def may_have_gpu() -> bool:
    """Return whether it is worth importing PyTorch to ask for a GPU, which takes a second."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return ROCM_INTERFACE.exists() or _has_library(CUDA_LIBRARY)


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
