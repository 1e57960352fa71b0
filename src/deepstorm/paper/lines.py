"""A straight line without any width of its own, and how wide it appears."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.errors import InputError
from deepstorm.evaluation.resolution import fwhm_nm, line_profile

SIDE_NM = 6400.0
# Over which the profile is averaged: along the line, away from its ends.
ALONG_NM = 4000.0
HALF_PROFILE_NM = 400.0
# Off the middle of a camera pixel, which is where a grid would help.
MIDDLE_NM = np.full(2, SIDE_NM / 2) + 37.0


def line_positions(angle_degrees: float) -> tuple[tuple[float, float], ...]:
    """Return places every 2 nm along a straight line through the middle, up to the borders."""
    angle = np.deg2rad(angle_degrees)
    direction = np.array([np.cos(angle), np.sin(angle)])
    points = MIDDLE_NM + np.arange(-SIDE_NM, SIDE_NM, 2.0)[:, None] * direction
    inside = ((points >= 0) & (points < SIDE_NM)).all(axis=1)
    return tuple((float(x), float(y)) for x, y in points[inside])


def width_nm(image: Float32Array, pixel_nm: float, angle_degrees: float) -> float | None:
    """Return the FWHM across the line; ``None`` where the profile has no peak there."""
    angle = np.deg2rad(angle_degrees)
    across = np.array([-np.sin(angle), np.cos(angle)]) * HALF_PROFILE_NM
    (x0, y0), (x1, y1) = MIDDLE_NM - across, MIDDLE_NM + across
    try:
        return fwhm_nm(*line_profile(image, (x0, y0), (x1, y1), ALONG_NM, pixel_nm))
    except InputError:
        return None
