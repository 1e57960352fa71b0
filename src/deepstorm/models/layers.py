"""Layers that several networks share."""

from __future__ import annotations

from itertools import pairwise

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
    """Average over the square around each pixel; what lies beyond the border counts as zero."""
    side = 2 * reach_px + 1
    along_x = functional.avg_pool2d(image, (1, side), stride=1, padding=(0, reach_px))
    return functional.avg_pool2d(along_x, (side, 1), stride=1, padding=(reach_px, 0))
