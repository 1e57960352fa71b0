"""A network that works at camera resolution and spreads each pixel into its sub-pixels at the end.

The paper's network first enlarges the frame 8 × and then convolves 64 times as many values, most of
them copies. Here all convolutions see camera pixels, and the last one gives the 8 × 8 sub-pixels of
each as channels (sub-pixel convolution, Shi et al., CVPR 2016, doi 10.1109/CVPR.2016.207).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.layers import convolutions, draw_for_relu, joined
from deepstorm.models.network import Network


class NativeNetwork(Network):
    """U-Net over three resolutions with a sub-pixel head.

    Takes scaled frames (batch, channel, y, x), whose sides are multiples of ``divisor``, and
    returns the log-odds that each super-resolution pixel holds an emitter,
    (batch, 1, y · upsampling, x · upsampling).

    Parameters
    ----------
    settings : NativeNetworkSettings
    """

    def __init__(self, settings: NativeNetworkSettings) -> None:
        super().__init__(settings)
        width, deep = settings.width, settings.deep_width
        self.encode_full = convolutions(settings.channels, width, width)
        self.encode_half = convolutions(width, deep, deep)
        self.quarter = convolutions(deep, deep, deep)
        self.decode_half = convolutions(2 * deep, deep, deep)
        self.decode_full = convolutions(deep + width, width, width)
        self.spread = convolutions(width, deep)
        self.head = nn.Conv2d(deep, settings.upsampling**2, 1)
        if not self.head.weight.is_meta:  # else weights are going to be loaded
            self._initialise()

    def _initialise(self) -> None:
        """Draw weights for ReLU layers, and start from few emitters: odds of 1 to 400 per pixel."""
        draw_for_relu(self)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.constant_(self.head.bias, -6.0)  # type: ignore[arg-type]

    def forward(self, frames: Tensor) -> Tensor:
        """Return log-odds per super-resolution pixel; sides must be multiples of ``divisor``."""
        full = self.encode_full(frames)  # (b, width, y, x)
        half = self.encode_half(functional.max_pool2d(full, 2))  # (b, deep, y/2, x/2)
        quarter = self.quarter(functional.max_pool2d(half, 2))  # (b, deep, y/4, x/4)
        half = joined(self.decode_half, half, quarter)
        full = joined(self.decode_full, full, half)
        return functional.pixel_shuffle(self.head(self.spread(full)), self.upsampling)

    def expected_emitters(self, frames: Tensor) -> Tensor:
        """Return the expected number of emitters per super-resolution pixel.

        It is the probability that there is one, for pixels too small to hold two at once.
        """
        return torch.sigmoid(self(frames))
