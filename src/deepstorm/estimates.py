"""Numbers that were measured, and how they are written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# Significant digits of figures in records: more are chance.
RECORDED_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was measured, and how well.

    Parameters
    ----------
    value : float
        Finite in any case.
    uncertainty : float
        One standard deviation; 0 for what was given, infinite for what could not be measured at
        all, where ``value`` is an assumption.
    """

    value: float
    uncertainty: float


def plain(value: Any) -> Any:
    """Return a number, an array or an estimate ready for JSON; what is not finite is ``None``."""
    if isinstance(value, Estimate):
        return {"value": plain(value.value), "uncertainty": plain(value.uncertainty)}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{RECORDED_DIGITS}g}") if math.isfinite(value) else None
    return value


def said(estimate: Estimate) -> str:
    """Write an estimate with its uncertainty."""
    given = estimate.uncertainty == 0
    return figure(estimate.value) + ("" if given else f" ± {figure(estimate.uncertainty, 2)}")


def figure(value: float, digits: int = 3) -> str:
    """Write a number with few digits, but never with an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
