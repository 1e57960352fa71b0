from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepstorm.evaluation.position_errors import position_errors
from deepstorm.structures import Localizations

RNG = np.random.default_rng(3)
TRUTH = Localizations(
    np.arange(20_000) // 20, np.tile(np.arange(20) * 1000.0, 1000), np.zeros(20_000)
)


def off_by(sigma_x_nm: float, sigma_y_nm: float, stated_nm: float) -> Localizations:
    n = len(TRUTH)
    return replace(
        TRUTH.shifted(RNG.normal(0, sigma_x_nm, n), RNG.normal(0, sigma_y_nm, n)),  # type: ignore[arg-type]
        uncertainty_nm=np.full(n, stated_nm),
    )


def test_the_error_is_per_axis() -> None:
    errors = position_errors(off_by(12, 12, 10), TRUTH)
    assert errors.rms_nm == pytest.approx(12, rel=0.02)
    assert errors.stated_rms_nm == pytest.approx(10)
    assert errors.actual_over_stated == pytest.approx(1.2, rel=0.02)
    assert errors.core_nm == pytest.approx(12, rel=0.02)


def test_a_far_tail_leaves_the_core_alone() -> None:
    near, far = off_by(8, 8, 10), off_by(50, 50, 10)
    mixed = Localizations.concatenate([near.select(slice(19_000)), far.select(slice(19_000, None))])
    errors = position_errors(mixed, TRUTH, radius_nm=300)
    assert errors.core_nm == pytest.approx(8, rel=0.06)
    assert errors.rms_nm is not None
    assert errors.rms_nm > 12


def test_unequal_axes_are_pooled() -> None:
    assert position_errors(off_by(20, 0, 10), TRUTH).rms_nm == pytest.approx(20 / 2**0.5, rel=0.02)


def test_only_matched_rows_count() -> None:
    found = off_by(5, 5, 7).select(np.arange(0, 20_000, 2))
    strays = replace(found.shifted(400, 0), uncertainty_nm=np.full(10_000, 90.0))
    errors = position_errors(Localizations.concatenate([strays, found]), TRUTH)
    assert errors.truth_index.tolist() == list(range(0, 20_000, 2))
    assert errors.stated_rms_nm == pytest.approx(7)


def test_what_is_not_stated_or_not_matched_is_none() -> None:
    plain = position_errors(TRUTH, TRUTH)
    assert (plain.rms_nm, plain.stated_rms_nm, plain.actual_over_stated) == (0, None, None)
    nothing = position_errors(TRUTH.shifted(500, 0), TRUTH)
    assert (nothing.rms_nm, nothing.actual_over_stated, len(nothing.truth_index)) == (None, None, 0)
