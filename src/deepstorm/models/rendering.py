"""From the expectation of each frame to what it adds to the image.

The expected number of emitters per pixel is a posterior: an emitter that is known to 30 nm is
spread over 30 nm. A sum of posteriors over a movie is therefore blurred twice, once by the error of
each estimate and once more by its stated uncertainty. A rendering may undo the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from deepstorm.config import Settings

if TYPE_CHECKING:
    from torch import Tensor

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
        import torch

        from deepstorm.models.filters import CELL, filtered, gaussian_profile
        from deepstorm.models.layers import mirrored

        # Mirrored far enough at once: filters leave the symmetry of a mirrored image as it is, and
        # what is wrong at its far ends never comes to the inside.
        margin, side = self.margin_px, 2 * self.reach_px + 1
        beside = -(-margin // CELL) * CELL
        beyond = mirrored(mirrored(expected, margin, axis=2), beside, axis=3)
        profile = gaussian_profile(self.smoothing_px, self._kernel_reach, expected)
        box = torch.full((side,), 1 / side, dtype=expected.dtype, device=expected.device)
        weight = _raised(filtered(beyond, profile), self.power) + FAINTEST_WEIGHT
        gathered = weight * filtered(beyond / filtered(weight, box), box)
        height, width = expected.shape[2:]
        return gathered[:, :, margin : margin + height, beside : beside + width]


def _raised(base: Tensor, power: float) -> Tensor:
    """Return a power, of whole exponents by multiplications: many times faster than ``pow``."""
    if power != int(power):
        return base.pow(power)
    if power == 1:
        return base
    root = _raised(base, power // 2)
    return root * root * base if power % 2 else root * root


Rendering = Annotated[PlainRendering | ConcentratedRendering, Field(discriminator="kind")]
