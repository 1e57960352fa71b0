"""Which runtime a network runs in."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Literal, get_args

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.models.devices import DeviceName, check_device_name, find_device, may_have_gpu

if TYPE_CHECKING:
    from deepstorm.models.trained_network import TrainedNetwork
    from deepstorm.reconstruction.emitters.peaks import PeakSettings
    from deepstorm.reconstruction.engines.protocol import Engine

EngineName = Literal["auto", "torch", "openvino", "onnx"]
# The module of each, and the devices that it knows.
MODULES = {"torch": "torch", "openvino": "openvino", "onnx": "onnxruntime"}
DEVICES = {"torch": ("cpu", "cuda", "mps"), "openvino": ("cpu",), "onnx": ("cpu", "cuda")}


def choose_engine(
    network: TrainedNetwork,
    device: DeviceName = "auto",
    engine: EngineName = "auto",
    peaks: PeakSettings | None = None,
) -> Engine:
    """Return a network in a runtime.

    Parameters
    ----------
    network : TrainedNetwork
        Its weights are read only if the runtime has not kept a form of its own.
    device : str
        ``cpu``, ``cuda``, ``mps``, or ``auto`` for a GPU where the engine knows one that is there.
    engine : str
        ``torch``, ``openvino``, ``onnx``, or ``auto``: PyTorch on a GPU; on a CPU OpenVINO where it
        is installed, else PyTorch.
    peaks : PeakSettings, optional
        Which maxima are sought.

    Raises
    ------
    InputError
        If engine or device are unknown or not there, or do not go together.
    """
    check_device_name(device)
    _check(engine, device)
    if engine == "auto":
        engine, device = _fastest(device)
    if engine == "openvino":
        from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(network, peaks=peaks)
    if engine == "onnx":
        from deepstorm.reconstruction.engines.onnx_engine import OnnxEngine

        return OnnxEngine(network, device, peaks)
    from deepstorm.reconstruction.engines.torch_engine import TorchEngine

    return TorchEngine(network, find_device(device).type, peaks)


def installed_engines() -> list[str]:
    """Return the names of the engines whose runtime is installed."""
    return [name for name, module in MODULES.items() if importlib.util.find_spec(module)]


def _check(engine: str, device: str) -> None:
    """Refuse an engine that is not known, not there, or does not know the device."""
    there = f"there are: {', '.join(installed_engines())}"
    if engine not in get_args(EngineName):
        raise InputError(f"the engine '{engine}' is not known; {there}")
    if engine == "auto":
        return
    if engine not in installed_engines():
        if engine == "onnx":
            raise MissingExtraError("networks in ONNX Runtime", "onnx")
        raise InputError(f"the engine '{engine}' is not installed; {there}")
    if device not in ("auto", *DEVICES[engine]):
        raise InputError(
            f"the engine '{engine}' does not run on the device '{device}', only on "
            f"{' or '.join(DEVICES[engine])}; {there}"
        )


def _fastest(device: DeviceName) -> tuple[EngineName, DeviceName]:
    """Return which engine is the fastest on a device, and the device itself."""
    on_cpu = device == "cpu" or (device == "auto" and not may_have_gpu())
    if not on_cpu and find_device(device).type != "cpu":
        return "torch", device
    return ("openvino" if "openvino" in installed_engines() else "torch"), "cpu"
