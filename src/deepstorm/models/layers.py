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


def folded_kernel(kernel: Tensor) -> Tensor:
    """Return the transposed 4 × 4 kernel of stride 2 that does what 3 × 3 does to repeated pixels.

    Parameters
    ----------
    kernel : Tensor, shape (after, before, 3, 3)

    Returns
    -------
    Tensor, shape (before, after, 4, 4)
        The kernel summed over boxes of 2 × 2, mirrored.
    """
    sums = 4 * functional.avg_pool2d(kernel, 2, stride=1, padding=1)
    return sums.flip(2, 3).transpose(0, 1)


def joined(convolve: nn.Sequential, beside: Tensor, below: Tensor) -> Tensor:
    """Run :func:`convolutions` on features and on those of half the resolution, enlarged.

    The first convolution does both apart and adds up. Behind repeated pixels its kernel meets no
    more than 2 × 2 different values: that part is one transposed convolution, borders included,
    with five ninths of the arithmetic left out.

    Parameters
    ----------
    convolve : nn.Sequential
        Takes the channels of ``beside``, then those of ``below``.
    beside : Tensor, shape (batch, channel, y, x)
    below : Tensor, shape (batch, other channel, y / 2, x / 2)
    """
    first, *others = convolve
    weight, own = first.get_parameter("weight"), beside.shape[1]
    features = functional.conv2d(beside, weight[:, :own], first.get_parameter("bias"), padding=1)
    kernel = folded_kernel(weight[:, own:])
    features = features + functional.conv_transpose2d(below, kernel, stride=2, padding=1)
    return nn.Sequential(*others)(features)  # type: ignore[no-any-return]


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
    place = torch.arange(reach_px, device=image.device)
    before = _mirror(image, place - reach_px, axis)
    after = _mirror(image, place + length, axis)
    return torch.cat([before, image, after], dim=axis)


def _mirror(image: Tensor, place: Tensor, axis: int) -> Tensor:
    """Return what mirrors at both ends, again and again, show at places beyond the image."""
    length = image.shape[axis]
    folded = place % (2 * length)
    return image.index_select(axis, torch.minimum(folded, 2 * length - 1 - folded))
