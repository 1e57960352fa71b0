"""Filters along the axes of images that have one channel, in the form that runtimes are fast at.

Processors work on many channels at once, and these images have one. So 16 neighbours in a row count
as the 16 channels of one cell: the same memory in the same order, seen as (batch, 16, y, cell).
Along y a filter then is the same for each channel by itself; along x it is a convolution that mixes
the channels of a cell and of those beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Neighbours that make a cell: what the widest registers of CPUs hold.
CELL = 16


def in_cells(image: Tensor) -> Tensor:
    """View rows as cells of 16 channels; the last cell is filled up with zeros.

    Parameters
    ----------
    image : Tensor, shape (batch, 1, y, x)

    Returns
    -------
    Tensor, shape (batch, 16, y, cell)
    """
    filled = functional.pad(image, (0, (-image.shape[3]) % CELL))
    batch, _, height, width = filled.shape
    return filled.reshape(batch, height, width // CELL, CELL).permute(0, 3, 1, 2)


def from_cells(cells: Tensor, width: int) -> Tensor:
    """Undo :func:`in_cells`; return ``width`` pixels of each row, (batch, 1, y, x)."""
    batch, _, height, count = cells.shape
    return cells.permute(0, 2, 3, 1).reshape(batch, 1, height, count * CELL)[..., :width]


def filtered(image: Tensor, profile: Tensor) -> Tensor:
    """Correlate an image along both axes with a profile.

    Parameters
    ----------
    image : Tensor, shape (batch, 1, y, x)
        Beyond its borders there are zeros.
    profile : Tensor, shape (2 · reach + 1,)

    Returns
    -------
    Tensor, shape as ``image``
    """
    reach = len(profile) // 2
    beside = -(-reach // CELL)  # cells on each side that a pixel sees
    along_x = functional.conv2d(in_cells(image), _mixing(profile, beside), padding=(0, beside))
    of_channel = profile[None, None, :, None].repeat(CELL, 1, 1, 1)
    along_both = functional.conv2d(along_x, of_channel, padding=(reach, 0), groups=CELL)
    return from_cells(along_both, image.shape[3])


def gaussian_profile(sigma_px: float, reach_px: int, like: Tensor) -> Tensor:
    """Return a Gaussian of sum 1 over 2 · reach + 1 pixels, device and type of another tensor."""
    offset = torch.arange(-reach_px, reach_px + 1, device=like.device, dtype=like.dtype)
    profile = (
        torch.exp(-0.5 * (offset / sigma_px) ** 2) if sigma_px > 0 else (offset == 0).to(like.dtype)
    )
    return profile / profile.sum()


def _mixing(profile: Tensor, beside: int) -> Tensor:
    """Return how each channel of a cell follows from those of the cells around it.

    Returns
    -------
    Tensor, shape (16, 16, 1, 2 · beside + 1)
        Output channel, input channel, 1, cell.
    """
    reach, seen = len(profile) // 2, (2 * beside + 1) * CELL
    before = CELL - 1 + beside * CELL - reach
    # Each row of a band matrix is a window of the same profile among zeros, one place further on.
    windows = functional.pad(profile, (before, before)).unfold(0, seen, 1)
    return windows.flip(0).reshape(CELL, 2 * beside + 1, CELL).transpose(1, 2)[:, :, None]
