"""The network of the paper, layer for layer (Nehme et al., Optica 2018, §2.1.1 and supplement)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from deepstorm.models.architectures import DeepStormNetworkSettings
from deepstorm.models.layers import folded_kernel
from deepstorm.models.network import Network

ENCODER_CHANNELS = (32, 64, 128)
CENTRE_CHANNELS = 512
DECODER_CHANNELS = (128, 64, 32)
# Height of the spikes that predictions stand for: the published code scales its targets by 100 and
# sees predictions through a kernel that sums to 2, so that the squared error outweighs the l1 term.
SPIKE_HEIGHT = 50.0


class Convolution(nn.Sequential):
    """3 × 3 convolution without bias, batch normalization, ReLU."""

    def __init__(self, before: int, after: int) -> None:
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        # Keras's defaults, which the paper used: momentum 0.99 and epsilon 0.001.
        normalization = nn.BatchNorm2d(after, eps=1e-3, momentum=0.01)
        super().__init__(convolution, normalization, nn.ReLU(inplace=True))


class EnlargingConvolution(Convolution):
    """Repeat each pixel 2 × 2, then :class:`Convolution`, without computing anything twice.

    Behind repeated pixels, a 3 × 3 kernel meets no more than 2 × 2 different values. The two steps
    are one transposed convolution, borders included, with five ninths of the arithmetic left out.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return features of twice the height and width."""
        convolution, normalization, rectifier = self
        kernel = folded_kernel(convolution.get_parameter("weight"))
        enlarged = functional.conv_transpose2d(features, kernel, stride=2, padding=1)
        return rectifier(normalization(enlarged))  # type: ignore[no-any-return]


class DeepStormNetwork(Network):
    """Encoder and decoder on the enlarged frame; 1,366,208 parameters.

    Takes scaled frames (batch, 1, y, x) and returns (batch, 1, y · upsampling, x · upsampling):
    spikes of height 50, blurred a little, at the emitters. ``upsampling`` times each side must be
    a multiple of 8, so each side one of ``divisor``.

    Parameters
    ----------
    settings : DeepStormNetworkSettings
    """

    def __init__(self, settings: DeepStormNetworkSettings) -> None:
        super().__init__(settings)
        channels = (1, *ENCODER_CHANNELS, CENTRE_CHANNELS, *DECODER_CHANNELS)
        self.layers = nn.ModuleList(
            (Convolution if index <= len(ENCODER_CHANNELS) else EnlargingConvolution)(*pair)
            for index, pair in enumerate(pairwise(channels))
        )
        self.head = nn.Conv2d(DECODER_CHANNELS[-1], 1, 1, bias=False)
        if not self.head.weight.is_meta:  # else weights are going to be loaded
            self._initialise()

    def _initialise(self) -> None:
        """Draw orthogonal kernels, as the paper's code does."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.orthogonal_(module.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """Return blurred spikes per super-resolution pixel."""
        features = functional.interpolate(frames, scale_factor=float(self.upsampling))
        encoder, decoder = self.layers[:4], self.layers[4:]
        for index, layer in enumerate(encoder):
            features = layer(features)
            if index < len(ENCODER_CHANNELS):
                features = functional.max_pool2d(features, 2)
        for layer in decoder:
            features = layer(features)
        return self.head(features)  # type: ignore[no-any-return]

    def expected_emitters(self, frames: Tensor) -> Tensor:
        """Return the expected number of emitters per super-resolution pixel."""
        return self(frames).clamp_min(0) / SPIKE_HEIGHT  # type: ignore[no-any-return]
