"""Maxima that stand for two emitters: what is expected around them says so.

Two emitters nearer to each other than a frame can tell give one blob of the expectation, which
still sums to two. Each maximum is given what is expected around it and nearer to it than to others;
where that is almost two emitters, the blob is cut in two, across its longer axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from deepstorm.arrays import BoolArray, Float64Array, Int64Array

# A haze of more expected emitters than these has no halves.
MOST_OF_A_PAIR = 4.0
# Of halves nearer than so many pixels, both are one emitter that was counted too high: what a frame
# leaves open of two that close is wider.
LEAST_APART_PX = 5.0
# Difference of the axes, relative to their sum, below which it is rounding.
ROUND = 1e-9


class Blobs(NamedTuple):
    """Parts of an expectation, each taken for one emitter.

    Parameters
    ----------
    y, x : ndarray of float64, shape (blob,)
        Centroids, in pixels from the middle of the maximum's pixel.
    mass : ndarray of float64, shape (blob,)
        Expected emitters.
    width_px : ndarray of float64, shape (blob,)
        Standard deviation of the Gaussian that covers the same area.
    """

    y: Float64Array
    x: Float64Array
    mass: Float64Array
    width_px: Float64Array

    def select(self, chosen: BoolArray) -> Blobs:
        """Return some of them."""
        return Blobs(*(values[chosen] for values in self))


def blobs(windows: Float64Array) -> Blobs:
    """Describe what squares hold, (blob, side, side), around their middle."""
    mass = windows.sum(axis=(1, 2))
    shares = windows / mass[:, None, None]
    offset = np.arange(windows.shape[1]) - windows.shape[1] // 2
    # A Gaussian covers an area of 4 pi sigma², by its sum of squares. Second moments would follow
    # the faint haze around a peak, where other emitters may be, more than the peak.
    width_px = np.sqrt(1 / np.square(shares).sum(axis=(1, 2)) / (4 * np.pi))
    return Blobs(shares.sum(axis=2) @ offset, shares.sum(axis=1) @ offset, mass, width_px)


def own_shares(windows: Float64Array, places: Int64Array) -> Float64Array:
    """Leave of squares around maxima what is nearer to these than to others, within a circle.

    Parameters
    ----------
    windows : ndarray of float64, shape (maximum, side, side)
        What is expected around each.
    places : ndarray of int, shape (maximum, 3)
        Frame, row, column.
    """
    frame, row, column = places.T
    reach = windows.shape[1] // 2
    offset = np.arange(-reach, reach + 1)
    own: Float64Array = windows * (offset[:, None] ** 2 + offset**2 <= reach**2)
    apart = np.column_stack([frame * (4 * reach + 2), row, column])
    near = cKDTree(apart).query_pairs(2 * reach, output_type="ndarray").astype(np.int64)
    both_ways = np.concatenate([near, near[:, ::-1]])
    here, there = both_ways[np.argsort(both_ways[:, 0], kind="stable")].T
    if len(here):
        down, right = row[there] - row[here], column[there] - column[here]
        toward = down[:, None, None] * offset[:, None] + right[:, None, None] * offset
        middle = (down**2 + right**2)[:, None, None]
        # What is as near to both is the first one's.
        of_other = 2 * toward + (here > there)[:, None, None] > middle
        first = np.flatnonzero(np.diff(here, prepend=-1))
        own[here[first]] *= ~np.logical_or.reduceat(of_other, first)
    return own


def pairs(own: Float64Array, least: float) -> tuple[BoolArray, Blobs, Blobs]:
    """Tell which blobs stand for two emitters, and describe these.

    Parameters
    ----------
    own : ndarray of float64, shape (blob, side, side)
        What is expected around each maximum and belongs to it.
    least : float
        Expected emitters from which on there are two.

    Returns
    -------
    is_pair : ndarray of bool, shape (blob,)
    one, other : Blobs
        The two emitters of each pair.
    """
    mass = own.sum(axis=(1, 2))
    is_pair = (mass >= least) & (mass <= MOST_OF_A_PAIR)
    one, other = (blobs(half) for half in halved(own[is_pair]))
    apart = np.hypot(one.y - other.y, one.x - other.x) >= LEAST_APART_PX
    is_pair[is_pair] = apart
    return is_pair, one.select(apart), other.select(apart)


def halved(windows: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Cut what squares hold, (blob, side, side), through its centroid across its longer axis."""
    offset = np.arange(windows.shape[1]) - windows.shape[1] // 2
    middle = blobs(windows)
    shares = windows / middle.mass[:, None, None]
    y = offset[:, None] - middle.y[:, None, None]
    x = offset - middle.x[:, None, None]
    over_y, over_x, over_both = ((shares * each).sum(axis=(1, 2)) for each in (y * y, x * x, y * x))
    longer, turned = over_x - over_y, 2 * over_both
    # What is round has no longer axis: rounding shall not choose one.
    is_round = np.hypot(longer, turned) <= ROUND * (over_x + over_y)
    angle = np.where(is_round, 0, 0.5 * np.arctan2(turned, longer))[:, None, None]
    along = y * np.sin(angle) + x * np.cos(angle)
    # The pixels that the cut goes through are shared.
    first = windows * np.clip(along + 0.5, 0, 1)
    return first, windows - first
