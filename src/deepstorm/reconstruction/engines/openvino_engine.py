"""Networks in OpenVINO: the fastest runtime on CPUs."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from deepstorm.arrays import AnyArray, Float32Array
from deepstorm.errors import InputError
from deepstorm.models.card import NetworkCard
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.emitters.peaks import PeakSettings
from deepstorm.reconstruction.engines.kept_models import converted
from deepstorm.reconstruction.engines.staged import NETWORKS, Program, StagedEngine, StageName

if TYPE_CHECKING:
    import torch

    from deepstorm.models.network import Network
    from deepstorm.models.rendering import Rendering

# A compiled network holds memory for all of its features; pieces and tiles at the borders of large
# fields come in a few shapes, each for a while.
MOST_SHAPES = 3


class OpenVinoEngine(StagedEngine):
    """Runs a network with OpenVINO on a CPU.

    Networks compute in bfloat16 where the processor has it. Where it has not, the one for frames
    computes in 8 bits, if the card has the ranges for that and the processor is x86.

    What a conversion makes of a network file is kept for the next time
    (:mod:`~deepstorm.reconstruction.engines.kept_models`); PyTorch is not even imported then.

    Parameters
    ----------
    network : TrainedNetwork
    precision : str, optional
        Of the network for frames, ``"int8"``, ``"bf16"`` or ``"f32"``; the fastest where absent.
    peaks : PeakSettings, optional
        Which maxima are sought.
    device : str
        As other engines have it; only CPUs are used.

    Raises
    ------
    ImportError
        If OpenVINO is not installed.
    InputError
        If the network shall compute in 8 bits, and its card has no ranges.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        precision: str | None = None,
        peaks: PeakSettings | None = None,
        device: str = "cpu",
    ) -> None:
        card = network.card
        with _unreported():
            import openvino

        core = openvino.Core()
        capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or _fastest(card, capable)
        if self.precision == "int8" and not card.activation_ranges:
            raise InputError(
                f"the network '{card.name}' has no ranges by which to compute in 8 bits; choose "
                "another precision"
            )
        extras = card.rendering, peaks or PeakSettings()
        ranges = card.activation_ranges if self.precision == "int8" else ()
        files = converted(
            network,
            "openvino",
            lambda loaded: _to_files(loaded, *extras, ranges),
            *(extra.model_dump_json() for extra in extras),
            repr(ranges),
        )
        # What is not done in 8 bits is done in this.
        floating = _floating(capable) if self.precision == "int8" else self.precision
        programs: dict[StageName, Program] = {
            name: _OpenVinoProgram(core, model, floating if name in NETWORKS else "f32")
            for name, model in _from_files(core, files).items()
        }
        margin_px = max(extra.margin_px for extra in extras)
        name = f"openvino-{self.precision}"
        super().__init__(name, card.network.upsampling, programs, margin_px)


class _OpenVinoProgram:
    """One part of a network; it is compiled for each shape that comes, the latest ones are kept.

    Parameters
    ----------
    core : openvino.Core
    model : openvino.Model
        With one input and one result.
    precision : str
        ``"bf16"`` or ``"f32"``.
    """

    def __init__(self, core: Any, model: Any, precision: str) -> None:
        self._core = core
        self._model = model
        # One call at a time on all cores. Several at once (NUM_STREAMS, THROUGHPUT) were hardly
        # faster, and from one compilation to the next OpenVINO 2026.4 now and then gave networks
        # with transposed convolutions wrong weights.
        self._settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, values: Float32Array) -> AnyArray:
        """Return the result, in memory that the next call uses again."""
        if values.shape not in self._compiled:
            if len(self._compiled) == MOST_SHAPES:
                del self._compiled[next(iter(self._compiled))]
            model = self._model.clone()
            model.reshape(list(values.shape))
            compiled = self._core.compile_model(model, "CPU", self._settings)
            self._compiled[values.shape] = compiled
        run = self._compiled[values.shape]
        result: AnyArray
        (result,) = run(values, share_inputs=True, share_outputs=True).values()
        return result


@contextmanager
def _unreported() -> Iterator[None]:
    """Import OpenVINO without its telemetry, which would tell Google of it from another process."""
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        yield
    finally:
        del sys.modules[name]


def _fastest(card: NetworkCard, capable: Sequence[str]) -> str:
    """Return the precision in which a processor is fastest.

    Where it has both, 8 bits were no faster than bfloat16, and are a little less exact.
    """
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    may_be_8_bits = card.activation_ranges and is_x86 and "INT8" in capable
    return "int8" if may_be_8_bits and "BF16" not in capable else _floating(capable)


def _floating(capable: Sequence[str]) -> str:
    """Return the fastest precision of floating-point numbers."""
    return "bf16" if "BF16" in capable else "f32"


def _to_files(
    network: Network, rendering: Rendering, peaks: PeakSettings, ranges: Sequence[float]
) -> dict[str, bytes]:
    """Convert the parts of a network and return what OpenVINO writes of them: two files of each.

    Where there are ranges, the network itself computes in 8 bits.
    """
    import openvino

    from deepstorm.models.quantization import in_8_bits
    from deepstorm.reconstruction.engines import stages

    with tempfile.TemporaryDirectory() as folder, stages.quiet():
        for name, module in stages.modules(network, rendering, peaks).items():
            values = stages.example(name, network)
            reduced = in_8_bits(ranges) if ranges and name == "network" else nullcontext()
            with reduced:
                traced = stages.traced(module, values)
            openvino.save_model(
                _model(traced, values), Path(folder) / f"{name}.xml", compress_to_fp16=False
            )
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _model(traced: torch.jit.ScriptModule, values: torch.Tensor) -> Any:
    """Turn a computation that was followed into a model of OpenVINO, for all sizes.

    ``openvino.convert_model`` would do the same, twice as slowly, and tell Intel and Google of it
    over the network.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=(values,))  # has to outlive the next
    model = frontend.convert(frontend.load(decoder))
    # (batch, channel, y, x), with sizes that are filled in later.
    model.reshape(openvino.PartialShape([-1, values.shape[1], -1, -1]))
    return model


def _from_files(core: Any, files: dict[str, bytes]) -> dict[StageName, Any]:
    """Undo :func:`_to_files`."""
    names: list[StageName] = [name for name in get_args(StageName) if f"{name}.xml" in files]
    return {
        name: core.read_model(model=files[f"{name}.xml"], weights=files[f"{name}.bin"])
        for name in names
    }
