"""From the sums over a whole movie to a sharper image: what one frame hides, the others know.

Each frame's posterior is as wide as that frame alone leaves open. All frames together say where the
structure is much better than one of them. A small network looks at the sums over the movie and says
for each pixel how much of what lies around it belongs there; every emitter stays within a few
pixels of where its frame had it, and none is added or lost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepstorm.models.architectures import LEVEL_REACH_PX, RefinementSettings
from deepstorm.models.layers import box_mean, convolutions, draw_for_relu, joined

# What sums over a movie enter, in this order: posterior, gathered posterior, squared posterior.
SUMS = 3
# Added to the level of an image.
LEAST_LEVEL = 1e-4
# Where the logarithm of relative intensities turns flat, and the limits of the level's logarithm.
SOFTENING = 0.02
LEVEL_RANGE = (-6.0, 2.0)
# Added to the gathered image before its logarithm, and the limits of the logarithmic weights.
LEAST_WEIGHT = 1e-3
WEIGHT_RANGE = (-12.0, 12.0)


class Refiner(nn.Module):
    """U-Net on the sums over a movie, whose answer says where around it each emitter belongs.

    Takes sums (batch, 3, y, x) and returns the refined image (batch, 1, y, x) with the total of the
    gathered sum. Multiplying all sums by a factor, as a longer movie does, multiplies the image by
    nearly the same. Tiles of a larger image begin at multiples of ``divisor``.

    Parameters
    ----------
    settings : RefinementSettings
    """

    divisor = RefinementSettings.divisor

    def __init__(self, settings: RefinementSettings) -> None:
        super().__init__()
        full, half, quarter = settings.width, settings.half_width, settings.quarter_width
        self.reach_px = settings.reach_px
        self.halo_px = settings.halo_px
        self.encode_full = convolutions(SUMS + 1, full, full)
        self.encode_half = convolutions(full, half, half)
        self.quarter = convolutions(half, quarter, quarter, quarter)
        self.decode_half = convolutions(quarter + half, half, half)
        self.decode_full = convolutions(half + full, full, full)
        self.head = nn.Conv2d(full, 1, 1)
        if not self.head.weight.is_meta:  # else weights are going to be loaded
            self._initialise()

    def _initialise(self) -> None:
        """Draw weights for ReLU layers, and start with an image that hardly differs."""
        draw_for_relu(self)
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, sums: Tensor) -> Tensor:
        """Return the refined image."""
        return self.shared(self.scores(sums), sums[:, 1:2])

    def scores(self, sums: Tensor) -> Tensor:
        """Return the logarithm of how much more belongs to each pixel than what was gathered."""
        score = self._score(_features(self._filled(sums))).float()
        return score[..., : sums.shape[2], : sums.shape[3]]  # nothing may move into the filling

    def shared(self, score: Tensor, gathered: Tensor) -> Tensor:
        """Share the gathered sum out anew, by scores; both (batch, 1, y, x)."""
        weight = (score + (gathered + LEAST_WEIGHT).log()).clamp(*WEIGHT_RANGE).exp()
        return weight * box_mean(gathered / box_mean(weight, self.reach_px), self.reach_px)

    def _filled(self, sums: Tensor) -> Tensor:
        """Add empty pixels below and on the right, up to whole pooling cells."""
        below, right = ((-length) % self.divisor for length in sums.shape[2:])
        return functional.pad(sums, (0, right, 0, below))

    def _score(self, features: Tensor) -> Tensor:
        full = self.encode_full(features)  # (b, width, y, x)
        half = self.encode_half(functional.max_pool2d(full, 2))  # (b, half_width, y/2, x/2)
        quarter = self.quarter(functional.max_pool2d(half, 2))  # (b, quarter_width, y/4, x/4)
        half = joined(self.decode_half, half, quarter)
        full = joined(self.decode_full, full, half)
        score: Tensor = self.head(full)
        return score


def _features(sums: Tensor) -> Tensor:
    """Return the logarithms of the sums over the local level, and of that level itself."""
    level = box_mean(sums[:, 1:2], LEVEL_REACH_PX) + LEAST_LEVEL
    relative = (sums / level + SOFTENING).log()
    return torch.cat([relative, level.log().clamp(*LEVEL_RANGE)], dim=1)
