"""Sums that tell how well frames are explained by what was found in them: a value that adds up.

A statistic is a ratio of two sums, as a variance is: of squares over values. Both are kept for each
block of the field, and so is what tells the ratio's uncertainty from how the blocks of the frames
differ among each other, without supposing anything of how residuals are distributed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from deepstorm.arrays import Float64Array, Int64Array
from deepstorm.structures import Estimate

# Side of the blocks of the field for which sums are kept.
BLOCK_PX = 16
# Of fewer blocks of frames the scatter does not tell an uncertainty.
FEWEST_BLOCKS = 3.0
# Distances (down, right) of pixels whose residuals are multiplied, by the name of the statistic.
LAGS = {"x1": (0, 1), "y1": (1, 0), "down": (1, 1), "up": (-1, 1), "x2": (0, 2), "y2": (2, 0)}
# Residuals are divided by the standard deviation of the noise that is expected of a pixel.
STATISTICS = (
    "all",  # squares of residuals in photons, over expected variances
    "near",  # squares of residuals near emitters, over their number
    "away",  # the same elsewhere
    "offset",  # residuals away from emitters, over their number
    "light",  # residuals in photons, over the light of emitters
    *LAGS,  # products of residuals away from emitters, over their number
    "finest",  # size of what alternates along both axes, over that of what does along one alone
    "quiet",  # the same where emitters give less light than the background
    "noise",  # there, size of what alternates along both axes, over that of noise
    "level",  # expected variances away from emitters, over their number
)
# Side of the square around an emitter whose residuals are kept.
PATCH_PX = 13
# What a spot may be besides the expected one: brighter, wider, wider along x than along y, wider
# along one diagonal than along the other, or on brighter ground.
SHAPES = ("brighter", "wider", "along_x", "along_diagonal", "ground")


def blocks_along(length_px: int) -> int:
    """Return how many blocks there are along a side of the field; the last may be smaller."""
    return -(-length_px // BLOCK_PX)


@dataclass(slots=True, eq=False)
class FitSums:
    """How well some frames are explained.

    Parameters
    ----------
    over, under : ndarray of float64, shape (statistic, block down, block right)
        Numerators and denominators, summed over frames; see ``STATISTICS``.
    squares : ndarray of float64, shape (3, statistic)
        Sums over all blocks of all frames of: numerators squared, numerators times denominators,
        denominators squared.
    gradient : ndarray of float64, shape (shape,)
        Derivative of the log-likelihood by how much spots are of each of ``SHAPES``.
    scatter, information : ndarray of float64, shape (shape, shape)
        Products of the derivatives of each spot, and the Fisher information.
    patch : ndarray of float64, shape (PATCH_PX, PATCH_PX)
        Residuals around emitters that are alone, in photons.
    spots : ndarray of float64, shape (2,)
        How many emitters those are, and the sum of their photons.
    frames : ndarray of int, shape (frame,)
        Which frames were looked at.
    variances : ndarray of float64, shape (frame,)
        Variance of the residuals of each over the one expected.
    """

    over: Float64Array
    under: Float64Array
    squares: Float64Array
    gradient: Float64Array
    scatter: Float64Array
    information: Float64Array
    patch: Float64Array
    spots: Float64Array
    frames: Int64Array
    variances: Float64Array

    @classmethod
    def zeros(cls, field: tuple[int, int]) -> Self:
        """Return the sums over no frames of a field of (y, x) pixels."""
        blocks = (len(STATISTICS), *map(blocks_along, field))
        kinds = len(SHAPES)
        return cls(
            over=np.zeros(blocks),
            under=np.zeros(blocks),
            squares=np.zeros((3, len(STATISTICS))),
            gradient=np.zeros(kinds),
            scatter=np.zeros((kinds, kinds)),
            information=np.zeros((kinds, kinds)),
            patch=np.zeros((PATCH_PX, PATCH_PX)),
            spots=np.zeros(2),
            frames=np.empty(0, np.int64),
            variances=np.empty(0),
        )

    def __add__(self, other: FitSums) -> FitSums:
        """Return the sums over the frames of both."""
        frames = np.concatenate([self.frames, other.frames])
        order = np.argsort(frames, kind="stable")
        total = {
            entry.name: getattr(self, entry.name) + getattr(other, entry.name)
            for entry in fields(self)
            if entry.name not in ("frames", "variances")
        }
        variances = np.concatenate([self.variances, other.variances])[order]
        return FitSums(**total, frames=frames[order], variances=variances)

    def arrays(self) -> dict[str, Float64Array | Int64Array]:
        """Return the sums by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def ratio(self, name: str) -> Estimate:
        """Return a statistic over the whole field; 0 and infinitely uncertain without values."""
        at = STATISTICS.index(name)
        over, under = float(self.over[at].sum()), float(self.under[at].sum())
        if under <= 0:
            return Estimate(0.0, float("inf"))
        ratio = over / under
        square, mixed, weight = self.squares[:, at]
        spread = max(square - 2 * ratio * mixed + ratio**2 * weight, 0.0)
        blocks = under**2 / weight  # as many as weigh as much; of one alone nothing is told
        if blocks < FEWEST_BLOCKS:
            return Estimate(ratio, float("inf"))
        spread *= blocks / (blocks - 1)
        return Estimate(ratio, float(np.sqrt(spread)) / under)

    def of_blocks(self, name: str) -> Float64Array:
        """Return a statistic of each block of the field; not a number where there are no values."""
        at = STATISTICS.index(name)
        under = self.under[at]
        found = np.full(under.shape, np.nan)
        np.divide(self.over[at], under, out=found, where=under > 0)
        return found
