"""Whether a trained network may compute in 8 bits: measured on the examples held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch

from deepstorm.models.checkpoint import save_network
from deepstorm.models.native import NativeNetwork
from deepstorm.models.network import Network
from deepstorm.models.quantization import in_8_bits, measure_ranges
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.training.examples.protocol import VALIDATION, Batch, ExampleSource
from deepstorm.training.losses import Loss

# Held-back batches: ranges are measured on the first half, the loss on the second.
BATCHES = 12
# The loss may change by this part.
MOST_CHANGE = 0.005


@torch.inference_mode()
def allow_8_bits(path: Path, source: ExampleSource, loss: Loss) -> bool:
    """Note in a network's file the ranges by which engines may compute it in 8 bits.

    They are noted if the loss hardly changes by it, and for networks at camera resolution alone:
    with the paper's, 8 bits are no faster.

    Parameters
    ----------
    path : Path
        The file, which is replaced.
    source : ExampleSource
        What it was trained on.
    loss : Loss

    Returns
    -------
    bool
        Whether they were noted.
    """
    trained = TrainedNetwork.open(path)
    network = trained.load()
    if not isinstance(network, NativeNetwork):
        return False
    first, second = range(BATCHES // 2), range(BATCHES // 2, BATCHES)
    frames = (torch.from_numpy(batch.frames) for batch in _held_back(source, first))
    ranges = tuple(float(f"{value:.4g}") for value in measure_ranges(network, frames))
    wide, narrow = (
        _loss(network, _held_back(source, second), loss, rounding)
        for rounding in (nullcontext, partial(in_8_bits, ranges))
    )
    if not abs(narrow - wide) <= MOST_CHANGE * wide:
        return False
    reduced = trained.card.model_copy(update={"activation_ranges": ranges})
    save_network(path, network, reduced, overwrite=True)
    return True


def _held_back(source: ExampleSource, indices: range) -> Iterator[Batch]:
    return (source.batch(index, VALIDATION) for index in indices)


def _loss(
    network: Network,
    batches: Iterator[Batch],
    loss: Loss,
    rounding: Callable[[], AbstractContextManager[None]],
) -> float:
    """Return the sum of the losses of batches."""
    total = 0.0
    for batch in batches:
        with rounding():
            output = network(torch.from_numpy(batch.frames))
        total += float(loss(output, torch.from_numpy(batch.spikes)))
    return total
