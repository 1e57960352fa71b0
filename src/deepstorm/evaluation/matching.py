"""Which predicted emitter stands for which true one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching
from scipy.spatial import cKDTree

from deepstorm.arrays import BoolArray, Float64Array, Int64Array
from deepstorm.errors import InputError
from deepstorm.evaluation.checks import check_length
from deepstorm.structures import Localizations

# Emitters handled at a time, in whole frames: bounds the memory for the list of pairs.
_BLOCK_SIZE = 100_000
# Above this many pairs within the radius the list alone takes gigabytes and the matching hours.
_MAX_PAIRS = 20_000_000
# Up to this size a full cost matrix is faster than a sparse one.
_DENSE_CELLS = 250_000


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of a predicted and a true emitter, in the order of the predictions.

    Parameters
    ----------
    predicted_index, truth_index : ndarray of int64, shape (n,)
        Rows of the two tables; no row occurs twice.
    distance_nm : ndarray of float64, shape (n,)
        Lateral distance of each pair in nm.
    """

    predicted_index: Int64Array
    truth_index: Int64Array
    distance_nm: Float64Array

    def __len__(self) -> int:
        return len(self.predicted_index)


def match_emitters(predicted: Localizations, truth: Localizations, radius_nm: float) -> Matches:
    """Pair predicted with true emitters, one to one, frame by frame.

    Only emitters of the same frame at a lateral distance of at most ``radius_nm`` may be paired.
    Of all such pairings those with the largest number of pairs are considered, and of these the
    one with the smallest sum of distances is taken; it is the exact optimum, not a greedy one.
    The same tables always give the same pairs, also where distances tie.

    Parameters
    ----------
    predicted, truth : Localizations
        Either may be empty. ``z_nm`` is not looked at.
    radius_nm : float
        Largest distance of a pair in nm, above 0.

    Raises
    ------
    InputError
        If the radius is not a positive number, a position is not finite, or so many emitters lie
        within the radius of each other that the pairing cannot be computed.

    References
    ----------
    .. [1] Sage et al., "Quantitative evaluation of software packages for single-molecule
       localization microscopy", Nature Methods 12, 717 (2015): scores of the SMLM challenge.
    """
    check_length(radius_nm, "matching radius")
    parts = [
        _match_block(predicted_rows, truth_rows, predicted, truth, radius_nm)
        for predicted_rows, truth_rows in _blocks_of_frames(predicted, truth)
    ]
    order = np.argsort(np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)]))
    return Matches(
        np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])[order],
        np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])[order],
        np.concatenate([np.empty(0), *(part[2] for part in parts)])[order],
    )


def near_emitters(
    predicted: Localizations, truth: Localizations, radius_nm: float
) -> tuple[BoolArray, BoolArray]:
    """Say of each emitter whether the other table has any within the radius in the same frame.

    Parameters
    ----------
    predicted, truth : Localizations
        Either may be empty. ``z_nm`` is not looked at.
    radius_nm : float
        In nm, above 0.

    Returns
    -------
    predicted, truth : ndarray of bool, shape (n,)
        In the order of the tables.

    Raises
    ------
    InputError
        As :func:`match_emitters`.
    """
    check_length(radius_nm, "matching radius")
    near = np.zeros(len(predicted), bool), np.zeros(len(truth), bool)
    for rows in _blocks_of_frames(predicted, truth):
        pairs = _pairs_within(predicted.select(rows[0]), truth.select(rows[1]), radius_nm)
        near[0][rows[0][pairs[0]]] = True
        near[1][rows[1][pairs[1]]] = True
    return near


def _blocks_of_frames(
    predicted: Localizations, truth: Localizations
) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Yield the rows of either table for a run of whole frames at a time."""
    frames, counts = np.unique(np.concatenate([predicted.frame, truth.frame]), return_counts=True)
    block = (np.cumsum(counts) - 1) // _BLOCK_SIZE
    first_frames = frames[np.flatnonzero(np.diff(block, prepend=-1))]
    predicted_rows = _rows_by_frame(predicted, first_frames)
    truth_rows = _rows_by_frame(truth, first_frames)
    yield from zip(predicted_rows, truth_rows, strict=True)


def _rows_by_frame(table: Localizations, first_frames: npt.NDArray[np.integer]) -> list[Int64Array]:
    """Return the rows from each first frame up to the next, in the order of the frames."""
    order = np.argsort(table.frame, kind="stable").astype(np.int64)
    return np.split(order, np.searchsorted(table.frame[order], first_frames[1:]))


def _match_block(
    predicted_rows: Int64Array,
    truth_rows: Int64Array,
    predicted: Localizations,
    truth: Localizations,
    radius_nm: float,
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Return the predicted rows, true rows and distances of the pairs of one block."""
    predicted, truth = predicted.select(predicted_rows), truth.select(truth_rows)
    i, j, distance_nm = _pairs_within(predicted, truth, radius_nm)
    chosen = _best_pairs(i, j, distance_nm, radius_nm)
    return predicted_rows[i[chosen]], truth_rows[j[chosen]], distance_nm[chosen]


