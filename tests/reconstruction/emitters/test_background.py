from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.reconstruction.emitters.background import TILE_PX, BackgroundGrid, background_grid

SIZES = st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**31))


def dense(grid: BackgroundGrid) -> np.ndarray:
    """Return the weight of each node in each pixel, (pixel, node)."""
    return np.kron(grid.rows.toarray(), grid.columns.toarray())


@given(SIZES)
@settings(max_examples=40, deadline=None)
def test_products_along_the_axes_are_those_of_all_pixels(size: tuple[int, int, int]) -> None:
    height, width, seed = size
    rng = np.random.default_rng(seed)
    grid = background_grid(height, width)
    weights, image = rng.random((2, height, width))
    of_nodes = dense(grid)
    levels = rng.random(of_nodes.shape[1])
    np.testing.assert_allclose(grid.image(levels).ravel(), of_nodes @ levels)
    np.testing.assert_allclose(grid.on_nodes(image), of_nodes.T @ image.ravel())
    np.testing.assert_allclose(
        grid.information(weights).toarray(),
        of_nodes.T @ (weights.ravel()[:, None] * of_nodes),
        atol=1e-12,
    )


@given(SIZES)
@settings(max_examples=40, deadline=None)
def test_a_background_that_is_even_is_even_between_pixels(size: tuple[int, int, int]) -> None:
    height, width, seed = size
    x, y = np.random.default_rng(seed).random((2, 50)) * [[width], [height]]
    grid = background_grid(height, width)
    at = grid.at(x, y)
    assert at.shape == (50, dense(grid).shape[1])
    np.testing.assert_allclose(at @ np.full(at.shape[1], 3.0), 3.0)


def test_pixels_see_what_positions_at_their_middle_see() -> None:
    grid = background_grid(40, 33)
    y, x = (axis.ravel() + 0.5 for axis in np.indices((40, 33)))
    np.testing.assert_allclose(grid.at(x, y).toarray(), dense(grid), atol=1e-12)


def test_a_slope_is_followed_from_border_to_border() -> None:
    """Along x alone; nodes are at the borders and every 16 pixels, whatever the other axis."""
    width = 3 * int(TILE_PX)
    grid = background_grid(20, width)
    nodes_y, nodes_x = grid.rows.shape[1], grid.columns.shape[1]
    assert nodes_x == 4
    levels = np.tile(np.linspace(0, width, nodes_x), nodes_y)
    np.testing.assert_allclose(grid.image(levels), np.tile(np.arange(width) + 0.5, (20, 1)))


def test_grids_are_laid_once() -> None:
    assert background_grid(21, 34) is background_grid(21, 34)


@pytest.mark.parametrize("side", [1, 8, 23])
def test_small_fields_have_nodes_at_their_borders(side: int) -> None:
    assert background_grid(side, side).rows.shape == (side, 2)
