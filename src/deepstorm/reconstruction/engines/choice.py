"""Which runtime a network runs in."""

from __future__ import annotations

from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.models.devices import DeviceName, check_device_name, find_device, may_have_gpu

if TYPE_CHECKING:
    from deepstorm.models.trained_network import TrainedNetwork
    from deepstorm.reconstruction.emitters.peaks import PeakSettings
    from deepstorm.reconstruction.engines.protocol import Engine


class Choice(NamedTuple):
    """An engine that can be chosen; it is imported when it is.

    Parameters
    ----------
    engine : str
        Where its class is, ``"module:Name"``.
    runtime : str
        The package that it needs.
    devices : tuple of str
        Those that it knows.
    extra : str, optional
        The extra of this package that brings the runtime.
    """

    engine: str
    runtime: str
    devices: tuple[str, ...]
    extra: str | None = None


_HERE = "deepstorm.reconstruction.engines"
ENGINES = {
    "torch": Choice(f"{_HERE}.torch_engine:TorchEngine", "torch", ("cpu", "cuda", "mps")),
    "openvino": Choice(f"{_HERE}.openvino_engine:OpenVinoEngine", "openvino", ("cpu",)),
    "onnx": Choice(f"{_HERE}.onnx_engine:OnnxEngine", "onnxruntime", ("cpu", "cuda"), "onnx"),
}
# One of these, or "auto".
EngineName = str


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
        One of :data:`ENGINES`, or ``auto``: PyTorch on a GPU; on a CPU OpenVINO where it is
        installed, else PyTorch.
    peaks : PeakSettings, optional
        Which maxima are sought.

    Raises
    ------
    InputError
        If engine or device are unknown or not there, or do not go together.
    """
    check_device_name(device)
    _check(engine, device)
    name, place = _fastest(device) if engine == "auto" else (engine, device)
    made: Engine = resolve_name(ENGINES[name].engine)(network, device=place, peaks=peaks)
    return made


def installed_engines() -> list[str]:
    """Return the names of the engines whose runtime is installed."""
    return [name for name, choice in ENGINES.items() if find_spec(choice.runtime)]


def _check(engine: str, device: str) -> None:
    """Refuse an engine that is not known, not there, or does not know the device."""
    there = f"there are: {', '.join(installed_engines())}"
    if engine == "auto":
        return
    if engine not in ENGINES:
        raise InputError(f"the engine '{engine}' is not known; {there}")
    _, runtime, devices, extra = ENGINES[engine]
    if engine not in installed_engines():
        if extra is not None:
            raise MissingExtraError(f"networks in {runtime}", extra)
        raise InputError(f"the engine '{engine}' is not installed; {there}")
    if device not in ("auto", *devices):
        raise InputError(
            f"the engine '{engine}' does not run on the device '{device}', only on "
            f"{' or '.join(devices)}; {there}"
        )


def _fastest(device: DeviceName) -> tuple[EngineName, str]:
    """Return which engine is the fastest on a device, and the device itself."""
    on_cpu = device == "cpu" or (device == "auto" and not may_have_gpu())
    found = "cpu" if on_cpu else find_device(device).type
    if found == "cpu" and "openvino" in installed_engines():
        return "openvino", found
    return "torch", found
