"""Several processes that train one network, each on its share of every batch.

They are started by ``torchrun``, on one machine or several, and see the same folder. The gradients'
weighted mean over processes is the gradient of the whole batch, so that all of them take the step
that one process would have taken.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from deepstorm.errors import InputError
from deepstorm.training.examples.protocol import Batch

# Validation pictures and states are written by one process while the others wait.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Team:
    """The processes of a training, seen from one of them.

    Parameters
    ----------
    rank : int
        Which process this is, from 0; that one writes the files.
    size : int
        How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """Return this process's examples of a batch: every ``size``-th, from ``rank`` on.

        Raises
        ------
        InputError
            If there are more processes than examples.
        """
        if self.size > len(batch.frames):
            raise InputError(
                f"{self.size} processes cannot share batches of {len(batch.frames)} examples; "
                "start fewer processes or enlarge the batches"
            )
        mine = slice(self.rank, None, self.size)
        return Batch(batch.frames[mine], batch.spikes[mine]) if self.size > 1 else batch

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over processes of what each of them gives; no gradients pass."""
        summed = values.detach().clone()
        if self.size > 1:
            distributed.all_reduce(summed)
        return summed

    def mean(self, values: Sequence[float], device: torch.device) -> float:
        """Return the mean of all processes' values; some may have none."""
        if self.size == 1:
            return sum(values) / len(values)
        count = torch.tensor([sum(values), len(values)], dtype=torch.float64, device=device)
        total, number = self.total(count).tolist()
        return float(total / number)

    def agree(self, value: int, device: torch.device) -> int:
        """Return the first process's value: clocks differ, decisions must not."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.int64, device=device)
        distributed.broadcast(told, 0)
        return int(told)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return a module that computes as the network does and joins gradients of processes."""
        if self.size == 1:
            return network
        if next(network.parameters()).is_cuda:
            convert = nn.SyncBatchNorm.convert_sync_batchnorm
            network = convert(network)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(network)

    def shared_loss(self, loss: Tensor, weight: Tensor) -> tuple[Tensor, float]:
        """Return what to follow the gradient of, and the loss of the whole batch.

        Parameters
        ----------
        loss : Tensor
            Mean over this process's share.
        weight : Tensor
            Of what it is a mean: how many pixels or examples; at least 1.
        """
        if self.size == 1:
            return loss, float(loss.detach())
        part = weight / self.total(weight)
        # The module averages gradients over processes: a sum needs their number as a factor.
        return loss * part * self.size, float(self.total(loss * part))


ALONE = Team()


def is_first_process() -> bool:
    """Return whether this process reports: the first that ``torchrun`` started, or one alone."""
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def joined_team(device: str) -> Iterator[Team]:
    """Join the processes that ``torchrun`` started; without it there is one alone.

    On GPUs each process takes one of its own.

    Raises
    ------
    InputError
        If there are fewer GPUs than processes on this machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpu:
        _choose_gpu(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def _choose_gpu(number: int) -> None:
    """Make a GPU that of this process."""
    present = torch.cuda.device_count()
    if number >= present:
        raise InputError(
            f"process {number + 1} of this machine has no GPU of its own: PyTorch sees {present}; "
            "start as many processes as there are GPUs"
        )
    torch.cuda.set_device(number)
