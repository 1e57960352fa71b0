"""The networks that are measured: as they are published, handed to Keras, and counted."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from deepstorm.models import native
from deepstorm.models.deepstorm import DeepStormNetwork, EnlargingConvolution
from deepstorm.models.network import Network
from deepstorm.models.scaling import MinMaxScaling
from deepstorm.models.trained_network import TrainedNetwork


def unfolded(network: Network) -> DeepStormNetwork:
    """Return a copy that repeats pixels and then convolves them, as the paper writes it.

    Raises
    ------
    TypeError
        If it is a network of another kind.
    """
    if not isinstance(network, DeepStormNetwork):
        raise TypeError("only the paper's network was published in another form")
    written = copy.deepcopy(network)
    for index, layer in enumerate(written.layers):
        if isinstance(layer, EnlargingConvolution):
            written.layers[index] = nn.Sequential(nn.Upsample(scale_factor=2.0), *layer)
    return written.eval()


def export_weights(trained: TrainedNetwork, path: Path) -> None:
    """Write weights as Keras has them, and the scaling, as ``.npz``.

    Arrays ``convolution0`` to ``convolution6`` (y, x, before, after), ``normalization0`` to
    ``normalization6`` (4, after): factor, offset, mean, variance; ``head``; ``mean`` and
    ``standard_deviation`` of the scaling, ``upsampling``, and ``epsilon`` of the normalization.
    """
    network, card = trained.load(), trained.card
    if not isinstance(network, DeepStormNetwork) or not isinstance(card.scaling, MinMaxScaling):
        raise TypeError(f"'{card.name}' is not a network of the paper's kind, scaled by 'minmax'")
    arrays: dict[str, Any] = {"head": _keras_kernel(network.head)}
    for index, layer in enumerate(network.layers):
        convolution, normalization, _ = layer.children()
        statistics = [
            normalization.state_dict()[name]
            for name in ("weight", "bias", "running_mean", "running_var")
        ]
        arrays[f"convolution{index}"] = _keras_kernel(convolution)
        arrays[f"normalization{index}"] = torch.stack(statistics).numpy()
        arrays["epsilon"] = normalization.eps
    arrays["mean"] = card.scaling.mean
    arrays["standard_deviation"] = card.scaling.standard_deviation
    np.savez(path, upsampling=network.upsampling, **arrays)


def arithmetic(network: Network, side_px: int) -> dict[str, float]:
    """Count the multiplications of a network's convolutions for one frame, in 10⁹.

    Returns
    -------
    dict
        ``folded``, as it runs here, and ``unfolded``, with pixels repeated before convolutions.
    """
    if isinstance(network, DeepStormNetwork):
        written = _gigamacs(unfolded(network), side_px)
    else:
        with mock.patch.object(native, "joined", _joined_unfolded):
            written = _gigamacs(network, side_px)
    return {"folded": _gigamacs(network, side_px), "unfolded": written}


def _gigamacs(network: Network, side_px: int) -> float:
    """Count by PyTorch's hooks into its operations; on the device ``meta`` nothing is computed."""
    frames = torch.empty(1, network.channels, side_px, side_px, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(network).to("meta").expected_emitters(frames)
    return counter.get_total_flops() / 2e9  # type: ignore[no-any-return]


def _joined_unfolded(convolve: nn.Sequential, beside: Tensor, below: Tensor) -> Tensor:
    """Do what :func:`~deepstorm.models.layers.joined` does, as U-Nets are usually written."""
    repeated = functional.interpolate(below, scale_factor=2.0)
    result: Tensor = convolve(torch.cat([beside, repeated], dim=1))
    return result


def _keras_kernel(convolution: nn.Module) -> np.typing.NDArray[np.float32]:
    """Return a kernel (after, before, y, x) as (y, x, before, after)."""
    return convolution.get_parameter("weight").detach().permute(2, 3, 1, 0).contiguous().numpy()
