from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.calibration.inspection import Conditions
from deepstorm.reconstruction.suitability import TOLERANCE, Findings, judge
from deepstorm.structures import Calibration, Estimate

RANGES = {
    "local_density_per_um2": (0.1, 16.0),
    "sigma_px": (0.8, 2.2),
    "mean_photons": (100.0, 10_000.0),
    "background_photons": (1.0, 1000.0),
    "pixel_size_nm": (50.0, 200.0),
}
UNKNOWN = Estimate(0.0, float("inf"))


def calibration(**changes: object) -> Calibration:
    good = np.zeros((64, 64), bool)
    usual = Calibration(
        adu_per_photon=Estimate(2.0, 0.05),
        zero_adu=Estimate(100.0, 1.0),
        sigma_px=Estimate(1.2, 0.02),
        background_photons=Estimate(20.0, 1.0),
        background_unevenness=Estimate(0.1, 0.05),
        signal_photons=Estimate(800.0, 50.0),
        density_per_px=Estimate(0.02, 0.002),
        drift_px=Estimate(0.0, 0.05),
        hot_pixels=good,
        dead_pixels=good,
        frames=200,
        pixel_size_nm=100.0,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def findings(
    *,
    local_density_per_px: Estimate = Estimate(0.03, 0.005),  # noqa: B008
    has_no_emitters: bool = False,
    saturated_share: float = 0.0,
    upsampling: int = 8,
    ranges: dict[str, tuple[float, float]] = RANGES,
    **changes: object,
) -> Findings:
    conditions = Conditions(
        calibration=calibration(**changes),
        local_density_per_px=local_density_per_px,
        has_no_emitters=has_no_emitters,
        saturated_share=saturated_share,
        highest_adu=4095.0,
        upsampling=upsampling,
    )
    return judge("native", ranges, conditions)


def the_warning(found: Findings) -> str:
    (warning,) = found.warnings
    assert found.notes == ()
    assert warning.sentence.endswith(".")
    assert "  " not in warning.sentence
    return warning.sentence


def test_a_usual_movie_is_not_complained_about() -> None:
    assert findings() == Findings((), ())


@pytest.mark.parametrize(
    ("name", "value", "found", "trained"),
    [
        ("sigma_px", 0.4, "0.4 ± 0.02 camera pixels", "0.8 to 2.2 pixels"),
        ("sigma_px", 3.0, "3 ± 0.02 camera pixels", "0.8 to 2.2 pixels"),
        ("signal_photons", 20.0, "20 ± 0.02 effective photons", "100 to 10,000 photons"),
        ("signal_photons", 30_000.0, "30,000 ± 0.02 effective", "100 to 10,000 photons"),
        ("background_photons", 0.2, "0.2 ± 0.02 effective photons", "1 to 1,000 photons"),
        ("background_photons", 5000.0, "5,000 ± 0.02 effective", "1 to 1,000 photons"),
    ],
)
def test_what_lies_outside_is_told_with_its_range(
    name: str, value: float, found: str, trained: str
) -> None:
    warning = the_warning(findings(**{name: Estimate(value, 0.02)}))
    assert found in warning
    assert f"'native' was trained for {trained}" in warning


@pytest.mark.parametrize(("error", "is_told"), [(0.3, False), (1.2, True), (float("inf"), False)])
def test_a_gain_that_is_hardly_known(error: float, is_told: bool) -> None:
    told = [caution.code for caution in findings(adu_per_photon=Estimate(2.0, error)).warnings]
    assert told == (["gain-uncertain"] if is_told else [])


def test_a_background_far_above_the_usual_one_is_told() -> None:
    conditions = Conditions(calibration(), Estimate(0.03, 0.005), False, 0.0, 4095.0, 8)
    (caution,) = judge("native", RANGES, conditions, times_brighter=3.14).warnings
    assert caution.code == "background-uneven"
    assert "3.1 times" in caution.sentence


def test_below_and_above_mean_different_things() -> None:
    narrow = the_warning(findings(sigma_px=Estimate(0.4, 0.02)))
    wide = the_warning(findings(sigma_px=Estimate(3.0, 0.02)))
    assert "Bin less" in narrow
    assert "focus" in wide


def test_densities_of_a_card_are_per_nominal_pixel() -> None:
    """16 per µm² with pixels of 100 nm are 0.16 per pixel, whatever the pixels of the movie."""
    at_edge = findings(local_density_per_px=Estimate(0.17, 0.0), pixel_size_nm=50.0)
    assert at_edge == Findings((), ())
    beyond = findings(local_density_per_px=Estimate(0.2, 0.0), pixel_size_nm=200.0)
    assert "0.001 to 0.16 per camera pixel" in the_warning(beyond)


@pytest.mark.parametrize("uncertainty", [0.6, float("inf")])
def test_what_is_uncertain_is_not_warned_of(uncertainty: float) -> None:
    found = findings(sigma_px=Estimate(3.5, uncertainty))
    assert found.warnings == ()
    assert len(found.notes) == (uncertainty == float("inf"))


def test_what_was_not_measured_is_noted() -> None:
    found = findings(signal_photons=UNKNOWN, local_density_per_px=UNKNOWN)
    assert found.warnings == ()
    assert [note.split(" could")[0] for note in found.notes] == [
        "The density of emitters",
        "The brightness of the emitters",
    ]


@pytest.mark.parametrize(
    ("effective", "excess", "warned"),
    [
        (60.0, None, False),  # 120 photons, if it is an EMCCD
        (60.0, 1.0, True),
        (60.0, 2.0, False),
        (40.0, None, True),
        (8000.0, None, False),  # 8000 photons, if it is not
        (8000.0, 2.0, True),
    ],
)
def test_the_more_generous_reading_of_light_counts(
    effective: float, excess: float | None, warned: bool
) -> None:
    factor = None if excess is None else Estimate(excess, 0.1)
    found = findings(signal_photons=Estimate(effective, 1.0), excess_noise_factor=factor)
    assert len(found.warnings) == warned
    if warned and excess == 2.0:
        assert "16,000 ± 2 photons" in found.warnings[0].sentence


def test_a_quantity_without_a_range_is_not_compared() -> None:
    assert findings(ranges={}, signal_photons=Estimate(1e6, 1.0)).warnings == ()
    assert findings(ranges={"bits": (1.0, 2.0)}).warnings == ()


@given(
    low=st.floats(0.1, 10),
    width=st.floats(0, 10),
    value=st.floats(1e-3, 100),
    uncertainty=st.floats(0, 50) | st.just(float("inf")),
)
def test_warnings_are_for_what_is_certainly_outside(
    low: float, width: float, value: float, uncertainty: float
) -> None:
    found = findings(ranges={"sigma_px": (low, low + width)}, sigma_px=Estimate(value, uncertainty))
    below = value + 2 * uncertainty < low / TOLERANCE
    above = value - 2 * uncertainty > (low + width) * TOLERANCE
    about_width = [
        warning.sentence for warning in found.warnings if warning.code.startswith("spots")
    ]
    assert bool(about_width) == (below or above)


@pytest.mark.parametrize(
    ("drift_px", "upsampling", "warned"),
    [
        (Estimate(1.0, 0.1), 8, True),
        (Estimate(0.3, 0.05), 8, True),
        (Estimate(0.3, 0.05), 1, False),  # less than half a pixel of the image
        (Estimate(0.3, 0.15), 8, False),  # may be chance
        (UNKNOWN, 8, False),
    ],
)
def test_drift_that_smears_the_image(drift_px: Estimate, upsampling: int, warned: bool) -> None:
    found = findings(drift_px=drift_px, upsampling=upsampling)
    assert len(found.warnings) == warned
    if warned:
        in_nm = f"moved by {drift_px.value * 100:g} ± {drift_px.uncertainty * 100:g} nm"
        assert in_nm in the_warning(found)


def test_many_faulty_pixels() -> None:
    hot, dead = np.zeros((2, 64, 64), bool)
    hot[0, :5], dead[3, :4] = True, True
    assert "9 of 4096 camera pixels (0.22 %)" in the_warning(
        findings(hot_pixels=hot, dead_pixels=dead)
    )
    assert findings(hot_pixels=hot).warnings == ()


def test_saturation_and_nothing_to_see() -> None:
    warning = the_warning(findings(saturated_share=0.0012))
    assert "0.12 % of the pixels" in warning
    assert "4095 counts" in warning
    blank = findings(
        has_no_emitters=True,
        signal_photons=UNKNOWN,
        density_per_px=UNKNOWN,
        local_density_per_px=UNKNOWN,
    )
    assert "chance" in the_warning(blank)


def test_what_chance_says_of_emitters_is_not_told() -> None:
    """A calibration may find faint, dense or moving emitters where there are none."""
    by_chance: dict[str, Any] = {
        "sigma_px": Estimate(4.0, 0.1),
        "signal_photons": Estimate(1.0, 0.1),
        "density_per_px": Estimate(9.0, 0.1),
        "local_density_per_px": Estimate(9.0, 0.1),
        "drift_px": Estimate(3.0, 0.1),
    }
    assert "chance" in the_warning(findings(has_no_emitters=True, **by_chance))
    bright = findings(has_no_emitters=True, background_photons=Estimate(5000.0, 1.0), **by_chance)
    said = [warning.sentence.split(" is ")[0].split(" stands")[0] for warning in bright.warnings]
    assert said == ["The background", "Nothing that blinks"]
    given = by_chance | {"sigma_px": Estimate(4.0, 0.0)}
    assert "camera pixels" in findings(has_no_emitters=True, **given).warnings[0].sentence


def test_crowded_spots_are_told_once() -> None:
    crowded = findings(local_density_per_px=Estimate(0.15, 0.01), sigma_px=Estimate(2.0, 0.02))
    assert "7.54 ± 0.52 of them share the area of one spot" in the_warning(crowded)
    beyond = findings(local_density_per_px=Estimate(0.4, 0.01), sigma_px=Estimate(2.0, 0.02))
    assert "trained for" in the_warning(beyond)
