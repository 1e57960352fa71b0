"""Networks in 8 bits, which many processors multiply several times faster than anything wider.

What enters a convolution is rounded to 256 values from zero, below which ReLU layers leave nothing,
to a range that was measured once; each of its kernels to 127 values, so few that processors without
instructions of their own for it (VNNI) can add up products without overflow. The first convolution,
which takes the frames, and the last one stay as they are: there is little to gain by them, and much
to lose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from deepstorm.errors import InputError
from deepstorm.models.network import Network

# The functions that convolve, and the axis of their kernels along which outputs lie.
OUTPUT_AXIS: dict[Any, int] = {torch.conv2d: 0, torch.conv_transpose2d: 1}
STEPS, KERNEL_STEPS = 255, 63
# A range is exceeded by the brightest of this part of the frames alone, so that usual ones are
# finely divided.
EXCEEDING = 0.01
# Ranges and kernels of nothing but zeros are divided all the same.
SMALLEST = 1e-12


@torch.inference_mode()
def measure_ranges(network: Network, batches: Iterable[Tensor]) -> tuple[float, ...]:
    """Measure what enters the convolutions of a network.

    Parameters
    ----------
    network : Network
        In evaluation mode.
    batches : iterable of Tensor, shape (batch, channel, y, x)
        Scaled frames of all conditions that the network shall be used for, hundreds of them.

    Returns
    -------
    tuple of float
        The largest values that enter each convolution, in the order in which they are computed.
    """
    found: dict[int, list[Tensor]] = {}

    def note(index: int, values: Tensor, kernel: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        found.setdefault(index, []).append(values.amax((1, 2, 3)).float())
        return values, kernel

    for batch in batches:
        with _AtConvolutions(note):
            network.expected_emitters(batch)
    highest = (torch.cat(found[index]).quantile(1 - EXCEEDING) for index in sorted(found))
    return tuple(float(value) for value in highest)


@contextlib.contextmanager
def in_8_bits(ranges: Sequence[float]) -> Iterator[None]:
    """Let networks round what convolutions take, as in 8 bits, while this context lasts.

    A runtime that follows their computation meanwhile is told so to compute in 8 bits.

    Parameters
    ----------
    ranges : sequence of float
        As :func:`measure_ranges` returns them.

    Raises
    ------
    InputError
        If there are other convolutions than ranges.
    """

    def round_off(index: int, values: Tensor, kernel: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        if not 0 < index < len(ranges) - 1:
            return values, kernel
        step = max(ranges[index], SMALLEST) / STEPS
        return (
            torch.fake_quantize_per_tensor_affine(values, step, 0, 0, STEPS),
            _rounded(kernel, axis),
        )

    with _AtConvolutions(round_off) as convolutions:
        yield
    if convolutions.count != len(ranges):
        raise InputError(
            f"the network has {convolutions.count} convolutions, but there are {len(ranges)} "
            "ranges of what enters them; the network was changed since they were measured"
        )


def _rounded(kernel: Tensor, axis: int) -> Tensor:
    """Round the kernels of each output, as constants: how they came about is not followed."""
    constant = torch.from_numpy(kernel.detach().cpu().numpy().copy())
    others = [dimension for dimension in range(constant.dim()) if dimension != axis]
    step = constant.abs().amax(others).clamp_min(SMALLEST) / KERNEL_STEPS
    zero = torch.zeros(len(step), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(
        constant, step, zero, axis, -2 * KERNEL_STEPS - 1, 2 * KERNEL_STEPS + 1
    )


class _AtConvolutions(TorchFunctionMode):
    """Changes what convolutions take.

    Parameters
    ----------
    change : callable
        Takes the index of the convolution, values, kernel and the axis of the kernel's outputs;
        returns values and kernel.
    """

    def __init__(self, change: Callable[[int, Tensor, Tensor, int], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._change = change
        self.count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in OUTPUT_AXIS:
            values, kernel, *others = args
            changed = self._change(self.count, values, kernel, OUTPUT_AXIS[func])
            args = (*changed, *others)
            self.count += 1
        return func(*args, **(kwargs or {}))
