from __future__ import annotations

import numpy as np
import pytest

from deepstorm.paper.findings import Measured, Table, shown


def test_repeats_are_summarised() -> None:
    measured = Measured.of([1.0, 2.0, 3.0])
    assert (measured.value, measured.repeats) == (2.0, 3)
    assert measured.spread == pytest.approx(np.std([1, 2, 3], ddof=1))


def test_one_repeat_that_failed_leaves_the_mean_unknown() -> None:
    """A mean of the seeds that happened to succeed would flatter."""
    assert Measured.of([19.0, None]) == Measured(None, None, 2)
    assert Measured.of([]).value is None


def test_a_single_repeat_has_no_spread() -> None:
    assert Measured.of([5.0]).shown() == 5.0
    assert Measured.of([5.0, 6.0]).shown() == "5.5 ± 0.707"


def test_headings_are_those_of_all_rows() -> None:
    assert Table("", "", [{"a": 1}, {"b": 2, "a": 3}]).headings == ["a", "b"]


def test_cells_are_short() -> None:
    assert [shown(value) for value in (None, 3, "x", 1234.5, 0.12345)] == [
        "–",
        "3",
        "x",
        "1234",
        "0.123",
    ]
