from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.structures import Localizations, histogram_image

COLUMNS: dict[str, npt.NDArray[Any]] = {
    "frame": np.array([0, 0, 2]),
    "x_nm": np.array([10.0, 20.0, 30.0]),
    "y_nm": np.array([1.0, 2.0, 3.0]),
    "photons": np.array([500.0, 600.0, 700.0]),
}
TABLE = Localizations(**COLUMNS)


def test_only_known_columns_are_listed() -> None:
    assert TABLE.columns() == COLUMNS
    assert len(TABLE) == 3


@pytest.mark.parametrize("column", ["x_nm", "y_nm", "photons"])
@pytest.mark.parametrize("values", [np.zeros(2), np.zeros((3, 1)), np.zeros(())])
def test_columns_have_one_entry_each(column: str, values: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=rf"column '{column}' has shape .* expected \(3,\)"):
        Localizations(**(COLUMNS | {column: values}))


def test_a_table_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TABLE.x_nm = np.zeros(3)  # type: ignore[misc]


@pytest.mark.parametrize(
    "keep", [np.array([True, False, True]), np.array([0, 2]), slice(None, None, 2)]
)
def test_a_selection_is_the_same_for_every_column(keep: Any) -> None:
    chosen = TABLE.select(keep)
    assert chosen.columns().keys() == COLUMNS.keys()
    for name, values in chosen.columns().items():
        np.testing.assert_array_equal(values, COLUMNS[name][[0, 2]])


def test_a_shift_moves_the_positions_alone() -> None:
    moved = TABLE.shifted(5.0, -1.0)
    assert moved.x_nm.tolist() == [15.0, 25.0, 35.0]
    assert moved.y_nm.tolist() == [0.0, 1.0, 2.0]
    assert moved.frame is TABLE.frame
    assert TABLE.x_nm.tolist() == [10.0, 20.0, 30.0]


def test_joined_tables_keep_what_all_of_them_know() -> None:
    place = Localizations(np.array([7]), np.array([1.0]), np.array([2.0]))
    joined = Localizations.concatenate([TABLE, place])
    assert joined.columns().keys() == {"frame", "x_nm", "y_nm"}
    assert joined.frame.tolist() == [0, 0, 2, 7]
    assert Localizations.concatenate([TABLE, TABLE]).photons is not None


def test_nothing_joined_is_an_empty_table() -> None:
    empty = Localizations.concatenate([])
    assert len(empty) == 0
    assert empty.frame.dtype.kind == "i"
    assert len(Localizations.concatenate([empty, TABLE])) == 3


def test_a_pixel_holds_its_lower_edge_and_not_its_upper() -> None:
    edges_nm = np.array([0.0, 12.49, 12.5, 24.99, 25.0, -0.01])
    table = Localizations(np.zeros(6, int), edges_nm, np.zeros(6))
    image = histogram_image(table, (1, 2), 12.5)
    assert image.tolist() == [[2.0, 2.0]]
    assert image.dtype == np.float32


def test_x_runs_along_columns_and_y_along_rows() -> None:
    table = Localizations(np.array([0]), np.array([250.0]), np.array([50.0]))
    assert np.argwhere(histogram_image(table, (3, 4), 100.0)).tolist() == [[0, 2]]


@given(
    places=st.lists(
        st.tuples(
            st.floats(-50, 350, allow_subnormal=False), st.floats(-50, 450, allow_subnormal=False)
        ),
        max_size=30,
    ),
)
def test_every_emitter_inside_the_field_is_counted_once(
    places: list[tuple[float, float]],
) -> None:
    x_nm, y_nm = np.array(places, dtype=float).reshape(-1, 2).T
    table = Localizations(np.zeros(len(places), int), x_nm, y_nm)
    inside = (x_nm >= 0) & (x_nm < 300) & (y_nm >= 0) & (y_nm < 400)
    assert histogram_image(table, (4, 3), 100.0).sum() == inside.sum()
