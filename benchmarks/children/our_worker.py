"""Child process: the networks of this package in one of its runtimes.

The only place here that knows how engines are made. PyTorch is imported where it is needed, so that
the memory of other runtimes is their own.
"""

import importlib
import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
from workers import serve

import deepstorm
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.io.movies.opening import open_movie
from deepstorm.models.devices import may_have_gpu
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import open_network
from deepstorm.reconstruction.engines.choice import choose_engine, installed_engines
from deepstorm.reconstruction.engines.protocol import Engine
from deepstorm.reconstruction.refining import refine
from deepstorm.reconstruction.streaming import VALUES_PER_BLOCK
from deepstorm.simulation.camera import EmccdCamera
from deepstorm.structures import Instrument

Answer = dict[str, Any]
SIGMA_PX = 1.09
# Rates are measured on multiples of so many camera pixels, which no engine takes more of at once.
PIXELS_PER_BATCH = 128 * 128


def runtimes() -> Answer:
    """Return engine, precision and device of every runtime here, and the accelerator's name."""
    found = [("torch", "f32", "cpu")]
    if "openvino" in installed_engines():
        import openvino

        capable = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precisions = ("f32", *(name for name in ("bf16", "int8") if name.upper() in capable))
        found += [("openvino", precision, "cpu") for precision in precisions]
    if "onnx" in installed_engines() and importlib.util.find_spec("onnx"):
        providers = importlib.import_module("onnxruntime").get_available_providers()
        devices = ("cpu", *(["cuda"] if "CUDAExecutionProvider" in providers else []))
        found += [("onnx", "f32", device) for device in devices]
    accelerator = None
    if may_have_gpu():
        import torch

        if torch.cuda.is_available():
            accelerator = torch.cuda.get_device_name()
            half = torch.cuda.is_bf16_supported(including_emulation=False)
            found.append(("torch", "bf16" if half else "f16", "cuda"))
    names = ("engine", "precision", "device")
    own = [dict(zip(names, each, strict=True)) for each in found]
    return {"runtimes": own, "accelerator": accelerator}


def build_engine(network: TrainedNetwork, engine: str, precision: str, device: str) -> Engine:
    """Return a network in one of the :func:`runtimes`."""
    if engine != "openvino":
        return choose_engine(network, device, engine)
    from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(network, precision)


class Measured:
    """A network in a runtime, with frames to measure it on."""

    def open(self, network: str, engine: str, precision: str, device: str, frames: str) -> Answer:
        """Make a network ready for the counts (frame, y, x) of a file; tell how many it takes.

        The engine is one of :func:`runtimes`, or ``unfolded``: the paper's network as it is written
        there, in PyTorch, one frame at a time.
        """
        file = open_network(network)
        self._card, counts = file.card, np.load(frames)
        instrument = Instrument(*EmccdCamera().noise_line(), SIGMA_PX)
        self._stock = self._card.scaling.fit(counts, instrument).apply(counts)
        as_written = engine == "unfolded"
        self._engine = None if as_written else build_engine(file, engine, precision, device)
        self._run = _as_written(file, device) if as_written else _outputs(self._engine)
        height, width = counts.shape[1:]
        factor = self._card.network.upsampling
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
            _, rendered = self._run(np.take(self._stock, chosen, axis=0, mode="wrap"))
            image += rendered.sum(axis=0, dtype=np.float64)
        return {"seconds": time.perf_counter() - began}

    def save(self, count: int, to: str) -> Answer:
        """Write the first frames' predictions in the paper's units, (frame, y, x)."""
        from deepstorm.models.deepstorm import SPIKE_HEIGHT

        expected, _ = self._run(self._stock[:count])
        np.save(to, expected * np.float32(SPIKE_HEIGHT))
        return {}

    def nmse(self, movie: str, truth: str, pixel_nm: float) -> Answer:
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
        image, refinement = sums[1], self._card.refinement
        if refinement is not None and self._engine is not None:
            image = refine(self._engine.refine, refinement, sums.astype(np.float32))
        fine_nm = pixel_nm / self._card.network.upsampling
        return deepstorm.evaluate(image, Path(truth), pixel_size_nm=fine_nm).figures()


def _outputs(engine):
    """Return what gives the expectation of frames, and what they add to the image."""

    def run(frames):
        prediction = engine(frames)
        return prediction.expected, prediction.image

    return run


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
        return expected, expected

    return run


def export(network: str, to: str) -> Answer:
    """Write the weights of a network of the paper's kind as Keras has them."""
    from our_networks import export_weights

    export_weights(open_network(network), Path(to))
    return {}


def arithmetic(network: str, side_px: int) -> Answer:
    """Count a network's arithmetic per frame."""
    import our_networks

    return our_networks.arithmetic(open_network(network).load(), side_px)


def roof(device: str, seconds: float) -> Answer:
    """Measure the fastest matrix products."""
    import our_networks

    return our_networks.highest_rates(device, seconds)


if __name__ == "__main__":
    one = Measured()
    operations = (runtimes, export, arithmetic, roof, one.open, one.predict, one.save, one.nmse)
    serve({operation.__name__: operation for operation in operations})