def _pairs_within(
    predicted: Localizations, truth: Localizations, radius_nm: float
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """List every pair of the same frame within the radius."""
    # The frame is a third axis, stretched so far that no pair within the radius crosses frames.
    rank = np.unique(np.concatenate([predicted.frame, truth.frame]), return_inverse=True)[1]
    depth_nm = 4.0 * radius_nm * rank.astype(np.float64)
    trees = (
        _tree(predicted, depth_nm[: len(predicted)], "predicted"),
        _tree(truth, depth_nm[len(predicted) :], "true"),
    )
    n_pairs = trees[0].count_neighbors(trees[1], radius_nm)
    if n_pairs > _MAX_PAIRS:
        raise InputError(
            f"{n_pairs} pairs of a predicted and a true emitter lie within {radius_nm} nm of each "
            f"other, expected at most {_MAX_PAIRS}; use a smaller radius, or check that the "
            "tables keep their frame numbers"
        )
    pairs = trees[0].sparse_distance_matrix(trees[1], radius_nm, output_type="ndarray")
    return pairs["i"].astype(np.int64), pairs["j"].astype(np.int64), pairs["v"]


def _tree(table: Localizations, depth_nm: Float64Array, kind: str) -> cKDTree:
    points = np.column_stack([table.x_nm, table.y_nm, depth_nm]).astype(np.float64)
    if not np.isfinite(points).all():
        raise InputError(
            f"the table of {kind} emitters has positions that are not finite; "
            "leave these entries out"
        )
    return cKDTree(points)


def _best_pairs(
    i: Int64Array, j: Int64Array, distance_nm: Float64Array, radius_nm: float
) -> Int64Array:
    """Choose the pairs to keep, treating each group of linked emitters on its own."""
    if len(i) == 0:
        return np.empty(0, np.int64)
    component, is_star = _components(i, j)
    order = np.lexsort((j, i, distance_nm, component)).astype(np.int64)
    starts = np.flatnonzero(np.diff(component[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    # A star is one emitter with all its candidates: the nearest of them wins.
    chosen = [order[starts[is_star]]]
    for start, end in zip(starts[~is_star], ends[~is_star], strict=True):
        group = order[start:end]
        chosen.append(group[_assign(i[group], j[group], distance_nm[group] / radius_nm)])
    return np.concatenate(chosen)


def _components(i: Int64Array, j: Int64Array) -> tuple[Int64Array, BoolArray]:
    """Return the component of every pair, and for every component whether it is a star."""
    rows, row = np.unique(i, return_inverse=True)
    columns, column = np.unique(j, return_inverse=True)
    n_nodes = len(rows) + len(columns)
    links = coo_array((np.ones(len(i)), (row, len(rows) + column)), shape=(n_nodes, n_nodes))
    n_components, label = connected_components(links, directed=False)
    n_rows = np.bincount(label[: len(rows)], minlength=n_components)
    n_columns = np.bincount(label[len(rows) :], minlength=n_components)
    return label[row].astype(np.int64), np.minimum(n_rows, n_columns) == 1


def _assign(i: Int64Array, j: Int64Array, distance: Float64Array) -> Int64Array:
    """Solve one component exactly; distances are in units of the radius, 0 to 1.

    A pair costs 1 + distance, at most 2, and a row left alone costs more than all that pairing
    one row more could ever add, so that the number of pairs comes first and the distance second.
    """
    rows, row = np.unique(i, return_inverse=True)
    columns, column = np.unique(j, return_inverse=True)
    if len(rows) > len(columns):
        rows, row, columns, column = columns, column, rows, row
    alone = len(rows) + 3.0
    solve = _solve_dense if len(rows) * len(columns) <= _DENSE_CELLS else _solve_sparse
    partner = solve(row, column, 1.0 + distance, (len(rows), len(columns)), alone)
    return np.flatnonzero(partner[row] == column)


def _solve_dense(
    row: Int64Array, column: Int64Array, cost: Float64Array, shape: tuple[int, int], alone: float
) -> Int64Array:
    """Return the column assigned to each row; a column that is no candidate means none."""
    matrix = np.full(shape, alone)
    matrix[row, column] = cost
    return linear_sum_assignment(matrix)[1].astype(np.int64)


def _solve_sparse(
    row: Int64Array, column: Int64Array, cost: Float64Array, shape: tuple[int, int], alone: float
) -> Int64Array:
    """As :func:`_solve_dense`, without the matrix: every row gets a column of its own instead."""
    every_row = np.arange(shape[0])
    # The solver of older scipy versions takes 32-bit indices alone.
    rows = np.concatenate([row, every_row]).astype(np.int32)
    columns = np.concatenate([column, shape[1] + every_row]).astype(np.int32)
    costs = np.concatenate([cost, np.full(shape[0], alone)])
    matrix = coo_array((costs, (rows, columns)), shape=(shape[0], sum(shape))).tocsr()
    return min_weight_full_bipartite_matching(matrix)[1].astype(np.int64)
