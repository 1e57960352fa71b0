"""How this package runs its networks: the only place here that knows how engines are made."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import deepstorm
from deepstorm.arrays import AnyArray, Float32Array, Float64Array
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.io.movies.opening import open_movie
from deepstorm.models.devices import may_have_gpu
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import open_network
from deepstorm.reconstruction.engines.choice import choose_engine, installed_engines
from deepstorm.reconstruction.refining import refine
from deepstorm.reconstruction.streaming import VALUES_PER_BLOCK
from deepstorm.simulation.camera import EmccdCamera
from deepstorm.structures import Instrument

if TYPE_CHECKING:
    from deepstorm.reconstruction.engines.protocol import Engine

# Of some frames: the expectation and what they add to the image.
Outputs = tuple[Float32Array, Float32Array]
SIGMA_PX = 1.09
# Rates are measured on multiples of so many camera pixels, which no engine takes more of at once.
PIXELS_PER_BATCH = 128 * 128


def available() -> list[dict[str, str]]:
    """Return engine, precision and device of every runtime that works here."""
    found = [{"engine": "torch", "precision": "f32", "device": "cpu"}]
    if "openvino" in installed_engines():
        import openvino

        capable = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precisions = ("f32", *(name for name in ("bf16", "int8") if name.upper() in capable))
        found += [{"engine": "openvino", "precision": p, "device": "cpu"} for p in precisions]
    if "onnx" in installed_engines() and importlib.util.find_spec("onnx"):
        runtime = importlib.import_module("onnxruntime")
        found.append({"engine": "onnx", "precision": "f32", "device": "cpu"})
        if "CUDAExecutionProvider" in runtime.get_available_providers():
            found.append({"engine": "onnx", "precision": "f32", "device": "cuda"})
    if (precision := _cuda_precision()) is not None:
        found.append({"engine": "torch", "precision": precision, "device": "cuda"})
    return found


def _cuda_precision() -> str | None:
    """Return in what networks compute on CUDA, if it is there."""
    if not may_have_gpu():
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f16"


def accelerator() -> str | None:
    """Return the name of the CUDA device, if there is one."""
    if _cuda_precision() is None:
        return None
    import torch

    return torch.cuda.get_device_name()


def build_engine(network: TrainedNetwork, engine: str, precision: str, device: str) -> Engine:
    """Return a network in one of the runtimes that are available."""
    if engine == "openvino":
        from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(network, precision)
    return choose_engine(network, device, engine)  # type: ignore[arg-type]


class Measured:
    """A network in a runtime, with frames to measure it on.

    Parameters
    ----------
    network : str
        Name or file.
    engine, precision, device : str
        As :func:`available` gives them; the engine ``unfolded`` is the paper's network as it is
        written there, in PyTorch, one frame at a time.
    frames : str
        ``.npy`` file of counts, (frame, y, x).
    """

    def __init__(self, network: str, engine: str, precision: str, device: str, frames: str) -> None:
        self._network = open_network(network)
        self._card = self._network.card
        counts = np.load(frames)
        instrument = Instrument(*EmccdCamera().noise_line(), SIGMA_PX)
        self._stock: Float32Array = self._card.scaling.fit(counts, instrument).apply(counts)
        self._engine: Engine | None = None
        if engine == "unfolded":
            self._run = _as_written(self._network, device)
        else:
            self._engine = build_engine(self._network, engine, precision, device)
            self._run = _outputs(self._engine)
        height, width = counts.shape[1:]
        factor = self._card.network.upsampling
        self._shape = (height * factor, width * factor)
        self._block = max(VALUES_PER_BLOCK // (self._shape[0] * self._shape[1]), 1)
        whole = max(PIXELS_PER_BATCH // (height * width), 1)
        self.batch = 1 if engine == "unfolded" else whole

    def predict(self, count: int) -> float:
        """Predict so many frames and add them up; return the seconds that takes."""
        began = time.perf_counter()
        image = np.zeros(self._shape)
        for start in range(0, count, self._block):
            chosen = range(start, min(start + self._block, count))
            _, rendered = self._run(np.take(self._stock, chosen, axis=0, mode="wrap"))
            image += rendered.sum(axis=0, dtype=np.float64)
        return time.perf_counter() - began

    def spikes(self, count: int) -> Float32Array:
        """Return the first frames' predictions in the paper's units, (frame, y, x)."""
        from deepstorm.models.deepstorm import SPIKE_HEIGHT

        expected, _ = self._run(self._stock[:count])
        return expected * np.float32(SPIKE_HEIGHT)

    def nmse(self, movie: Path, truth: Path, pixel_nm: float) -> dict[str, Any]:
        """Score the image of a movie of the frames' size, told nothing but its pixel size."""
        with open_movie(movie) as opened:
            counts = opened.read(0, opened.shape[0])
        calibration = calibrate_frames(counts, known=KnownValues(pixel_size_nm=pixel_nm))
        scaled = self._card.scaling.fit(counts, calibration.instrument).apply(counts)
        sums = np.zeros((3, *self._shape))  # in the order that refiners take
        for start in range(0, len(scaled), self._block):
            expected, rendered = self._run(scaled[start : start + self._block])
            for total, part in zip(sums, (expected, rendered, np.square(expected)), strict=True):
                total += part.sum(axis=0, dtype=np.float64)
        image = self._image(sums)
        fine_nm = pixel_nm / self._card.network.upsampling
        return deepstorm.evaluate(image, truth, pixel_size_nm=fine_nm).figures()

    def _image(self, sums: Float64Array) -> AnyArray:
        """Return the image of the sums over a movie."""
        refinement = self._card.refinement
        if refinement is None or self._engine is None:
            return np.asarray(sums[1])
        image: Float32Array = refine(self._engine.refine, refinement, sums.astype(np.float32))
        return image


def _outputs(engine: Engine) -> Callable[[Float32Array], Outputs]:
    """Return what runs an engine."""

    def run(frames: Float32Array) -> Outputs:
        prediction = engine(frames)
        return prediction.expected, prediction.image

    return run


def _as_written(network: TrainedNetwork, device: str) -> Callable[[Float32Array], Outputs]:
    """Return what runs the paper's network in PyTorch, one frame at a time, in float32."""
    import torch
    from our_networks import unfolded

    written = unfolded(network.load()).to(device)

    @torch.inference_mode()
    def run(frames: Float32Array) -> Outputs:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            batches = (torch.from_numpy(each[None]).to(device) for each in frames)
            outputs = [written.expected_emitters(each) for each in batches]
        expected: Float32Array = torch.cat(outputs)[:, 0].cpu().numpy()
        return expected, expected

    return run
