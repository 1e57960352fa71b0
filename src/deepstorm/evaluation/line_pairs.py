"""Which distance between two parallel lines an image resolves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Float64Array
from deepstorm.errors import InputError
from deepstorm.evaluation.checks import check_length, checked_image

RAYLEIGH_DIP = 0.26
"""Depth of the dip between two points at Rayleigh's distance, relative to the peaks."""


@dataclass(frozen=True, slots=True)
class PairProfile:
    """Profile across horizontal line pairs, gathered over pairs of several sub-pixel phases.

    Parameters
    ----------
    offset_nm : ndarray of float64, shape (n,)
        Distance from the middle of the pair, ascending, symmetric about 0.
    intensity : ndarray of float64, shape (n,)
        Share of a pair's sum in a pixel row at that offset, averaged over rows of all pairs.
    counts : ndarray of float64, shape (n,)
        Sum of the pixel values behind each entry; for an image of emitter counts its square root
        is their counting error.
    """

    offset_nm: Float64Array
    intensity: Float64Array
    counts: Float64Array


@dataclass(frozen=True, slots=True)
class Dip:
    """What lies between the two peaks of a profile.

    Parameters
    ----------
    depth : float
        1 − valley over the lower of the two peaks, 0 (one peak) to 1 (nothing in between).
    counting_error : float
        Standard deviation of ``depth`` from the number of emitters behind valley and peak.
    peak_distance_nm : float or None
        Distance of the two peaks; ``None`` where there is no dip.
    """

    depth: float
    counting_error: float
    peak_distance_nm: float | None


def pair_profile(
    image: npt.ArrayLike,
    centres_nm: Sequence[float],
    pixel_size_nm: float,
    *,
    reach_nm: float = 100.0,
    step_nm: float = 3.5,
) -> PairProfile:
    """Sum an image along horizontal line pairs and join the profiles of all pairs.

    Pixels of 12.5 nm show two lines at 15 nm or hide them, depending on where the lines fall on the
    grid. Pairs at several phases, each row entered at its own distance from the true middle of its
    pair, sample the profile more finely than the grid; what remains is a blur by one pixel, the
    same at every phase. Each pair is divided by its own sum, so that none counts for more.

    Parameters
    ----------
    image : array_like, shape (y, x)
    centres_nm : sequence of float
        y of the middle of each pair; all of one separation.
    pixel_size_nm : float
        Size of a pixel of ``image``, above 0.
    reach_nm : float
        How far the profile goes on both sides of the middle.
    step_nm : float
        Spacing of the profile. Rows are averaged over it.

    Raises
    ------
    InputError
        If the image or a size cannot be used, a pair does not lie within the image or is empty, or
        there are too few phases for the step.
    """
    pixels = checked_image(image, "image")
    for length_nm, name in ((pixel_size_nm, "pixel"), (reach_nm, "reach"), (step_nm, "step")):
        check_length(length_nm, f"{name} of the profile")
    rows_nm = np.asarray((np.arange(len(pixels)) + 0.5) * pixel_size_nm, np.float64)
    sums = pixels.sum(axis=1)
    parts = [_one_pair(rows_nm, sums, centre, reach_nm) for centre in centres_nm]
    if not parts:
        raise InputError("there is no line pair; give the y of the middle of at least one")
    offset, share, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    last = int(reach_nm / step_nm)
    entry = np.rint(offset / step_nm).astype(np.int64) + last
    inside = (entry >= 0) & (entry <= 2 * last)
    n, total, counts = (
        np.bincount(entry[inside], weights[inside], 2 * last + 1).astype(np.float64)
        for weights in (np.ones_like(share), share, count)
    )
    if not n.all():
        raise InputError(
            f"{len(parts)} line pairs do not sample a profile in steps of {step_nm:g} nm on pixels "
            f"of {pixel_size_nm:g} nm; give pairs at more phases, or a larger step"
        )
    offsets = np.asarray(np.arange(-last, last + 1) * step_nm, np.float64)
    return PairProfile(offsets, total / n, counts)


def _one_pair(
    rows_nm: Float64Array, sums: Float64Array, centre_nm: float, reach_nm: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return (offset, share of the pair's sum, sum) of the rows around one pair."""
    near = np.abs(rows_nm - centre_nm) <= reach_nm
    total = float(sums[near].sum())
    if not total > 0:
        raise InputError(
            f"the image holds nothing within {reach_nm:g} nm of the line pair at {centre_nm:g} nm; "
            "check its place, and the size of the image's pixels"
        )
    return rows_nm[near] - centre_nm, sums[near] / total, sums[near]


def dip_between_peaks(profile: PairProfile, search_nm: float) -> Dip:
    """Measure the dip between the highest points on either side of the middle.

    Parameters
    ----------
    profile : PairProfile
    search_nm : float
        How far from the middle a peak may lie.

    Raises
    ------
    InputError
        If the search does not reach the first entry on both sides.
    """
    offset, height = profile.offset_nm, profile.intensity
    near = np.abs(offset) <= search_nm
    left = np.flatnonzero(near & (offset < 0))
    right = np.flatnonzero(near & (offset > 0))
    if len(left) == 0 or len(right) == 0:
        raise InputError(
            f"a search over {search_nm:g} nm holds no entry of the profile on both sides; widen it"
        )
    # Of equal values the one nearest to the middle: a plateau is no wider pair.
    first = left[::-1][np.argmax(height[left[::-1]])]
    second = right[np.argmax(height[right])]
    valley = first + int(np.argmin(height[first : second + 1]))
    lower = first if height[first] <= height[second] else second
    if not height[lower] > height[valley]:
        return Dip(0.0, _ratio_error(profile, valley, lower), None)
    distance_nm = float(offset[second] - offset[first])
    depth = float(1 - height[valley] / height[lower])
    return Dip(depth, _ratio_error(profile, valley, lower), distance_nm)


def _ratio_error(profile: PairProfile, valley: int, peak: int) -> float:
    """Return the counting error of valley over peak; an empty valley counts as one emitter."""
    low, high = max(profile.counts[valley], 1.0), max(profile.counts[peak], 1.0)
    ratio = profile.intensity[valley] / profile.intensity[peak]
    return float(max(ratio, 1.0 / high) * np.sqrt(1 / low + 1 / high))


def smallest_resolved_nm(
    separations_nm: Sequence[float], depths: Sequence[float], min_depth: float = RAYLEIGH_DIP
) -> float | None:
    """Return the smallest separation that is resolved, and all larger ones with it.

    Parameters
    ----------
    separations_nm, depths : sequence of float
        Separations in any order, and the dip of each.
    min_depth : float
        Dip from which a pair counts as resolved.

    Returns
    -------
    float or None
        ``None`` where not even the largest is resolved.
    """
    smallest = None
    for separation, depth in sorted(zip(separations_nm, depths, strict=True), reverse=True):
        if depth < min_depth:
            break
        smallest = float(separation)
    return smallest
