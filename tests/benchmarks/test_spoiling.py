from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.simulator import SimulationSettings
from spoiling import TROUBLES, spoiled
from troubles import drawn_settings, drawn_troubles, verdict

SETTINGS = SimulationSettings(
    frames=20, height_px=32, width_px=32, density_per_um2=2, camera=ScmosCamera()
)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_trouble_spoils_a_movie_and_nothing_else(trouble: str) -> None:
    clean = spoiled(SETTINGS, 3, (), np.random.default_rng(0))
    for variant in range(4):
        take = spoiled(SETTINGS, 3, [trouble], np.random.default_rng(variant))
        frames, scale = take.frames(), SETTINGS.pixel_size_nm / take.pixel_nm
        assert frames.shape == (20, 32 * scale, 32 * scale)
        assert np.isfinite(frames).all()
        assert frames.shape != clean.counts.shape or (frames != clean.frames()).any()
        assert len(take.visible(1.0)) <= len(clean.truth)
    again = spoiled(SETTINGS, 3, [trouble], np.random.default_rng(variant))
    np.testing.assert_array_equal(frames, again.frames())


def test_all_troubles_at_once_leave_a_movie() -> None:
    take = spoiled(SETTINGS, 3, TROUBLES, np.random.default_rng(0))
    assert np.isfinite(take.frames()).all()


def test_what_is_drawn_lies_in_the_range_of_the_network() -> None:
    for number in range(5):
        rng = np.random.default_rng(number)
        drawn = drawn_settings(rng)
        assert 0.8 <= drawn.psf.sigma_nm / drawn.pixel_size_nm <= 2.2
        assert 100 <= drawn.brightness.mean_photons <= 10_000
        names = drawn_troubles(number, list(TROUBLES), rng)
        assert names[0] == list(TROUBLES)[number]
        assert len(set(names)) == len(names) <= 3


def _found(precision: float, image: float, *codes: str) -> dict[str, Any]:
    found = {"precision": precision, "recall": 0.9, "image": image}
    return found | {"codes": list(codes), "true": [90, 110]}


@pytest.mark.parametrize(
    ("spoiled_movie", "wrong"),
    [
        (_found(0.75, 100), set()),
        (_found(0.7, 100), {"failed"}),
        (_found(0.7, 130, "drift"), {"failed", "miscounted", "told"}),
        (_found(0.9, 70), {"miscounted"}),
        ({"refused": "no", "codes": ["refused"]}, {"failed", "told"}),
    ],
)
def test_failures_and_what_is_told_of_them(spoiled_movie: dict[str, Any], wrong: set[str]) -> None:
    clean = {"precision": 0.9, "recall": 0.9, "image": 100, "codes": [], "true": [100, 100]}
    said = verdict({"clean": clean, "spoiled": spoiled_movie})
    kinds = ("failed", "lost", "miscounted", "told", "alarm")
    assert {name for name in kinds if said[name]} == wrong
