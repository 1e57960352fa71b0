from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstorm.api.calibrate import CalibrationOutputs, calibrate
from deepstorm.api.known_values import known_values, read_known_values
from deepstorm.api.simulate import simulate
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import InputError
from deepstorm.simulation.simulator import SimulationSettings

MEASURED = {"value": 2.0, "uncertainty": 0.1}
RECORD = {
    "adu_per_photon": MEASURED,
    "zero_adu": {"value": 100.0, "uncertainty": 2.0},
    "sigma_px": {"value": 1.2, "uncertainty": 0.02},
    "signal_photons": {"value": 700.0, "uncertainty": 20.0},
    "pixel_size_nm": 110.0,
    "notes": [],
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "calibration.json"
    path.write_text(json.dumps(RECORD | changes))
    return path


def test_a_calibration_of_ours_is_known(tmp_path: Path) -> None:
    movie = simulate(SimulationSettings(frames=40), seed=1).frames
    assert movie is not None
    path = tmp_path / "c.json"
    found = calibrate(
        movie,
        pixel_size_nm=100,
        known=KnownValues(offset_adu=100.0, adu_per_electron=2.07),
        outputs=CalibrationOutputs(record=path),
    )
    known = read_known_values(path)
    assert known.adu_per_photon == pytest.approx(found.adu_per_photon.value)
    assert known.zero_adu == pytest.approx(found.zero_adu.value)
    assert known.sigma_px == pytest.approx(found.sigma_px.value)
    assert known.adu_per_electron == pytest.approx(2.07)
    assert known.offset_adu == pytest.approx(100.0, abs=2)
    assert known.pixel_size_nm == 100


def test_only_what_is_the_microscopes_is_taken(tmp_path: Path) -> None:
    expected = KnownValues(adu_per_photon=2.0, zero_adu=100.0, sigma_px=1.2, pixel_size_nm=110.0)
    assert read_known_values(written(tmp_path)) == expected


@pytest.mark.parametrize("uncertainty", [None, 1.0])
def test_what_is_uncertain_is_measured_again(uncertainty: float | None, tmp_path: Path) -> None:
    vague = {"value": 2.0, "uncertainty": uncertainty}
    camera = read_known_values(written(tmp_path, adu_per_photon=vague))
    assert camera == KnownValues(sigma_px=1.2, pixel_size_nm=110.0)
    assert read_known_values(written(tmp_path, sigma_px=vague)).sigma_px is None


def test_numbers_take_precedence(tmp_path: Path) -> None:
    known = known_values(written(tmp_path), sigma_px=1.5, offset_adu=-3.0)
    assert (known.sigma_px, known.offset_adu, known.zero_adu) == (1.5, -3.0, 100.0)
    assert known_values() == KnownValues()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize(
    "name", ["adu_per_photon", "adu_per_electron", "sigma_px", "pixel_size_nm"]
)
def test_numbers_that_have_to_be_positive(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"`{name}={value:g}` cannot be used; .*positive"):
        KnownValues(**{name: value})


@pytest.mark.parametrize("name", ["zero_adu", "offset_adu"])
def test_numbers_that_have_to_be_finite(name: str) -> None:
    with pytest.raises(InputError, match=f"`{name}=inf` cannot be used; .*finite"):
        known_values(**{name: np.inf})
    assert getattr(known_values(**{name: -5.0}), name) == -5


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        "{}",
        '{"frames": 3, "network": {"name": "native"}}',
        json.dumps(RECORD | {"sigma_px": 1.2}),
        json.dumps(RECORD | {"sigma_px": {"value": "wide", "uncertainty": None}}),
        json.dumps(RECORD | {"zero_adu": {"value": float("nan"), "uncertainty": 0}}),
        json.dumps(RECORD | {"pixel_size_nm": -100}),
    ],
)
def test_files_that_are_no_calibration(content: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"calibration '.*c\.json'"):
        read_known_values(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no calibration"):
        read_known_values(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not readable JSON"):
        read_known_values(tmp_path / "b.json")
    with pytest.raises(InputError, match="not readable JSON"):
        read_known_values(tmp_path)
