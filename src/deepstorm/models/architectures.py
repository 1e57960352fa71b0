"""Shapes of the networks: all that is known of one without its weights, and without PyTorch."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from deepstorm.config import Settings

# Half side of the square over which a refiner averages the level of an image.
LEVEL_REACH_PX = 20


class NativeNetworkSettings(Settings):
    """Shape of a :class:`~deepstorm.models.native.NativeNetwork`.

    Parameters
    ----------
    width : int
        Channels at full camera resolution.
    deep_width : int
        Channels at half and quarter resolution.
    upsampling : int
        Super-resolution pixels per camera pixel, along each axis.
    channels : int
        Channels of a scaled frame: the first is the light, the others tell of the movie.
    """

    kind: Literal["native"] = "native"
    width: int = Field(default=64, ge=4, le=1024)
    deep_width: int = Field(default=128, ge=4, le=2048)
    upsampling: int = Field(default=8, ge=1, le=32)
    channels: int = Field(default=3, ge=1, le=16)

    # Sides of a frame must be multiples of this.
    divisor: ClassVar[int] = 4
    # Convolutions reach 21 pixels; where pooling begins widens that to 24.
    halo_px: ClassVar[int] = 24

    @property
    def features_per_px(self) -> int:
        """Values in memory at once per camera pixel, what is made of a prediction included."""
        return 2 * self.width + 2 * self.deep_width + 12 * self.upsampling**2


class DeepStormNetworkSettings(Settings):
    """The paper's network has no free parameter but the enlargement of its input.

    Parameters
    ----------
    upsampling : int
        Factor by which each frame is enlarged before the network sees it.
    """

    kind: Literal["deepstorm"] = "deepstorm"
    upsampling: int = Field(default=8, ge=1, le=32)

    # Channels of a scaled frame.
    channels: ClassVar[int] = 1

    @property
    def divisor(self) -> int:
        """Sides of a frame must be multiples of this."""
        return 8 // math.gcd(8, self.upsampling)

    @property
    def halo_px(self) -> int:
        """Camera pixels around a tile whose prediction lacks context.

        The receptive field reaches 22 enlarged pixels, and up to 7 more where pooling begins.
        """
        return -(-32 // self.upsampling // self.divisor) * self.divisor

    @property
    def features_per_px(self) -> int:
        """Values in memory at once per camera pixel, what is made of a prediction included."""
        return 64 * self.upsampling**2


class RefinementSettings(Settings):
    """Shape of a :class:`~deepstorm.models.refinement.Refiner`.

    Parameters
    ----------
    width, half_width, quarter_width : int
        Channels at full, half and quarter resolution of the image.
    reach_px : int
        Super-resolution pixels that emitters move at most, along either axis.
    """

    width: int = Field(default=24, ge=2, le=256)
    half_width: int = Field(default=48, ge=2, le=512)
    quarter_width: int = Field(default=64, ge=2, le=512)
    reach_px: int = Field(default=5, ge=1, le=32)

    # Tiles of an image begin at multiples of this.
    divisor: ClassVar[int] = 4

    @property
    def halo_px(self) -> int:
        """Super-resolution pixels around a tile that its image depends on."""
        convolved = 28  # by convolutions, and where pooling begins
        return -(-(LEVEL_REACH_PX + convolved + 2 * self.reach_px) // self.divisor) * self.divisor


NetworkSettings = Annotated[
    NativeNetworkSettings | DeepStormNetworkSettings, Field(discriminator="kind")
]
