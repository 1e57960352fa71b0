from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import deepstorm
from deepstorm.api.calibrate import CalibrationOutputs, calibrate, calibration_record
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import InputError
from deepstorm.io.movies.writing import write_movie
from deepstorm.structures import Estimate


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    settings = deepstorm.SimulationSettings(frames=40, height_px=32, width_px=40)
    frames = deepstorm.simulate(settings, seed=1).frames
    assert frames is not None
    return frames


def test_a_file_and_an_array_give_the_same(movie: np.ndarray, tmp_path: Path) -> None:
    write_movie(tmp_path / "movie.tif", movie, 100)
    of_file = calibration_record(calibrate(tmp_path / "movie.tif"))
    assert of_file == calibration_record(calibrate(movie, pixel_size_nm=100))
    assert of_file["pixel_size_nm"] == pytest.approx(100)
    assert of_file["frames"] == 40


def test_outputs_are_written(movie: np.ndarray, tmp_path: Path) -> None:
    broken = movie.copy()
    broken[:, 5, 7] = 60_000
    outputs = CalibrationOutputs(record=tmp_path / "c.json", picture=tmp_path / "c.png")
    found = calibrate(broken, outputs=outputs)
    assert json.loads((tmp_path / "c.json").read_text()) == calibration_record(found)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert calibration_record(found)["hot_pixels"] == [[7, 5]]
    with pytest.raises(InputError, match="exists"):
        calibrate(movie, outputs=outputs)
    calibrate(movie[:1], outputs=outputs, overwrite=True)


def test_what_could_not_be_measured_is_null_in_json(tmp_path: Path) -> None:
    outputs = CalibrationOutputs(record=tmp_path / "c.json", picture=tmp_path / "c.png")
    record = calibration_record(calibrate(np.full((3, 9, 9), 7, np.uint8), outputs=outputs))
    assert record["drift_px"] == {"value": 0.0, "uncertainty": None}
    assert record["sigma_nm"] is None
    json.dumps(record, allow_nan=False)


def test_parts_and_known_values(movie: np.ndarray) -> None:
    region = deepstorm.Region(4, 0, 24, 32)
    known = KnownValues(sigma_px=1.1)
    found = calibrate(movie, frames=slice(0, 20), region=region, known=known)
    assert found.frames == 20
    assert found.hot_pixels.shape == (32, 24)
    assert found.sigma_px == Estimate(1.1, 0.0)


@pytest.mark.parametrize(
    "mistake",
    [
        {"pixel_size_nm": float("nan")},
        {"pixel_size_nm": 0.5},
        {"known": KnownValues(pixel_size_nm=0.5)},
        {"outputs": CalibrationOutputs(record="c.txt")},
        {"outputs": CalibrationOutputs(picture="c.jpg")},
    ],
)
def test_mistakes_are_told(movie: np.ndarray, mistake: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"not credible|end its name"):
        calibrate(movie, **mistake)  # type: ignore[arg-type]


def test_the_movie_is_never_replaced(movie: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "movie.tif"
    write_movie(path, movie, 100)
    path = path.rename(tmp_path / "movie.png")
    with pytest.raises(InputError, match="would replace the input"):
        calibrate(path, outputs=CalibrationOutputs(picture=path), overwrite=True)
