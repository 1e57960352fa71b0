"""Whether a movie is like those that a network was trained on, and what else spoils an image.

What a calibration measured is compared with the ranges on a network's card. A value is outside of
its range only if it is so by more than two of its uncertainties and a tenth of the range's end:
networks do not fail at a line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepstorm.calibration.dense_start import CROWDED
from deepstorm.calibration.inspection import Conditions
from deepstorm.estimates import figure, said
from deepstorm.models.card import NOMINAL_PIXEL_NM
from deepstorm.reconstruction.recording_faults import faults, uneven
from deepstorm.structures import Calibration, Caution, Estimate

CERTAIN = 2.0
TOLERANCE = 1.1
# An EMCCD has at most this many detected photons per effective one, and no camera has fewer than 1.
MOST_EXCESS_NOISE = 2.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What a person should know of a movie.

    Parameters
    ----------
    warnings : tuple of Caution
    notes : tuple of str
        What could not be found out, as sentences.
    """

    warnings: tuple[Caution, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A value as it is compared with a range, and what to say where it lies outside.

    Parameters
    ----------
    measured : Estimate
    least, most : float
        The smallest and the largest value that the measurement admits.
    name, found, unit : str
        What it is; what was found, as a clause; and the unit of the range.
    below, above : str
        What a value below or above the range means, and what to do.
    codes : (str, str)
        Names of the warnings that a value is below or above the range.
    factor : float
        From the unit of the card's range to that of the value.
    """

    measured: Estimate
    least: float
    most: float
    name: str
    found: str
    unit: str
    below: str
    above: str
    codes: tuple[str, str]
    factor: float = 1.0

    @property
    def is_known(self) -> bool:
        return math.isfinite(self.least) and math.isfinite(self.most)


def judge(
    network: str,
    validity: dict[str, tuple[float, float]],
    movie: Conditions,
    times_brighter: float = 1.0,
) -> Findings:
    """Compare a movie with what a network was trained for.

    Light needs care: a movie tells effective photons, ranges are of detected ones, and an EMCCD
    has two of these for one of those. Unless the gain was given, both readings are allowed: a range
    is left only if the more generous one lies outside.

    Where nothing blinks, what was measured of emitters is chance, and only the background and a
    width that was given are compared.

    Parameters
    ----------
    network : str
        Name of the network.
    validity : dict
        Its ranges, low and high by name; a quantity without a range is not compared. The size of
        camera pixels is not compared either: the API refuses movies outside.
    movie : Conditions
    times_brighter : float
        How many times as bright as usual the background is somewhere.
    """
    quantities = {n: q for n, q in _quantities(movie).items() if n in validity}
    found = {n: _outside(network, validity[n], q) for n, q in quantities.items()}
    outside = {name: caution for name, caution in found.items() if caution is not None}
    warnings = [*outside.values(), *faults(movie), *uneven(times_brighter)]
    if not movie.has_no_emitters and "local_density_per_um2" not in outside:
        warnings += _crowding(movie)
    notes = [
        f"The {quantity.name} could not be measured: whether the network '{network}' suits it is "
        "not known."
        for quantity in quantities.values()
        if not quantity.is_known and not movie.has_no_emitters
    ]
    return Findings(tuple(warnings), tuple(notes))


def _outside(network: str, limits: tuple[float, float], quantity: _Quantity) -> Caution | None:
    """Return a warning if a quantity is outside of its range, else nothing."""
    low, high = (limit * quantity.factor for limit in limits)
    is_below, is_above = quantity.most < low / TOLERANCE, quantity.least > high * TOLERANCE
    if not quantity.is_known or not (is_below or is_above):
        return None
    trained = figure(low) if low == high else f"{figure(low)} to {figure(high)}"
    sentence = (
        f"{quantity.found}; the network '{network}' was trained for {trained} {quantity.unit}. "
        + (quantity.below if is_below else quantity.above)
    )
    return Caution(quantity.codes[is_above], sentence, quantity.measured)


def _quantities(movie: Conditions) -> dict[str, _Quantity]:
    """Return what can be compared, by the names of the ranges."""
    calibration = movie.calibration
    quantities = {
        "local_density_per_um2": _density(movie.local_density_per_px),
        "sigma_px": _width(calibration.sigma_px),
        "mean_photons": _signal(calibration),
        "background_photons": _background(calibration),
    }
    if not movie.has_no_emitters:
        return quantities
    is_given = calibration.sigma_px.uncertainty == 0
    known = ("sigma_px", "background_photons") if is_given else ("background_photons",)
    return {name: quantities[name] for name in known}


def _density(density: Estimate) -> _Quantity:
    return _Quantity(
        density,
        *_bounds(density),
        name="density of emitters",
        found=f"Where there are emitters, {said(density)} of them per camera pixel are on at once",
        unit="per camera pixel",
        below="So much of what is in the image may be chance: compare it with another part of the "
        "movie. A program that fits single emitters serves as well for such a movie.",
        above="Emitters are missed, and structures that lie close run together. Let fewer of them "
        "be on at once, or leave the densest frames out with --frames.",
        codes=("density-low", "density-high"),
        factor=(NOMINAL_PIXEL_NM / 1000) ** 2,
    )


def _width(sigma_px: Estimate) -> _Quantity:
    return _Quantity(
        sigma_px,
        *_bounds(sigma_px),
        name="width of the spots",
        found=f"The spots have a standard deviation of {said(sigma_px)} camera pixels",
        unit="pixels",
        below="Such spots hardly tell where in its pixel an emitter is, and positions may be drawn "
        "to a grid. Bin less, magnify more, or train a network for such spots.",
        above="An emitter may be taken for several, or missed. Check the focus, bin the movie "
        "2 × 2 and give twice the pixel size, or train a network for such spots.",
        codes=("spots-narrow", "spots-wide"),
    )


def _signal(calibration: Calibration) -> _Quantity:
    signal = calibration.signal_photons
    return _Quantity(
        signal,
        *_light_bounds(signal, calibration.excess_noise_factor),
        name="brightness of the emitters",
        found=f"An emitter gives {_light_said(signal, calibration.excess_noise_factor)} in a frame",
        unit="photons",
        below="Most emitters will be missed and the image is grainy. Expose longer, excite more "
        "strongly, or add up neighbouring frames.",
        above="An emitter may be taken for several. Expose for a shorter time, or train a network "
        "for such light.",
        codes=("emitters-faint", "emitters-bright"),
    )


def _background(calibration: Calibration) -> _Quantity:
    background = calibration.background_photons
    light = _light_said(background, calibration.excess_noise_factor)
    return _Quantity(
        background,
        *_light_bounds(background, calibration.excess_noise_factor),
        name="background",
        found=f"The background is {light} per camera pixel",
        unit="photons",
        below="It may have been subtracted before, which spoils what the noise tells: give the raw "
        "movie as the camera wrote it.",
        above="Emitters drown in its noise: many are missed, and some of what is found is chance. "
        "Illuminate a thinner layer (TIRF, HILO) or filter out more stray light.",
        codes=("background-low", "background-high"),
    )


def _bounds(estimate: Estimate) -> tuple[float, float]:
    """Return the smallest and the largest value that an estimate admits."""
    reach = CERTAIN * estimate.uncertainty
    return estimate.value - reach, estimate.value + reach


def _light_bounds(effective: Estimate, excess: Estimate | None) -> tuple[float, float]:
    """Return the smallest and the largest number of detected photons."""
    least, most = _bounds(effective)
    if excess is not None:
        return least * excess.value, most * excess.value
    return least, most * MOST_EXCESS_NOISE


def _light_said(effective: Estimate, excess: Estimate | None) -> str:
    if excess is not None:
        factor = excess.value
        detected = Estimate(effective.value * factor, effective.uncertainty * factor)
        return f"{said(detected)} photons"
    return f"{said(effective)} effective photons (of an EMCCD, twice as many detected ones)"


def _crowding(movie: Conditions) -> list[Caution]:
    sigma_px, density = movie.calibration.sigma_px, movie.local_density_per_px
    per_spot = 4 * math.pi * sigma_px.value**2 * density.value
    error = per_spot * math.hypot(
        2 * sigma_px.uncertainty / sigma_px.value, density.uncertainty / max(density.value, 1e-12)
    )
    if not per_spot - CERTAIN * error > CROWDED:
        return []
    sentence = (
        f"Where there are emitters, {said(Estimate(per_spot, error))} of them share the area of "
        f"one spot; more than {CROWDED:g} cannot be told apart in a frame. The image shows where "
        "structures are, but the finest detail is lost and the table is incomplete. Let fewer "
        "emitters be on at once, or leave the densest frames out with --frames."
    )
    return [Caution("crowded", sentence, Estimate(per_spot, error))]
