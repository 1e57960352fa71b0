"""What training makes small: losses between a network's raw output and spikes at the emitters."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from deepstorm.config import Settings
from deepstorm.models.deepstorm import SPIKE_HEIGHT


def gaussian_blur(side: int, sigma_px: float, size: int, total: float) -> Tensor:
    """Return the matrix that blurs one axis of an image with a sampled Gaussian, zeros outside.

    Parameters
    ----------
    side : int
        Length of the axis.
    sigma_px : float
        Standard deviation of the Gaussian in pixels.
    size : int
        Odd number of pixels that the Gaussian is cut off to.
    total : float
        Sum of the Gaussian.

    Returns
    -------
    Tensor, shape (side, side)
        Symmetric. Products with it are several times as fast as convolutions of one channel.
    """
    offset = torch.arange(side)[:, None] - torch.arange(side)
    reached = offset.abs() <= size // 2
    profile = torch.exp(-0.5 * (torch.arange(size) - size // 2).div(sigma_px) ** 2)
    return torch.exp(-0.5 * (offset / sigma_px) ** 2) * reached * (total / profile.sum())


class BlurredSpikesLoss(Settings):
    """The paper's loss (§2.1.3): squared ℓ2 of the blurred difference, plus ℓ1 of the prediction.

    Prediction and spikes are both seen through a Gaussian of ``sigma_px`` super-resolution pixels.
    Kernel sum, spike height and the 7 × 7 kernel are those of the published code; the kernel grows
    where ``sigma_px`` is above 1, to hold three standard deviations. Both terms are means over
    pixels.

    Parameters
    ----------
    sigma_px : float
        Standard deviation of the Gaussian in super-resolution pixels.
    l1_weight : float
        The paper found its value not to matter and left it at 1.
    """

    kind: Literal["blurred_spikes"] = "blurred_spikes"
    sigma_px: float = Field(default=1.0, gt=0)
    l1_weight: float = Field(default=1.0, ge=0)

    def __call__(self, output: Tensor, spikes: Tensor) -> Tensor:
        """Return the loss of outputs against spike counts, both (batch, 1, y, x)."""
        reach = max(3, math.ceil(3 * self.sigma_px))
        rows, columns = (
            gaussian_blur(side, self.sigma_px, 2 * reach + 1, math.sqrt(2.0)).to(output.device)
            for side in output.shape[-2:]
        )
        difference = rows @ (output - SPIKE_HEIGHT * spikes) @ columns
        return difference.square().mean() + self.l1_weight * output.abs().mean()

    def weight(self, spikes: Tensor) -> Tensor:
        """Return what the loss is a mean over, for means of several batches: pixels."""
        return spikes.new_tensor(float(spikes.numel()))


class SpikeCrossEntropyLoss(Settings):
    """Cross-entropy between log-odds and occupied pixels, in nats per occupied pixel of the batch.

    Its minimum is the posterior probability of each pixel to hold an emitter.
    """

    kind: Literal["spike_cross_entropy"] = "spike_cross_entropy"

    def __call__(self, output: Tensor, spikes: Tensor) -> Tensor:
        """Return the loss of log-odds against spike counts, both (batch, 1, y, x)."""
        occupied = spikes.clamp(max=1)
        total = functional.binary_cross_entropy_with_logits(output, occupied, reduction="sum")
        return total / self.weight(spikes)

    def weight(self, spikes: Tensor) -> Tensor:
        """Return what the loss is a mean over, for means of several batches: occupied pixels."""
        return spikes.clamp(max=1).sum().clamp(min=1)


Loss = Annotated[BlurredSpikesLoss | SpikeCrossEntropyLoss, Field(discriminator="kind")]


def relative_squared_error(image: Tensor, truth: Tensor, counted: Tensor, floor: float) -> Tensor:
    """Return the squared error over the squared truth plus ``floor``, the mean over crops.

    Parameters
    ----------
    image, truth, counted : Tensor, shape (batch, 1, y, x)
        ``counted`` is 1 where pixels take part and 0 elsewhere.
    floor : float
    """
    error = ((image - truth).square() * counted).sum(dim=(1, 2, 3))
    scale = (truth.square() * counted).sum(dim=(1, 2, 3)) + floor
    return (error / scale).mean()
