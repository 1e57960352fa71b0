"""What it means where frames are not what was expected of them.

The thresholds are relative to what undisturbed movies give: simulated over all that the bundled
network was trained for, fewer than one in fifty of them is warned of. Where light of emitters that
were missed hides the noise, nothing is said of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from deepstorm.calibration.assumption import KnownValues
from deepstorm.estimates import Estimate, figure, said
from deepstorm.fit import Fit
from deepstorm.reconstruction.recording_faults import not_round
from deepstorm.structures import Calibration, Caution

# Standard deviations by which a figure differs before it is called different.
CERTAIN = 3.0
# Noise that no two pixels share alternates as much along both axes as along one.
LEAST_FINENESS, MOST_FINENESS = 0.92, 1.08
# Correlation of the noise of neighbours beyond which it is called shared.
MOST_SHARED = 0.1
# Variances of noise that gains and zeros as measured come to, at least and at most.
LEAST_NOISE, MOST_NOISE = 0.7, 1.65
# Residuals are smooth if their noise is less than this part of their variance.
SMOOTH_RESIDUALS = 0.55
# Below this, hardly any noise is left; below that many squared counts, rounding makes more.
MISSING_NOISE, ROUNDING_ADU2 = 0.25, 0.07
# Near emitters, less variance than this comes of a gain that is too high.
LEAST_NEAR = 0.72
# Of the residuals' variance away from emitters, missed ones may be this part for noise to be told.
MOST_MISSED = 0.25
# Excess noise factors of cameras, with some room.
EXCESS_NOISE = (0.7, 2.8)
# Noise of the mean frame below this was taken off with something.
LEAST_STEADY = 0.85
# Errors of places widen spots a little in the mean of many; they are never narrower.
LEAST_WIDENING, MOST_WIDENING = -0.05, 0.12
# Spots that are longer than this are so certainly if it is beyond that with all uncertainty.
ELONGATED, MOST_ELONGATION = 0.1, 0.06
# Light of a block that is not explained, as a part of all light there, and its significance.
MOST_UNEXPLAINED, SIGNIFICANT = 0.3, 8.0
# How far a network's counts may be off at the ends of its ranges, as a factor.
COUNT_FACTOR = 3.0
# Less certain numbers of emitters are not compared.
LEAST_CERTAIN = 1.0
# Blocks that are named.
MOST_NAMED = 3


def explain(
    fit: Fit,
    calibration: Calibration,
    known: KnownValues,
    warned: Collection[str] = (),
) -> list[Caution]:
    """Say what figures mean that undisturbed movies do not have.

    Parameters
    ----------
    fit : Fit
    calibration : Calibration
    known : KnownValues
        What was given to it.
    warned : collection of str
        Codes of what is known to be wrong already. If nothing blinks, nothing is said of emitters;
        if their density or brightness is out of range, nothing of their number; and nothing
        is said twice.
    """
    noise = _noise(fit, calibration, known)
    found = [noise, _taken_off(fit)]
    # Spots and light are judged by the noise, and say nothing new where that is wrong.
    if noise is None and "nothing-blinks" not in warned:
        found += [_width(fit), _roundness(fit), _unexplained(fit)]
        if not any(code.startswith(("density", "emitters")) for code in warned):
            found.append(_counts(fit))
    return [each for each in found if each is not None and each.code not in warned]


def _noise(fit: Fit, calibration: Calibration, known: KnownValues) -> Caution | None:
    """Return the most specific thing that is wrong with the noise."""
    return (
        _missing(fit, calibration)
        or _shared(fit)
        or _off(fit, calibration)
        or _excess(calibration, known)
    )


def _missing(fit: Fit, calibration: Calibration) -> Caution | None:
    """Tell of noise that is all but gone."""
    noise = fit.noise_variance
    is_known = math.isfinite(noise.uncertainty)
    low = MISSING_NOISE * _share_of_background(fit, calibration, 1.0)
    is_low = noise.value + CERTAIN * noise.uncertainty < low
    is_rounding = fit.noise_adu2.value < ROUNDING_ADU2
    if not is_known or not (is_low or is_rounding):
        return None
    sentence = (
        f"Away from emitters, the frames vary {said(noise)} times as much as their light and the "
        "camera's gain would have them; with noise it is once. The movie was computed, averaged or "
        "denoised: photons, and how certain the image is, mean nothing. Give the movie as the "
        "camera wrote it."
    )
    return Caution("noise-missing", sentence, noise)


def _shared(fit: Fit) -> Caution | None:
    """Tell of noise that neighbouring pixels have in common."""
    fineness = fit.fineness
    reach = CERTAIN * fineness.uncertainty
    is_smooth = fineness.value + reach < LEAST_FINENESS
    is_sharp = fineness.value - reach > MOST_FINENESS
    share = max(fit.shared_x, fit.shared_y, key=lambda each: each.value)
    is_shared = share.value - CERTAIN * share.uncertainty > MOST_SHARED
    is_told = math.isfinite(fineness.uncertainty)
    if not is_told or not (
        is_smooth or is_sharp or (is_shared and _missed_share(fit) < MOST_MISSED)
    ):
        return None
    how = (
        f"from pixel to pixel along both axes it varies {said(fineness)} times as much as along "
        "one, in a camera's frames equally"
        if is_smooth or is_sharp
        else f"it correlates by {said(share)}, in a camera's frames by less than 0.02"
    )
    sentence = (
        f"Neighbouring pixels share their noise: {how}. The movie was filtered, denoised, enlarged "
        "or compressed with loss, and the network takes noise for emitters. Give the movie as the "
        "camera wrote it."
    )
    return Caution("noise-shared", sentence, fineness if is_smooth or is_sharp else share)


def _off(fit: Fit, calibration: Calibration) -> Caution | None:
    """Tell of noise of another size than gain and zero say."""
    noise, near = fit.noise_variance, fit.near_variance
    # What differs from pixel to pixel in all frames alike is no noise.
    most = MOST_NOISE + fit.pattern_variance
    least = LEAST_NOISE * _share_of_background(fit, calibration, CERTAIN)
    is_off = math.isfinite(noise.uncertainty) and not _within(noise, least, most)
    is_low = near.value + CERTAIN * near.uncertainty < LEAST_NEAR
    if not (is_off or is_low):
        return None
    measured, where = (noise, "away from") if is_off else (near, "near")
    direction = "low" if measured.value > 1 else "high"
    sentence = (
        f"The variance of the noise {where} emitters is {said(measured)} times the one that gain "
        f"and zero give; it should be once. The gain is too {direction}, or the zero is wrong: "
        "photons are off by about as much, and the network sees too much or too little in the "
        "frames. Check what was given (--gain, --offset, --calibration), or let it be measured."
    )
    return Caution("noise-off", sentence, measured)


def _excess(calibration: Calibration, known: KnownValues) -> Caution | None:
    """Tell of a gain that no camera has, going by the noise."""
    excess = calibration.excess_noise_factor
    if known.adu_per_electron is None or excess is None or _within(excess, *EXCESS_NOISE):
        return None
    sentence = (
        f"With the given gain, the noise has {said(excess)} times the variance of photoelectrons; "
        "cameras have 1 to 2 times. Photons are wrong by as much; the image is not. Check the gain "
        "in counts per photoelectron (--gain)."
    )
    return Caution("noise-off", sentence, excess)


def _taken_off(fit: Fit) -> Caution | None:
    """Tell of something that was taken off each pixel over time."""
    steady, noise = fit.steady_variance, fit.noise_variance.value
    if not math.isfinite(steady.uncertainty) or not noise > 0:
        return None
    # A wrong gain changes both alike.
    measured = Estimate(steady.value / noise, steady.uncertainty / noise)
    if measured.value + CERTAIN * measured.uncertainty > LEAST_STEADY:
        return None
    sentence = (
        f"The mean of all frames has {said(measured)} times the noise that it has to have, at "
        "least once. A median or mean over time was taken off each pixel: light of emitters that "
        "are often on is gone, and what is left is mistaken for emitters. Give the movie as the "
        "camera wrote it; the background is taken care of."
    )
    return Caution("background-taken-off", sentence, measured)


def _width(fit: Fit) -> Caution | None:
    widening = fit.widening
    if not math.isfinite(widening.uncertainty) or _within(widening, LEAST_WIDENING, MOST_WIDENING):
        return None
    is_wide = widening.value > 0
    sentence = (
        f"The variance of the spots of {fit.spots} emitters that are alone differs from that of "
        f"the PSF by {said(widening)} of it; it should by less than {MOST_WIDENING:g}. They are "
        + ("wider, or have a halo: defocus, aberrations. " if is_wide else "narrower. ")
        + "An emitter may be taken for several, photons are wrong. Check the focus, and the width "
        "where it was given (--sigma)."
    )
    return Caution("spots-misfit", sentence, widening)


def _roundness(fit: Fit) -> Caution | None:
    longer = fit.elongation
    is_long = longer.value - CERTAIN * longer.uncertainty > MOST_ELONGATION
    is_long &= longer.value > ELONGATED
    if not math.isfinite(longer.uncertainty) or not is_long:
        return None
    return not_round(longer, fit.elongation_degrees)


def _unexplained(fit: Fit) -> Caution | None:
    """Tell where in the field light is left, or missing."""
    size, significance = np.nan_to_num(fit.unexplained_map), np.nan_to_num(fit.significance_map)
    bad = (np.abs(size) > MOST_UNEXPLAINED) & (np.abs(significance) > SIGNIFICANT)
    if not bad.any():
        return None
    rows, columns = np.nonzero(bad)
    order = np.argsort(-np.abs(size[rows, columns]))
    places = ", ".join(
        f"x {columns[each] * fit.block_px}, y {rows[each] * fit.block_px}"
        for each in order[:MOST_NAMED]
    )
    worst = float(size[rows[order[0]], columns[order[0]]])
    error = abs(worst / float(significance[rows[order[0]], columns[order[0]]]))
    measured = Estimate(worst, error)
    sentence = (
        f"In {len(order)} of {bad.size} parts of the field ({fit.block_px} × {fit.block_px} pixels "
        f"from {places}), up to {said(measured)} of the light is not explained by emitters and a "
        "smooth background. There, light has an edge or a structure that does not blink, or most "
        "emitters are missed: do not believe the image there. Leave the place out (--roi)."
    )
    return Caution("light-unexplained", sentence, measured)


def _counts(fit: Fit) -> Caution | None:
    """Tell of an image that counts other emitters than the movie's fluctuations do."""
    expected = fit.calibrated_emitters
    if not math.isfinite(expected.uncertainty) or not (expected.value > 0 and fit.emitters > 0):
        return None
    ratio = fit.emitters / expected.value
    relative = expected.uncertainty / expected.value
    reach = math.log(COUNT_FACTOR) + CERTAIN * math.log1p(relative)
    is_within = abs(math.log(ratio)) < reach
    if relative > LEAST_CERTAIN or is_within:
        return None
    measured = Estimate(ratio, ratio * relative)
    sentence = (
        f"The image has {figure(fit.emitters)} emitters; going by how light fluctuates, there are "
        f"{said(expected)}. One of them is wrong: "
        + (
            "noise or steady light may be taken for emitters."
            if ratio > 1
            else "emitters may be missed, or something other than emitters fluctuates."
        )
        + " Compare the table with a few frames."
    )
    return Caution("counts-disagree", sentence, measured)


def _share_of_background(fit: Fit, calibration: Calibration, deviations: float) -> float:
    """Return the part of the background, and so of its noise, that is there for certain.

    All of it where residuals away from emitters are smooth: without a background there were none.
    """
    if fit.noise_variance.value < SMOOTH_RESIDUALS * fit.away_variance.value:
        return 1.0
    background = calibration.background_photons
    reach = deviations * background.uncertainty
    return max(1 - reach / max(background.value, 1e-9), 0.0)


def _missed_share(fit: Fit) -> float:
    """Return the part of the variance away from emitters that is light of missed ones."""
    away = fit.away_variance.value
    return 1 - fit.noise_variance.value / away if away > 0 else 1.0


def _within(estimate: Estimate, low: float, high: float) -> bool:
    """Tell whether a value may lie in a range, going by its uncertainty."""
    reach = CERTAIN * estimate.uncertainty
    return low <= estimate.value + reach and estimate.value - reach <= high
