"""What is wrong with a movie is told; undisturbed movies give no false alarm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

import deepstorm
from deepstorm.arrays import Float64Array
from deepstorm.calibration.assumption import KnownValues
from deepstorm.estimates import Estimate
from deepstorm.fit import Fit
from deepstorm.reconstruction.explaining import explain
from deepstorm.simulation.camera import EmccdCamera, ScmosCamera
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background

Frames = npt.NDArray[Any]
CODES = {
    "noise-missing",
    "noise-shared",
    "noise-off",
    "background-taken-off",
    "spots-misfit",
    "spots-not-round",
    "light-unexplained",
    "counts-disagree",
}


@cache
def movie(*, emccd: bool = False) -> Frames:
    settings = deepstorm.SimulationSettings(
        frames=60,
        height_px=48,
        width_px=48,
        scene=UniformScene(),
        density_per_um2=1,
        camera=EmccdCamera() if emccd else ScmosCamera(),
        background=Background(mean_photons=20),
    )
    return deepstorm.simulate(settings, seed=6).frames


def codes(frames: Frames, pixel_size_nm: float = 100, **given: float) -> set[str]:
    result = deepstorm.reconstruct(
        frames, pixel_size_nm=pixel_size_nm, known=deepstorm.known_values(**given)
    )
    assert result.fit is not None
    return {caution.code for caution in result.warnings} & CODES


@pytest.mark.parametrize("emccd", [False, True])
def test_an_undisturbed_movie_is_explained(emccd: bool) -> None:
    assert codes(movie(emccd=emccd)) == set()


KINDS: dict[str, tuple[Callable[[Frames], Frames], set[str]]] = {
    "filtered": (lambda x: ndimage.gaussian_filter(x, (0, 0.5, 0.5)), {"noise-shared"}),
    "median": (lambda x: ndimage.median_filter(x, (1, 3, 3)), {"noise-shared", "noise-missing"}),
    "mean over time off": (lambda x: x - x.mean(axis=0), {"background-taken-off"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_movie_that_was_processed_is_told(kind: str) -> None:
    change, wanted = KINDS[kind]
    assert wanted & codes(np.round(change(movie().astype(float))).astype(np.int32))


def test_an_enlarged_movie_is_told() -> None:
    assert "noise-shared" in codes(movie()[:40].repeat(2, 1).repeat(2, 2), 50)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_wrong_gain_is_told(factor: float) -> None:
    zero, slope = ScmosCamera().noise_line()
    assert codes(movie(), adu_per_photon=factor * slope, zero_adu=zero) == {"noise-off"}


def test_a_wrong_width_is_told() -> None:
    assert "spots-misfit" in codes(movie(), sigma_px=0.8)


def clean_fit(**changes: Any) -> Fit:
    """Return figures without anything to say."""
    one, zero, blocks = Estimate(1.0, 0.02), Estimate(0.0, 0.02), np.zeros((3, 4))
    figures: dict[str, Any] = {
        "frames": np.arange(4),
        "frame_variance": np.ones(4),
        "variance": one,
        "near_variance": one,
        "away_variance": one,
        "noise_variance": one,
        "noise_adu2": Estimate(100.0, 1.0),
        "correlation_x": zero,
        "correlation_y": zero,
        "correlation_diagonal": zero,
        "shared_x": zero,
        "shared_y": zero,
        "fineness": one,
        "unexplained_share": zero,
        "spots": 30,
        "widening": zero,
        "elongation": zero,
        "elongation_degrees": 0.0,
        "spot_residual": np.zeros((13, 13)),
        "steady_variance": Estimate(1.1, 0.03),
        "pattern_variance": 0.0,
        "block_px": 16,
        "variance_map": blocks + 1,
        "unexplained_map": blocks,
        "significance_map": blocks,
        "emitters": 1000.0,
        "calibrated_emitters": Estimate(900.0, 100.0),
    }
    return Fit(**(figures | changes))


def light_in_a_corner() -> dict[str, Float64Array]:
    corner = np.zeros((3, 4))
    corner[2, 1] = 1
    return {"unexplained_map": 0.5 * corner, "significance_map": 20 * corner}


WITH_PATTERN = {"steady_variance": Estimate(4.0, 0.1)}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"fineness": Estimate(0.7, 0.02)}, "noise-shared"),
        ({"fineness": Estimate(0.7, 0.1)}, None),
        ({"fineness": Estimate(1.3, 0.02)}, "noise-shared"),
        ({"shared_y": Estimate(0.3, 0.02)}, "noise-shared"),
        ({"noise_variance": Estimate(0.1, 0.02)}, "noise-missing"),
        ({"noise_adu2": Estimate(0.01, 0.0)}, "noise-missing"),
        ({"noise_variance": Estimate(1.9, 0.05), **WITH_PATTERN}, "noise-off"),
        ({"noise_variance": Estimate(1.9, 0.5), **WITH_PATTERN}, None),
        (
            {"noise_variance": Estimate(2.4, 0.05), "pattern_variance": 0.8, **WITH_PATTERN},
            None,
        ),
        ({"near_variance": Estimate(0.5, 0.05)}, "noise-off"),
        ({"steady_variance": Estimate(0.5, 0.03)}, "background-taken-off"),
        ({"widening": Estimate(0.4, 0.05)}, "spots-misfit"),
        ({"widening": Estimate(-0.4, 0.05)}, "spots-misfit"),
        ({"elongation": Estimate(0.3, 0.05)}, "spots-not-round"),
        (light_in_a_corner(), "light-unexplained"),
        ({"emitters": 9000.0}, "counts-disagree"),
        ({"emitters": 100.0}, "counts-disagree"),
        ({"emitters": 9000.0, "calibrated_emitters": Estimate(900.0, math.inf)}, None),
        ({"emitters": 9000.0, "calibrated_emitters": Estimate(900.0, 600.0)}, None),
        ({"emitters": 50_000.0, "calibrated_emitters": Estimate(900.0, 600.0)}, "counts-disagree"),
    ],
)
def test_figures_and_what_they_mean(changes: dict[str, Any], code: str | None) -> None:
    calibration = deepstorm.calibrate(movie())
    found = explain(clean_fit(**changes), calibration, KnownValues())
    assert [caution.code for caution in found] == ([] if code is None else [code])
    if code is not None:
        assert found[0].measured is not None
        assert math.isfinite(found[0].measured.value)


def test_a_place_is_named() -> None:
    calibration = deepstorm.calibrate(movie())
    found = explain(clean_fit(**light_in_a_corner()), calibration, KnownValues())
    assert "1 of 12 parts of the field (16 × 16 pixels from x 16, y 32)" in found[0].sentence


def test_nothing_is_said_of_emitters_where_nothing_blinks() -> None:
    calibration = deepstorm.calibrate(movie())
    bad = clean_fit(emitters=9000.0, elongation=Estimate(0.3, 0.01))
    assert explain(bad, calibration, KnownValues(), ["nothing-blinks"]) == []
    counted = explain(bad, calibration, KnownValues(), ["density-high"])
    assert [caution.code for caution in counted] == ["spots-not-round"]


@pytest.mark.parametrize("noise", [0.2, 0.3])
def test_little_noise_is_no_news_of_a_background_that_is_not_known(noise: float) -> None:
    calibration = deepstorm.calibrate(movie())
    low = clean_fit(noise_variance=Estimate(noise, 0.01), away_variance=Estimate(noise, 0.01))
    assert explain(low, calibration, KnownValues())
    unsure = replace(calibration, background_photons=Estimate(20.0, 8.0))
    assert explain(low, unsure, KnownValues()) == []


def test_a_gain_that_no_camera_has() -> None:
    calibration = replace(deepstorm.calibrate(movie()), excess_noise_factor=Estimate(0.4, 0.03))
    known = KnownValues(adu_per_electron=5.0)
    assert [c.code for c in explain(clean_fit(), calibration, known)] == ["noise-off"]
    assert explain(clean_fit(), calibration, KnownValues()) == []
