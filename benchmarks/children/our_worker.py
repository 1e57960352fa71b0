"""Child process: the networks of this package in one of its runtimes.

PyTorch is imported where it is needed, so that the memory of other runtimes is their own.
"""

import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
from workers import serve

import deepstorm
from deepstorm.models.devices import may_have_gpu
from deepstorm.models.zoo import open_network
from deepstorm.reconstruction.engines.choice import choose_engine, installed_engines
from deepstorm.reconstruction.engines.onnx_engine import PROVIDERS
from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine
from deepstorm.reconstruction.engines.protocol import Engine, Prediction
from deepstorm.reconstruction.streaming import VALUES_PER_BLOCK
from deepstorm.simulation.camera import EmccdCamera
from deepstorm.structures import Instrument

Answer = dict[str, Any]
SIGMA_PX = 1.09
PIXELS_PER_BATCH = 128 * 128  # which no engine takes more of at once


def runtimes() -> Answer:
    """Return engine, precision and device of every runtime here, and the accelerator's name."""
    found = [("torch", "f32", "cpu")]
    if "openvino" in installed_engines():
        import openvino

        capable = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precisions = ("f32", *(name for name in ("bf16", "int8") if name.upper() in capable))
        found += [("openvino", precision, "cpu") for precision in precisions]
    if "onnx" in installed_engines() and find_spec("onnx"):
        import onnxruntime

        providers = onnxruntime.get_available_providers()
        found += [("onnx", "f32", name) for name in PROVIDERS if PROVIDERS[name] in providers]
    accelerator = None
    if may_have_gpu():
        import torch

        if torch.cuda.is_available():
            accelerator = torch.cuda.get_device_name()
            half = torch.cuda.is_bf16_supported(including_emulation=False)
            found.append(("torch", "bf16" if half else "f16", "cuda"))
    return {"runtimes": found, "accelerator": accelerator}


def engine_of(network: str, engine: str, precision: str, device: str) -> Engine:
    """Return a network in one of the :func:`runtimes`."""
    opened = open_network(network)
    if engine == "openvino":
        return OpenVinoEngine(opened, precision)
    return choose_engine(opened, device, engine)


class Measured:
    """A network in a runtime, with frames to measure it on."""

    def open(self, network: str, engine: str, precision: str, device: str, frames: str) -> Answer:
        """Make a network ready for the counts (frame, y, x) of a file; tell how many it takes.

        The engine may be ``unfolded``: the paper's network as written there, one frame at a time.
        """
        self._network, counts = open_network(network), np.load(frames)
        card, instrument = self._network.card, Instrument(*EmccdCamera().noise_line(), SIGMA_PX)
        self._stock = card.scaling.fit(counts, instrument).apply(counts)
        as_written, told = engine == "unfolded", (network, engine, precision, device)
        if engine in ("openvino", "onnx"):
            # Converting a network, which is done once, is not to count as its memory.
            subprocess.run([sys.executable, __file__, *told], check=True)
        self._engine = None if as_written else engine_of(*told)
        self._run = self._engine or _as_written(self._network, device)
        (height, width), factor = counts.shape[1:], card.network.upsampling
        self._shape = (height * factor, width * factor)
        self._block = max(VALUES_PER_BLOCK // (self._shape[0] * self._shape[1]), 1)
        whole = max(PIXELS_PER_BATCH // (height * width), 1)
        return {"batch": 1 if as_written else whole}

    def predict(self, count: int) -> Answer:
        """Predict so many frames and add them up; tell the seconds that takes."""
        began = time.perf_counter()
        image = np.zeros(self._shape)
        for start in range(0, count, self._block):
            chosen = range(start, min(start + self._block, count))
            prediction = self._run(np.take(self._stock, chosen, axis=0, mode="wrap"))
            image += prediction.image.sum(axis=0, dtype=np.float64)
        return {"seconds": time.perf_counter() - began}

    def save(self, count: int, to: str) -> None:
        """Write the first frames' predictions in the paper's units, (frame, y, x)."""
        from deepstorm.models.deepstorm import SPIKE_HEIGHT

        np.save(to, self._run(self._stock[:count]).expected * np.float32(SPIKE_HEIGHT))

    def nmse(self, movie: str, truth: str, pixel_nm: float) -> Answer:
        """Score the image of a movie of the frames' size, told nothing but its pixel size."""
        from unittest import mock

        from deepstorm.reconstruction import predictor

        engine = self._engine or choose_engine(self._network, "cpu", "torch")
        told = {"pixel_size_nm": pixel_nm, "network": self._network.path, "localizations": False}
        with mock.patch.object(predictor, "choose_engine", return_value=engine):
            return deepstorm.evaluate(deepstorm.reconstruct(movie, **told), truth).figures()


def _as_written(network, device):
    """Return what runs the paper's network in PyTorch, one frame at a time, in float32."""
    import torch
    from our_networks import unfolded

    written = unfolded(network.load()).to(device)

    @torch.inference_mode()
    def run(frames):
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            batches = (torch.from_numpy(each[None]).to(device) for each in frames)
            outputs = [written.expected_emitters(each) for each in batches]
        expected = torch.cat(outputs)[:, 0].cpu().numpy()
        return Prediction(expected, expected)

    return run


if __name__ == "__main__":
    if sys.argv[1:]:
        engine_of(*sys.argv[1:])
    else:
        one = Measured()
        operations = (runtimes, one.open, one.predict, one.save, one.nmse)
        serve({operation.__name__: operation for operation in operations})
