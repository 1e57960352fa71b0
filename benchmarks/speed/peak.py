"""The machine's roof: the fastest matrix products that its libraries reach."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

Product = Callable[[], object]

# Sides of the matrices: large enough that reading them costs little against multiplying.
CPU_SIDES = (1024, 2048)
CUDA_SIDES = (4096, 8192)
TORCH_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def highest_rates(device: str, seconds: float) -> dict[str, dict[str, object]]:
    """Measure matrix products in each precision, the best of several sizes, libraries and runs.

    Parameters
    ----------
    device : str
        ``cpu`` or ``cuda``.
    seconds : float
        For each product.

    Returns
    -------
    dict
        Precision to ``gigamacs_per_s`` (10⁹ multiplications with addition), ``library`` and
        ``side``.
    """
    best: dict[str, dict[str, object]] = {}
    for precision, library, side, product in _products(device):
        rate = side**3 / 1e9 / _fastest_s(product, device, seconds)
        known = best.get(precision)
        if known is None or rate > float(str(known["gigamacs_per_s"])):
            best[precision] = {"gigamacs_per_s": rate, "library": library, "side": side}
    return best


def _products(device: str) -> Iterator[tuple[str, str, int, Product]]:
    for side in CUDA_SIDES if device == "cuda" else CPU_SIDES:
        for precision, kind in TORCH_TYPES.items():
            if device == "cpu" and precision == "f16":  # which no network has there
                continue
            yield precision, "PyTorch", side, _torch_product(side, kind, device)
        if device == "cpu":
            yield from _openvino_products(side)


def _torch_product(side: int, kind: torch.dtype, device: str) -> Product:
    first, second = torch.randn(2, side, side, device=device).to(kind)
    result = torch.empty_like(first)
    return lambda: torch.mm(first, second, out=result)


def _openvino_products(side: int) -> Iterator[tuple[str, str, int, Product]]:
    """Yield products with a constant matrix, as convolutions have, where OpenVINO is there."""
    try:
        import openvino
        from openvino import opset13 as operations
    except ImportError:
        return
    core = openvino.Core()
    capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    values = np.random.default_rng(1).normal(size=(2, side, side)).astype(np.float32)
    entry = operations.parameter([side, side], np.float32)
    product = operations.matmul(entry, operations.constant(values[1]), False, False)
    model = openvino.Model([product], [entry])
    for precision in ("f32", *(["bf16"] if "BF16" in capable else [])):
        compiled = core.compile_model(
            model,
            "CPU",
            {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision},
        )
        yield precision, "OpenVINO", side, _openvino_product(compiled, values[0])


def _openvino_product(compiled: Callable[..., object], values: object) -> Product:
    return lambda: compiled(values, share_inputs=True, share_outputs=True)


def _fastest_s(product: Product, device: str, seconds: float) -> float:
    """Return the time of the fastest of many runs."""
    product()
    shortest, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        product()
        if device == "cuda":
            torch.cuda.synchronize()
        shortest = min(shortest, time.perf_counter() - began)
    return shortest
