"""The parts of a network that an engine runs one after the other, as PyTorch modules.

They are apart because they want different precision: networks bear bfloat16, but maxima would tie
or move, and images and sums over a movie are too exact for it. They are small enough that other
runtimes can take them over one by one.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepstorm.models.filters import filtered, gaussian_profile
from deepstorm.models.refinement import SUMS, Refiner
from deepstorm.reconstruction.emitters.peaks import LEAST_SMOOTHED, PeakSettings
from deepstorm.reconstruction.engines.staged import StageName

if TYPE_CHECKING:
    from deepstorm.models.network import Network
    from deepstorm.models.rendering import Rendering


class Expectation(nn.Module):
    """Scaled frames (batch, channel, y, x) to expected emitters (batch, 1, y, x)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        """Return expected emitters per super-resolution pixel."""
        return self.network.expected_emitters(frames)


class Rendered(nn.Module):
    """Expected emitters (batch, 1, y, x) to what they add to the image."""

    def __init__(self, rendering: Rendering) -> None:
        super().__init__()
        self.rendering = rendering

    def forward(self, expected: Tensor) -> Tensor:
        """Return the rendering, of the same shape."""
        return self.rendering(expected)


class Maxima(nn.Module):
    """Expected emitters (batch, 1, y, x) to where they have a maximum, as bytes 0 and 1.

    The first step of :func:`~deepstorm.reconstruction.emitters.peaks.find_peaks`, up to rounding.
    """

    def __init__(self, settings: PeakSettings) -> None:
        super().__init__()
        self.sigma_px = settings.smoothing_px
        self.reach_px = settings.reach_px - 1
        self.smoothing_reach_px = settings.smoothing_reach_px

    def forward(self, expected: Tensor) -> Tensor:
        """Mark pixels that no other one within reach surpasses after smoothing."""
        profile = gaussian_profile(self.sigma_px, self.smoothing_reach_px, expected)
        smooth = filtered(expected, profile)
        highest = _highest(_highest(smooth, self.reach_px, axis=2), self.reach_px, axis=3)
        return (smooth >= highest.clamp_min(LEAST_SMOOTHED)).to(torch.uint8)


class Scores(nn.Module):
    """Sums over a movie (batch, 3, y, x) to what a refiner says of each pixel (batch, 1, y, x)."""

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(self, sums: Tensor) -> Tensor:
        """Return the scores."""
        return self.refiner.scores(sums)


class Sharing(nn.Module):
    """Scores and the gathered sum (batch, 2, y, x) to the refined image (batch, 1, y, x)."""

    def __init__(self, refiner: Refiner) -> None:
        super().__init__()
        self.refiner = refiner

    def forward(self, scored: Tensor) -> Tensor:
        """Return the gathered sum, shared out anew."""
        return self.refiner.shared(scored[:, :1], scored[:, 1:])


def modules(
    network: Network, rendering: Rendering, peaks: PeakSettings
) -> dict[StageName, nn.Module]:
    """Return the stages of a network, ready to run; one that does nothing is left out."""
    found: dict[StageName, nn.Module] = {"network": Expectation(network), "maxima": Maxima(peaks)}
    if rendering.kind != "plain":
        found["rendering"] = Rendered(rendering)
    if network.refiner is not None:
        found["scores"], found["sharing"] = Scores(network.refiner), Sharing(network.refiner)
    return {name: module.eval() for name, module in found.items()}


def example(stage: StageName, network: Network) -> Tensor:
    """Return an input of a stage, as small as will do to follow its computation."""
    if stage == "network":
        return torch.zeros(1, network.channels, 8 * network.divisor, 8 * network.divisor)
    channels = {"scores": SUMS, "sharing": 2}.get(stage, 1)
    return torch.zeros(1, channels, 32, 32)


def traced(module: nn.Module, values: Tensor) -> torch.jit.ScriptModule:
    """Return a module's computation as other runtimes take it over."""
    found: torch.jit.ScriptModule
    # To run it again and compare, the default, takes longer than all the rest; and to prepare fast
    # kernels takes longer than to run slow ones once.
    with torch.backends.mkldnn.flags(enabled=False):
        found = torch.jit.trace(module, values, check_trace=False)  # type: ignore[no-untyped-call]
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what conversions say of shapes that are fixed while they run."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _highest(image: Tensor, reach: int, axis: int) -> Tensor:
    """Return the maximum over 2 · reach + 1 pixels along an axis, of values not below zero.

    By comparing the image with itself, moved: several times faster than pooling.
    """
    length, side = image.shape[axis], 2 * reach + 1
    beyond = (reach, reach) if axis == 3 else (0, 0, reach, reach)
    highest, covered = functional.pad(image, beyond), 1
    while 2 * covered <= side:
        left = length + side - 2 * covered
        highest = torch.maximum(*(highest.narrow(axis, start, left) for start in (0, covered)))
        covered *= 2
    return torch.maximum(*(highest.narrow(axis, at, length) for at in (0, side - covered)))
