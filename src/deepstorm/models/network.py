"""What all networks have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod

from torch import Tensor, nn

from deepstorm.models.architectures import NetworkSettings
from deepstorm.models.refinement import Refiner


class Network(nn.Module, ABC):
    """A network that sees one frame at a time, and the refiner that is kept with it.

    Called with scaled frames (batch, channel, y, x), it returns what its loss takes.

    Parameters
    ----------
    settings : NetworkSettings
        Its shape, of which it has ``upsampling``, ``channels``, ``divisor`` and ``halo_px``.

    Attributes
    ----------
    refiner : Refiner, optional
        Where absent, images are the gathered sums.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.upsampling = settings.upsampling
        self.channels = settings.channels
        self.divisor = settings.divisor
        self.halo_px = settings.halo_px
        self.refiner: Refiner | None = None

    @abstractmethod
    def expected_emitters(self, frames: Tensor) -> Tensor:
        """Return the expected number of emitters per super-resolution pixel, (batch, 1, y, x)."""

    def weights_checksum(self) -> str:
        """Return the SHA-256 of the names and values of all weights, in hexadecimal."""
        digest = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
