"""Networks in ONNX Runtime, for processors on which other runtimes are slow or absent."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from deepstorm.errors import InputError, MissingExtraError
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.emitters.peaks import PeakSettings
from deepstorm.reconstruction.engines.kept_models import converted
from deepstorm.reconstruction.engines.staged import Program, StagedEngine, StageName

if TYPE_CHECKING:
    from deepstorm.models.network import Network
    from deepstorm.models.rendering import Rendering

OPSET = 17
# The faster one first.
PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
INPUT, OUTPUT = "values", "result"
SIZES = {0: "frame", 2: "y", 3: "x"}


class OnnxEngine(StagedEngine):
    """Runs a network with ONNX Runtime, in float32.

    Parameters
    ----------
    network : TrainedNetwork
    device : str
        ``cpu``, ``cuda``, or ``auto`` for the GPU where ONNX Runtime has it.
    peaks : PeakSettings, optional
        Which maxima are sought.

    Raises
    ------
    MissingExtraError
        If ONNX Runtime is not installed.
    InputError
        If it cannot run on the device.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        device: str = "cpu",
        peaks: PeakSettings | None = None,
    ) -> None:
        runtime, place = _runtime(device)
        extras = network.card.rendering, peaks or PeakSettings()
        files = converted(
            network,
            "onnx",
            lambda loaded: _to_files(loaded, *extras),
            *(extra.model_dump_json() for extra in extras),
        )
        programs = {
            name: _program(runtime.InferenceSession(files[name], providers=[PROVIDERS[place]]))
            for name in get_args(StageName)
            if name in files
        }
        margin_px = max(extra.margin_px for extra in extras)
        super().__init__(f"onnx-{place}", network.card.network.upsampling, programs, margin_px)


def _program(session: Any) -> Program:
    """Return a part of a network as a function."""
    return lambda values: session.run(None, {INPUT: values})[0]


def _runtime(device: str) -> tuple[Any, str]:
    """Return ONNX Runtime, and the device to run on."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("networks in ONNX Runtime", "onnx") from error
    found = onnxruntime.get_available_providers()
    there = [name for name, provider in PROVIDERS.items() if provider in found]
    place = there[0] if device == "auto" else device
    if place not in there:
        raise InputError(
            f"ONNX Runtime has no device '{device}' here, only {', '.join(there)}; choose one of "
            "them, or install onnxruntime-gpu for cuda"
        )
    return onnxruntime, place


def _to_files(network: Network, rendering: Rendering, peaks: PeakSettings) -> dict[str, bytes]:
    """Convert the parts of a network, by name."""
    try:
        import onnx  # noqa: F401 - PyTorch needs it, and says so less clearly
    except ImportError as error:
        raise MissingExtraError("networks in ONNX Runtime", "onnx") from error
    import torch

    from deepstorm.reconstruction.engines import stages

    with tempfile.TemporaryDirectory() as folder, stages.quiet():
        for name, module in stages.modules(network, rendering, peaks).items():
            torch.onnx.export(
                module,
                (stages.example(name, network),),
                str(Path(folder) / name),
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: SIZES, OUTPUT: SIZES},
            )
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}
