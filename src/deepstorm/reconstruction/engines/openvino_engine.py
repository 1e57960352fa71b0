"""Networks in OpenVINO: the fastest runtime on CPUs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy.typing as npt

from deepstorm.models.network_file import NetworkCard, NetworkFile
from deepstorm.reconstruction.engines.kept_models import converted
from deepstorm.reconstruction.engines.protocol import Float32Array
from deepstorm.reconstruction.engines.staged import Program, StagedEngine, StageName
from deepstorm.reconstruction.peaks import PeakSettings

if TYPE_CHECKING:
    from deepstorm.models.checkpoint import Network
    from deepstorm.models.rendering import Rendering

# A compiled network holds memory for all of its features; pieces and tiles at the borders of large
# fields come in a few shapes, each for a while.
MOST_SHAPES = 3


class OpenVinoEngine(StagedEngine):
    """Runs a network with OpenVINO on a CPU, in bfloat16 where the processor has it.

    What a conversion makes of a network file is kept for the next time
    (:mod:`~deepstorm.reconstruction.engines.kept_models`); PyTorch is not even imported then.

    Parameters
    ----------
    network : Network or NetworkFile
    card : NetworkCard
    precision : str, optional
        Of the network itself, ``"bf16"`` or ``"f32"``; chosen by the processor where absent.
    peaks : PeakSettings, optional
        Which maxima are sought.

    Raises
    ------
    ImportError
        If OpenVINO is not installed.
    """

    def __init__(
        self,
        network: Network | NetworkFile,
        card: NetworkCard,
        precision: str | None = None,
        peaks: PeakSettings | None = None,
    ) -> None:
        import openvino

        core = openvino.Core()
        capable = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or ("bf16" if capable else "f32")
        files = converted(network, "openvino", _to_files, card.rendering, peaks or PeakSettings())
        programs: dict[StageName, Program] = {
            name: _OpenVinoProgram(core, model, self.precision if name == "network" else "f32")
            for name, model in _from_files(core, files).items()
        }
        super().__init__(f"openvino-{self.precision}", card.network.upsampling, programs)


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
        self._settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, values: Float32Array) -> npt.NDArray[Any]:
        """Return the result, in memory that the next call uses again."""
        if values.shape not in self._compiled:
            if len(self._compiled) == MOST_SHAPES:
                del self._compiled[next(iter(self._compiled))]
            model = self._model.clone()
            model.reshape(list(values.shape))
            compiled = self._core.compile_model(model, "CPU", self._settings)
            self._compiled[values.shape] = compiled
        run = self._compiled[values.shape]
        result: npt.NDArray[Any]
        (result,) = run(values, share_inputs=True, share_outputs=True).values()
        return result


def _to_files(network: Network, rendering: Rendering, peaks: PeakSettings) -> dict[str, bytes]:
    """Convert the parts of a network and return what OpenVINO writes of them: two files of each."""
    import openvino

    from deepstorm.reconstruction.engines import stages

    with tempfile.TemporaryDirectory() as folder:
        for name, module in stages.modules(network, rendering, peaks).items():
            values = stages.example(name, network)
            # (batch, channel, y, x), with sizes that are filled in later.
            sizes = openvino.PartialShape([-1, values.shape[1], -1, -1])
            with stages.quiet():
                traced = stages.traced(module, values)
                model = openvino.convert_model(traced, example_input=values, input=sizes)
            openvino.save_model(model, Path(folder) / f"{name}.xml", compress_to_fp16=False)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _from_files(core: Any, files: dict[str, bytes]) -> dict[StageName, Any]:
    """Undo :func:`_to_files`."""
    names: list[StageName] = [name for name in get_args(StageName) if f"{name}.xml" in files]
    return {
        name: core.read_model(model=files[f"{name}.xml"], weights=files[f"{name}.bin"])
        for name in names
    }
