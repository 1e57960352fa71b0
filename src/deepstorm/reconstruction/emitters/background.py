"""A smooth background: linear between the nodes of a coarse grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from deepstorm.arrays import Float64Array, FloatArray, IntArray

# Spacing of the nodes.
TILE_PX = 16.0
# Sizes of fields whose grids are kept: a movie has one, or a few in pieces.
KEPT_GRIDS = 8


@dataclass(frozen=True, slots=True)
class BackgroundGrid:
    """The nodes over a field of some size.

    Along each axis a pixel lies between two nodes, so that what nodes have to do with each other is
    told by products of neighbours, and all is done along one axis after the other. The matrices are
    sparse: dense products would start threads that get in the way of a network's.
    """

    rows: sparse.csr_array  # (y, nodes along y): weights of the interpolation
    columns: sparse.csr_array  # (x, nodes along x)
    row_pairs: sparse.csr_array  # (y, pairs along y): products of two nodes' weights
    column_pairs: sparse.csr_array  # (x, pairs along x)
    pattern: sparse.csr_array  # (nodes, nodes): which product of pairs each entry is

    def image(self, levels: Float64Array) -> Float64Array:
        """Return the background of each pixel."""
        along_y: Float64Array = self.rows @ levels.reshape(self.rows.shape[1], -1)
        return np.asarray(self.columns @ along_y.T).T

    def on_nodes(self, image: Float64Array) -> Float64Array:
        """Sum an image with the weight of each node: what the levels' gradient is made of."""
        return _summed(image, self.rows, self.columns)

    def information(self, weights: Float64Array) -> sparse.csr_array:
        """Return the Fisher information of the levels, (nodes, nodes), from that of each pixel."""
        entries = _summed(weights, self.row_pairs, self.column_pairs)[self.pattern.data]
        return sparse.csr_array(
            (entries, self.pattern.indices, self.pattern.indptr), shape=self.pattern.shape
        )

    def at(self, x_px: Float64Array, y_px: Float64Array) -> sparse.csr_array:
        """Return the weights of the nodes at positions, (n, nodes)."""
        by_y, by_x = _hats(y_px, self.rows.shape[0]), _hats(x_px, self.columns.shape[0])
        # Each row of either has two entries, so the product of rows has four.
        nodes_x = by_x.shape[1]
        node = by_y.indices.reshape(-1, 2, 1) * nodes_x + by_x.indices.reshape(-1, 1, 2)
        share = by_y.data.reshape(-1, 2, 1) * by_x.data.reshape(-1, 1, 2)
        return sparse.csr_array(
            (share.ravel(), node.ravel(), 4 * np.arange(len(x_px) + 1)),
            shape=(len(x_px), by_y.shape[1] * nodes_x),
        )


@lru_cache(KEPT_GRIDS)
def background_grid(height: int, width: int) -> BackgroundGrid:
    """Lay nodes over a field of so many pixels."""
    rows, columns = (_hats(np.arange(length) + 0.5, length) for length in (height, width))
    (first_y, second_y, pair_y), (first_x, second_x, pair_x) = (
        _neighbours(axis.shape[1]) for axis in (rows, columns)
    )
    nodes_x, nodes = columns.shape[1], rows.shape[1] * columns.shape[1]
    first = first_y[:, None] * nodes_x + first_x
    second = second_y[:, None] * nodes_x + second_x
    pair = pair_y[:, None] * (2 * nodes_x - 1) + pair_x
    pattern = sparse.csr_array(
        (pair.ravel(), (first.ravel(), second.ravel())), shape=(nodes, nodes)
    )
    return BackgroundGrid(rows, columns, _with_next(rows), _with_next(columns), pattern)


def _summed(
    image: Float64Array, over_y: sparse.csr_array, over_x: sparse.csr_array
) -> Float64Array:
    """Sum an image with weights along both axes, flat."""
    along_y: Float64Array = over_y.T @ image
    return np.asarray(over_x.T @ along_y.T).T.ravel()


def _neighbours(nodes: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return first and second node of all pairs within 1 along an axis, and the number of each.

    The numbers are those of the columns of :func:`_with_next`.
    """
    each = np.arange(nodes)
    here, after = each[:-1], each[1:]
    return (
        np.concatenate([each, here, after]),
        np.concatenate([each, after, here]),
        np.concatenate([each, nodes + here, nodes + here]),
    )


def _with_next(weights: sparse.csr_array) -> sparse.csr_array:
    """Return the products of each node's weights with its own, then with the next one's."""
    dense = weights.toarray()
    return sparse.csr_array(np.hstack([dense * dense, dense[:, :-1] * dense[:, 1:]]))


def _hats(position_px: FloatArray, length: int) -> sparse.csr_array:
    """Return the weights of linear interpolation, two per position, from nodes along a side."""
    intervals = max(1, round(length / TILE_PX))
    scaled = position_px * intervals / length
    left = np.clip(np.floor(scaled).astype(np.int64), 0, intervals - 1)
    right_share = scaled - left
    return sparse.csr_array(
        (
            np.stack([1 - right_share, right_share], axis=1).ravel(),
            np.stack([left, left + 1], axis=1).ravel(),
            2 * np.arange(len(left) + 1),
        ),
        shape=(len(left), intervals + 1),
    )
