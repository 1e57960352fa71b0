"""Movies with the troubles that people's movies have, drawn at random: right, or told why not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.simulator import SimulationSettings
from spoiling import spoiled
from takes import measured

SETTINGS = SimulationSettings(
    frames=32, height_px=48, width_px=48, density_per_um2=1, camera=ScmosCamera()
)
SEED = 6
# How far a spoiled movie's precision may lie below the clean one's, and by which part its image
# count, or what is calibrated, beside it.
WORSE, MISCOUNTED, MISMEASURED = 0.05, 0.15, 0.3
# What may be said of a movie that cannot be used.
NOT_RAW = {"noise-shared", "noise-off", "noise-missing"}
TOO_DENSE_AT_FIRST = {"density-high", "crowded", "counts-disagree", "dense-start"}
# Seeds by trouble: other seeds, other variants.
MASKED = {"field_stop": [1], "splitter_gap": [3], "cleared": [4]}
ODD_FRAMES = {"white_frames": [1, 2], "zero_frames": [2], "dark_frames": [1]}
PROCESSED = {"filtered": [1, 3], "denoised": [2], "enlarged": [1, 2]}
CONVERTED = {"eight_bits": [1], "temporal_median_off": [0, 2]}
FAULTY = {"faulty_lines": [0, 1], "burnt_in": [2]}


@pytest.fixture(scope="module")
def clean() -> dict[str, Any]:
    return measured(spoiled(SETTINGS, SEED, (), np.random.default_rng(0)))


def outcome(trouble: str, variant: int) -> dict[str, Any]:
    return measured(spoiled(SETTINGS, SEED, [trouble], np.random.default_rng(variant)))


def faults(found: dict[str, Any], clean: dict[str, Any]) -> list[str]:
    """Return what is worse than in the clean movie by more than it may be."""
    if "refused" in found:
        return [found["refused"]]
    per_emitter = clean["image"] / clean["true"][1]
    least, most = (per_emitter * true for true in found["true"])
    wrong = []
    if (found["precision"] or 0) < clean["precision"] - WORSE:
        wrong.append(f"precision {found['precision']}, clean {clean['precision']:.3f}")
    if not (1 - MISCOUNTED) * least <= found["image"] <= (1 + MISCOUNTED) * most:
        wrong.append(f"image {found['image']:.0f}, expected {least:.0f} to {most:.0f}")
    return wrong


def mismeasured(found: dict[str, Any], clean: dict[str, Any], *names: str) -> list[str]:
    """Return what is calibrated otherwise than in the clean movie, beyond its uncertainty."""
    wrong = []
    for name in names:
        seen, true = (movie["calibration"][name] for movie in (found, clean))
        known = seen["uncertainty"] is not None
        allowed = max(2 * (seen["uncertainty"] or 0), MISMEASURED * true["value"])
        if known and abs(seen["value"] - true["value"]) > allowed:
            wrong.append(f"{name} {seen}, clean {true['value']:.3g}")
    return wrong


def each(variants: dict[str, list[int]]) -> pytest.MarkDecorator:
    """Run a test for each variant of some troubles."""
    pairs = [(trouble, variant) for trouble, seeds in variants.items() for variant in seeds]
    return pytest.mark.parametrize(("trouble", "variant"), pairs)


def test_the_clean_movie_is_right_and_nothing_is_said(clean: dict[str, Any]) -> None:
    assert clean["codes"] == []
    assert clean["precision"] > 0.9
    assert clean["image"] == pytest.approx(clean["true"][0], rel=0.2)


@each(MASKED)
def test_there_is_only_light_where_light_came_in(
    trouble: str, variant: int, clean: dict[str, Any]
) -> None:
    wrong = faults(outcome(trouble, variant), clean)
    assert not wrong, wrong


@pytest.mark.parametrize("variant", [1, 2])
def test_cosmic_rays_change_nothing(variant: int, clean: dict[str, Any]) -> None:
    found = outcome("cosmic_rays", variant)
    told = "adu_per_photon", "signal_photons", "sigma_px"
    wrong = faults(found, clean) + mismeasured(found, clean, *told)
    assert not wrong, wrong
    assert found["recall"] > clean["recall"] - WORSE


@each(ODD_FRAMES)
def test_odd_frames_are_left_out(trouble: str, variant: int, clean: dict[str, Any]) -> None:
    found = outcome(trouble, variant)
    wrong = faults(found, clean) + mismeasured(found, clean, "adu_per_photon", "sigma_px")
    assert not wrong, wrong
    assert found["rows_in_hidden_frames"] == 0


@each(PROCESSED | CONVERTED)
def test_movies_that_are_not_raw_are_told(
    trouble: str, variant: int, clean: dict[str, Any]
) -> None:
    found = outcome(trouble, variant)
    wrong = faults(found, clean)
    assert NOT_RAW & set(found["codes"]) or not wrong, (wrong, found["codes"])


@pytest.mark.parametrize("variant", [1, 2])
def test_movies_without_noise_are_told(variant: int, clean: dict[str, Any]) -> None:
    found = outcome("noise_free", variant)
    wrong = faults(found, clean)
    assert NOT_RAW & set(found["codes"]) or not wrong, (wrong, found["codes"])


@each(FAULTY)
def test_faulty_places_give_no_emitters(trouble: str, variant: int, clean: dict[str, Any]) -> None:
    wrong = faults(outcome(trouble, variant), clean)
    assert not wrong, wrong


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_an_uneven_background_is_no_emitter(variant: int, clean: dict[str, Any]) -> None:
    found = outcome("uneven_background", variant)
    told = "density_per_um2", "signal_photons", "sigma_px"
    wrong = faults(found, clean) + mismeasured(found, clean, *told)
    assert not wrong, wrong


@pytest.mark.parametrize("variant", [1, 2])
def test_bleaching_is_no_blinking(variant: int, clean: dict[str, Any]) -> None:
    found = outcome("bleaching", variant)
    told = "density_per_um2", "signal_photons", "sigma_px", "adu_per_photon"
    wrong = faults(found, clean) + mismeasured(found, clean, *told)
    assert not wrong, wrong


@pytest.mark.parametrize("variant", [0, 1])
def test_a_dense_start_is_told_or_does_no_harm(variant: int, clean: dict[str, Any]) -> None:
    found = outcome("dense_start", variant)
    wrong = faults(found, clean) + mismeasured(found, clean, "sigma_px")
    assert TOO_DENSE_AT_FIRST & set(found["codes"]) or not wrong, (wrong, found["codes"])
