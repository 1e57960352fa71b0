"""Layers that several networks share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def convolutions(*channels: int) -> nn.Sequential:
    """Return 3 × 3 convolutions, each with ReLU, between the given numbers of channels."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def draw_for_relu(network: nn.Module) -> None:
    """Draw the weights of convolutions that have biases as ReLU layers need them (He et al.)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


def enlarge(features: Tensor) -> Tensor:
    """Repeat each pixel 2 × 2."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def box_mean(image: Tensor, reach_px: int) -> Tensor:
    """Average over the square around each pixel of an image that is mirrored at its borders.

    Parameters
    ----------
    image : Tensor, shape (batch, channel, y, x)
    reach_px : int
        Half side of the square.
    """
    side = 2 * reach_px + 1
    along_x = functional.avg_pool2d(mirrored(image, reach_px, 3), (1, side), stride=1)
    return functional.avg_pool2d(mirrored(along_x, reach_px, 2), (side, 1), stride=1)


def mirrored(image: Tensor, reach_px: int, axis: int) -> Tensor:
    """Lengthen an axis at both ends by its mirror image, the outermost pixels included."""
    length = image.shape[axis]
    place = torch.arange(-reach_px, length + reach_px, device=image.device) % (2 * length)
    return image.index_select(axis, torch.minimum(place, 2 * length - 1 - place))
