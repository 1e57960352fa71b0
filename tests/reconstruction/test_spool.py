from __future__ import annotations

import numpy as np
import pytest

from deepstorm.reconstruction.spool import LocalizationSpool
from deepstorm.structures import Localizations


def table(count: int, seed: int) -> Localizations:
    values = np.random.default_rng(seed).random((4, count))
    frame = np.arange(count) + 2**40
    return Localizations(
        frame, values[0], values[1], uncertainty_nm=values[2], confidence=values[3]
    )


def test_tables_come_back_bit_by_bit() -> None:
    first, second, third = table(5, 1), table(0, 2), table(3, 3)
    with LocalizationSpool() as spool:
        spool.add(0, first)
        spool.add(100, second)
        spool.add(0, third)
        for kept, wanted in zip(spool.take(0), (first, third), strict=True):
            for name, column in wanted.columns().items():
                np.testing.assert_array_equal(kept.columns()[name], column)
        assert [len(part) for part in spool.take(100)] == [0]
        assert spool.take(7) == []
        spool.add(100, first)
        assert len(spool.take(100)[0]) == 5


def test_the_file_goes_with_the_spool() -> None:
    with LocalizationSpool() as spool:
        spool.add(0, table(2, 1))
    with pytest.raises(ValueError, match="closed"):
        spool.add(0, table(2, 1))
