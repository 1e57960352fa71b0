"""One network, several runtimes, the same numbers within the precision of each."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deepstorm.models.checkpoint import Network
from deepstorm.models.devices import DeviceName, find_device
from deepstorm.models.rendering import PlainRendering, Rendering

Float32Array = npt.NDArray[np.float32]

# Camera pixels per call: enough to keep the processor busy, few enough to stay in its caches.
PIXELS_PER_CALL = 128 * 128

PLAIN = PlainRendering()


class Prediction(NamedTuple):
    """What an engine says of some frames, both (frame, y · upsampling, x · upsampling).

    Parameters
    ----------
    expected : ndarray of float32
        Expected emitters per super-resolution pixel: a posterior.
    image : ndarray of float32
        What each frame adds to the image, with the same sum.
    """

    expected: Float32Array
    image: Float32Array


class Engine(Protocol):
    """Runs a network and its rendering on arrays."""

    name: str

    def __call__(self, frames: Float32Array) -> Prediction:
        """Return expected emitters and their rendering.

        Parameters
        ----------
        frames : ndarray of float32, shape (frame, channel, y, x)
            Scaled, sides a multiple of the network's divisor.
        """


class RenderedNetwork(nn.Module):
    """A network with its rendering: what engines run."""

    def __init__(self, network: Network, rendering: Rendering) -> None:
        super().__init__()
        self.network = network
        self.rendering = rendering

    def forward(self, frames: Tensor) -> Tensor:
        """Return expectation and rendering, (batch, 2, y · upsampling, x · upsampling)."""
        expected = self.network.expected_emitters(frames)
        return torch.cat([expected, self.rendering(expected)], dim=1)


class TorchEngine:
    """Runs a network with PyTorch, in float32.

    Parameters
    ----------
    network : Network
    rendering : Rendering
    device : str
        Torch device.
    """

    def __init__(self, network: Network, rendering: Rendering = PLAIN, device: str = "cpu") -> None:
        self.name = f"torch-{device}"
        self.device = torch.device(device)
        self.module = RenderedNetwork(network, rendering).eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, frames: Float32Array) -> Prediction:
        """Run in pieces that fit the memory."""
        step = max(PIXELS_PER_CALL // (frames.shape[2] * frames.shape[3]), 1)
        results = []
        for start in range(0, len(frames), step):
            piece = torch.from_numpy(np.ascontiguousarray(frames[start : start + step]))
            results.append(self.module(piece.to(self.device)).cpu())
        expected, image = torch.cat(results).numpy().swapaxes(0, 1)
        return Prediction(expected, image)


class OpenVinoEngine:
    """Runs a network with OpenVINO on a CPU, in bfloat16 where the processor has it.

    A model is compiled for each frame size that comes, and kept.

    Parameters
    ----------
    network : Network
    rendering : Rendering
    precision : str, optional
        ``"bf16"`` or ``"f32"``; chosen by the processor where absent.
    """

    def __init__(
        self, network: Network, rendering: Rendering = PLAIN, precision: str | None = None
    ) -> None:
        openvino = _openvino()
        self._core = openvino.Core()
        capable = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or ("bf16" if capable else "f32")
        self.name = f"openvino-{self.precision}"
        self._upsampling = network.upsampling
        self._channels = network.channels
        example = torch.zeros(1, network.channels, 8 * network.divisor, 8 * network.divisor)
        # OpenVINO holds frames as (batch, channel, y, x) with sizes that are filled in later.
        with _quiet_tracing():
            self._model = openvino.convert_model(
                RenderedNetwork(network, rendering).eval(),
                example_input=example,
                input=openvino.PartialShape([-1, network.channels, -1, -1]),
            )
        self._compiled: dict[tuple[int, int, int], Any] = {}

    def __call__(self, frames: Float32Array) -> Prediction:
        """Run in pieces of one size; the last one is filled up."""
        count, channels, height, width = frames.shape
        step = min(max(PIXELS_PER_CALL // (height * width), 1), count)
        run = self._compile(step, height, width)
        factor = self._upsampling
        both = np.empty((2, count, height * factor, width * factor), np.float32)
        piece = np.zeros((step, channels, height, width), np.float32)
        for start in range(0, count, step):
            taken = frames[start : start + step]
            piece[: len(taken)] = taken
            output = run(piece, share_inputs=True, share_outputs=True)[0]
            both[:, start : start + step] = output[: len(taken)].swapaxes(0, 1)
        return Prediction(*both)

    def _compile(self, batch: int, height: int, width: int) -> Any:
        key = (batch, height, width)
        if key not in self._compiled:
            model = self._model.clone()
            model.reshape([batch, self._channels, height, width])
            settings = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": self.precision,
            }
            self._compiled[key] = self._core.compile_model(model, "CPU", settings)
        return self._compiled[key]


def choose_engine(
    network: Network, rendering: Rendering = PLAIN, device: DeviceName = "auto"
) -> Engine:
    """Return the fastest engine for a device.

    Parameters
    ----------
    network : Network
    rendering : Rendering
    device : str
        ``auto`` takes a CUDA or Apple GPU where there is one, else the CPU with OpenVINO where it
        is installed, else the CPU with PyTorch.

    Raises
    ------
    InputError
        If the device asked for is unknown or not there.
    """
    found = find_device(device)
    if found.type != "cpu":
        return TorchEngine(network, rendering, found.type)
    try:
        return OpenVinoEngine(network, rendering)
    except ImportError:
        return TorchEngine(network, rendering)


def _openvino() -> Any:
    import openvino

    return openvino


@contextlib.contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Silence what tracing says of shapes that are fixed while it runs."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
