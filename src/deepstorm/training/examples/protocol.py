"""What training asks of a source of examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from deepstorm.arrays import Float32Array
from deepstorm.errors import InputError
from deepstorm.models.scaling import Scaling

# Which stream of random numbers a batch comes from.
TRAINING, VALIDATION = 0, 1


@dataclass(frozen=True, slots=True)
class Batch:
    """Training pairs.

    Parameters
    ----------
    frames : ndarray of float32, shape (batch, channel, y, x)
        Scaled camera frames.
    spikes : ndarray of float32, shape (batch, 1, y · upsampling, x · upsampling)
        Number of emitters per super-resolution pixel.
    """

    frames: Float32Array
    spikes: Float32Array


class ExampleSource(Protocol):
    """Where batches come from."""

    @property
    def scaling(self) -> Scaling:
        """The scaling that its frames went through, to be kept with the network."""

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        """Return the batch of one step of the training or the validation stream."""

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return the conditions that a network trained on its examples has seen, by name."""


def check_side(side_px: int, divisor: int) -> None:
    """Refuse frames of a size that a network does not take.

    Parameters
    ----------
    side_px : int
        Side of a training frame in camera pixels.
    divisor : int
        The network takes multiples of it.

    Raises
    ------
    InputError
    """
    if side_px % divisor:
        raise InputError(
            f"the training frames have sides of {side_px} pixels, the network takes multiples of "
            f"{divisor}; change the size of the examples"
        )
