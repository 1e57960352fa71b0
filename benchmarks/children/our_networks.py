"""Networks as published, handed to Keras and counted; the roof. As a script, a child process."""

import copy
import math
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from deepstorm.models import native
from deepstorm.models.deepstorm import DeepStormNetwork, EnlargingConvolution
from deepstorm.models.network import Network
from deepstorm.models.scaling import MinMaxScaling
from deepstorm.models.trained_network import TrainedNetwork

SIDES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
TORCH_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def unfolded(network: Network) -> DeepStormNetwork:
    """Return a copy that repeats pixels and then convolves them, as the paper writes it."""
    if not isinstance(network, DeepStormNetwork):
        raise TypeError("only the paper's network was published in another form")
    written = copy.deepcopy(network)
    for index, layer in enumerate(written.layers):
        if isinstance(layer, EnlargingConvolution):
            written.layers[index] = nn.Sequential(nn.Upsample(scale_factor=2.0), *layer)
    return written.eval()


def export_weights(trained: TrainedNetwork, path: Path) -> None:
    """Write weights as Keras has them, and the scaling, as ``.npz``.

    Convolutions are (y, x, before, after), normalizations (factor, offset, mean, variance).
    """
    network, card = trained.load(), trained.card
    if not isinstance(network, DeepStormNetwork) or not isinstance(card.scaling, MinMaxScaling):
        raise TypeError(f"'{card.name}' is not a network of the paper's kind, scaled by 'minmax'")
    arrays: dict[str, Any] = {"head": _keras_kernel(network.head)}
    for index, layer in enumerate(network.layers):
        convolution, normalization, _ = layer.children()
        state, names = normalization.state_dict(), ("weight", "bias", "running_mean", "running_var")
        arrays[f"convolution{index}"] = _keras_kernel(convolution)
        arrays[f"normalization{index}"] = torch.stack([state[name] for name in names]).numpy()
        arrays["epsilon"] = normalization.eps
    scaling = card.scaling
    arrays |= {"mean": scaling.mean, "standard_deviation": scaling.standard_deviation}
    np.savez(path, upsampling=network.upsampling, **arrays)


def _keras_kernel(convolution):
    return convolution.get_parameter("weight").detach().permute(2, 3, 1, 0).contiguous().numpy()


def arithmetic(network: Network, side_px: int) -> dict[str, float]:
    """Count 10⁹ multiplications of a frame: as it runs here, and with pixels repeated before."""
    written = unfolded(network) if isinstance(network, DeepStormNetwork) else network
    with mock.patch.object(native, "joined", _joined_unfolded):
        unfolded_count = _gigamacs(written, side_px)
    return {"folded": _gigamacs(network, side_px), "unfolded": unfolded_count}


def _gigamacs(network, side_px):
    """Count by PyTorch's hooks into its operations; on the device ``meta`` nothing is computed."""
    frames = torch.empty(1, network.channels, side_px, side_px, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(network).to("meta").expected_emitters(frames)
    return counter.get_total_flops() / 2e9


def _joined_unfolded(convolve, beside, below):
    """Do what :func:`~deepstorm.models.layers.joined` does, as U-Nets are usually written."""
    return convolve(torch.cat([beside, functional.interpolate(below, scale_factor=2.0)], dim=1))


def highest_rates(device: str, seconds: float) -> dict[str, dict[str, Any]]:
    """Measure matrix products, the best of several sizes, libraries and runs, by precision."""
    best: dict[str, dict[str, Any]] = {}
    for side in SIDES[device]:
        for precision, library, product in _products(side, device):
            shortest, end = math.inf, time.perf_counter() + seconds
            while math.isinf(shortest) or time.perf_counter() < end:
                began = time.perf_counter()
                product()
                if device == "cuda":
                    torch.cuda.synchronize()
                shortest = min(shortest, time.perf_counter() - began)
            rate = side**3 / 1e9 / shortest  # 10⁹ multiplications with addition
            if precision not in best or rate > best[precision]["gigamacs_per_s"]:
                best[precision] = {"gigamacs_per_s": rate, "library": library, "side": side}
    return best


def _products(side, device):
    """Yield precision, library and what multiplies; one matrix of OpenVINO's is constant."""
    for precision, kind in TORCH_TYPES.items():
        if device == "cuda" or precision != "f16":  # which no network has on a CPU
            first, second = torch.randn(2, side, side, device=device).to(kind)
            result = torch.empty_like(first)
            yield precision, "PyTorch", lambda a=first, b=second, c=result: torch.mm(a, b, out=c)
    if device == "cuda" or not find_spec("openvino"):
        return
    import openvino
    from openvino import opset13 as operations

    values = np.random.default_rng(1).normal(size=(2, side, side)).astype(np.float32)
    entry = operations.parameter([side, side], np.float32)
    product = operations.matmul(entry, operations.constant(values[1]), False, False)
    model, core = openvino.Model([product], [entry]), openvino.Core()
    for precision in ("f32", "bf16"):
        if precision.upper() in (*core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"), "F32"):
            hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
            multiply = partial(core.compile_model(model, "CPU", hints), values[0])
            yield precision, "OpenVINO", partial(multiply, share_inputs=True, share_outputs=True)


if __name__ == "__main__":
    from workers import serve

    from deepstorm.models.zoo import open_network

    serve(
        {
            "export": lambda network, to: export_weights(open_network(network), Path(to)),
            "count": lambda network, side: arithmetic(open_network(network).load(), side),
            "roof": highest_rates,
        }
    )
