"""From the expectation of each frame to what it adds to the image.

The expected number of emitters per pixel is a posterior: an emitter that is known to 30 nm is
spread over 30 nm. A sum of posteriors over a movie is therefore blurred twice, once by the error of
each estimate and once more by its stated uncertainty. A rendering may undo the second.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from deepstorm.config import Settings
from deepstorm.models.layers import box_mean, mirrored

# Weights are never zero, so that every expectation has somewhere to go.
FAINTEST_WEIGHT = 1e-20


class PlainRendering(Settings):
    """The expectation itself."""

    kind: Literal["plain"] = "plain"

    @property
    def margin_px(self) -> int:
        """Super-resolution pixels around a pixel that its rendering depends on."""
        return 0

    def __call__(self, expected: Tensor) -> Tensor:
        """Return ``expected``, (batch, 1, y, x)."""
        return expected


class ConcentratedRendering(Settings):
    """Gather each expectation where the posterior around it is highest, keeping every sum.

    Each pixel's expectation is shared out over the square around it in proportion to a power of the
    smoothed posterior. Nothing moves farther than the square's half side, nothing is lost, and
    nothing is added: a neighbourhood keeps its number of emitters.

    Parameters
    ----------
    smoothing_px : float
        Standard deviation of the Gaussian that smooths the posterior, in super-resolution pixels.
    power : float
        1 hardly moves anything, very large values take the highest pixel alone.
    reach_px : int
        Half side of the square.
    """

    kind: Literal["concentrated"] = "concentrated"
    smoothing_px: float = Field(default=1.0, gt=0, le=10)
    power: float = Field(default=5.0, ge=1, le=16)
    reach_px: int = Field(default=5, ge=1, le=32)

    @property
    def margin_px(self) -> int:
        """Super-resolution pixels around a pixel that its rendering depends on."""
        return 2 * self.reach_px + self._kernel_reach

    @property
    def _kernel_reach(self) -> int:
        return round(3 * self.smoothing_px)

    def __call__(self, expected: Tensor) -> Tensor:
        """Return the gathered expectation, shape and sum as ``expected``, (batch, 1, y, x)."""
        weight = self._smooth(expected).pow(self.power) + FAINTEST_WEIGHT
        return weight * box_mean(expected / box_mean(weight, self.reach_px), self.reach_px)

    def _smooth(self, image: Tensor) -> Tensor:
        reach = self._kernel_reach
        offset = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
        profile = torch.exp(-0.5 * (offset / self.smoothing_px) ** 2)
        profile = profile / profile.sum()
        along_x = functional.conv2d(mirrored(image, reach, 3), profile[None, None, None])
        return functional.conv2d(mirrored(along_x, reach, 2), profile[None, None, :, None])


Rendering = Annotated[PlainRendering | ConcentratedRendering, Field(discriminator="kind")]
