from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from deepstorm.api.simulate import simulate
from deepstorm.io.movies.opening import open_movie
from deepstorm.simulation.simulator import SimulationSettings

Run = Callable[..., tuple[int, str, str]]


def test_a_reconstruction_takes_known_values_and_warns(run: Run, tmp_path: Path) -> None:
    movie = tmp_path / "movie.tif"
    settings = SimulationSettings(frames=4, height_px=16, width_px=16)
    simulate(settings, seed=1, movie=movie)
    known = ("--adu-per-photon", "4.1", "--zero", "99", "--offset", "100", "--gain", "2.05")
    code, out, message = run("reconstruct", str(movie), *known, "--sigma", "4", "--json")
    assert code == 0
    record = json.loads(out)
    values = record["calibration"]
    assert values["adu_per_photon"] == {"value": 4.1, "uncertainty": 0.0}
    assert values["zero_adu"]["value"] == 99
    assert values["sigma_px"]["value"] == 4
    assert values["excess_noise_factor"]["value"] == pytest.approx(2)
    assert record["photons"] == "detected"
    assert record["warnings"]
    assert message.splitlines() == [f"warning: {warning}" for warning in record["warnings"]]
    assert json.loads((tmp_path / "movie_deepstorm.json").read_text())["calibration"] == values


def test_an_engine_that_is_not_known_is_refused(run: Run, tmp_path: Path) -> None:
    movie = tmp_path / "movie.tif"
    simulate(SimulationSettings(frames=4, height_px=16, width_px=16), seed=1, movie=movie)
    before = set(tmp_path.iterdir())
    code, _, message = run("reconstruct", str(movie), "--engine", "abacus")
    assert code == 1
    assert "'abacus' is not known; there are: torch" in message
    assert set(tmp_path.iterdir()) == before


def test_a_calibration_is_handed_over(run: Run, tmp_path: Path) -> None:
    movie, values = tmp_path / "movie.tif", tmp_path / "values.json"
    settings = SimulationSettings(frames=20, height_px=24, width_px=24, density_per_um2=2.0)
    simulate(settings, seed=1, movie=movie)
    assert run("calibrate", str(movie), "-o", str(values), "--sigma", "1.1")[0] == 0
    code, out, _ = run(
        "reconstruct", str(movie), "--calibration", str(values), "--frames", "0:3", "--json"
    )
    assert code == 0
    found, known = json.loads(out)["calibration"], json.loads(values.read_text())
    assert found["sigma_px"] == {"value": 1.1, "uncertainty": 0.0}
    assert found["adu_per_photon"]["value"] == known["adu_per_photon"]["value"]
    code, _, message = run("reconstruct", str(movie), "--calibration", str(movie))
    assert code == 1
    assert "calibration" in message


def test_windows_make_a_time_lapse(run: Run, tmp_path: Path) -> None:
    movie = tmp_path / "movie.tif"
    settings = SimulationSettings(frames=6, height_px=16, width_px=16)
    simulate(settings, seed=1, movie=movie)
    code, out, message = run("reconstruct", str(movie), "--window", "3", "--json")
    assert code == 0, message
    lapse = tmp_path / "movie_deepstorm_windows.tif"
    assert json.loads(out)["outputs"]["time_lapse"] == str(lapse)
    with open_movie(lapse) as images:
        assert images.shape == (2, 128, 128)
    other = str(tmp_path / "other.tif")
    code, out, _ = run("reconstruct", str(movie), "--window", "4", "--step", "2", "-o", other)
    assert code == 0
    assert "time lapse" in out
    with open_movie(tmp_path / "other_windows.tif") as images:
        assert images.shape == (2, 128, 128)
    code, _, message = run("reconstruct", str(movie), "--step", "2")
    assert code == 1
    assert "--window" in message


def test_a_calibration_is_never_replaced(run: Run, tmp_path: Path) -> None:
    movie, values = tmp_path / "movie.tif", tmp_path / "values.json"
    settings = SimulationSettings(frames=20, height_px=24, width_px=24, density_per_um2=2.0)
    simulate(settings, seed=1, movie=movie)
    assert run("calibrate", str(movie), "-o", str(values))[0] == 0
    before = values.read_bytes()
    words = ("--calibration", str(values), "-o", str(tmp_path / "values.tif"), "--overwrite")
    code, _, message = run("reconstruct", str(movie), *words)
    assert code == 1
    assert "would replace the input" in message
    assert values.read_bytes() == before


@pytest.mark.parametrize(
    "words", [("reconstruct", "."), ("reconstruct", "movie.tif", "-o", "."), ("simulate", ".")]
)
def test_a_folder_in_place_of_a_file(run: Run, words: tuple[str, ...]) -> None:
    code, _, message = run(*words)
    assert code == 1
    assert "'.' is a folder" in message
    assert "; give the name of a file" in message


@pytest.mark.parametrize("option", ["--settings", "--positions"])
def test_what_a_simulation_reads_is_never_replaced(run: Run, option: str, tmp_path: Path) -> None:
    given = tmp_path / "movie_truth.csv"
    given.write_text("mine")
    code, _, message = run(
        "simulate", str(tmp_path / "movie.tif"), option, str(given), "--overwrite"
    )
    assert code == 1
    assert "would replace the input" in message


@pytest.mark.parametrize("name", ["x.ome.tif", "x.OME.TIF", "x.tif", "x.ome.tiff"])
def test_outputs_are_named_after_the_movie_without_its_ending(
    run: Run, name: str, tmp_path: Path
) -> None:
    settings = SimulationSettings(frames=4, height_px=16, width_px=16)
    simulate(settings, seed=1, movie=tmp_path / "m.tif")
    (tmp_path / "m.tif").rename(tmp_path / name)
    assert run("reconstruct", str(tmp_path / name))[0] == 0
    made = {path.name for path in tmp_path.iterdir()} - {name}
    assert made == {f"x_deepstorm{suffix}" for suffix in (".tif", ".csv", ".png", ".json")}


def test_a_movie_that_holds_less_than_announced_warns(run: Run, tmp_path: Path) -> None:
    settings = SimulationSettings(frames=4, height_px=16, width_px=16)
    simulate(settings, seed=1, movie=tmp_path / "m.tif")
    with open_movie(tmp_path / "m.tif") as movie:
        pixels = movie.read(0, 4)
    tifffile.imwrite(
        tmp_path / "n.tif",
        pixels,
        photometric="minisblack",
        metadata=None,
        description="ImageJ=1.54f\nimages=120\nframes=120\nunit=micron\n",
        resolution=(10, 10),
        resolutionunit="NONE",
    )
    code, _, message = run("reconstruct", str(tmp_path / "n.tif"))
    assert code == 0
    assert "warning: 'n.tif' announces 120 frames but holds 4" in message
    record = json.loads((tmp_path / "n_deepstorm.json").read_text())
    assert any("announces 120 frames but holds 4" in warning for warning in record["warnings"])


def test_what_is_whole_of_a_movie_that_was_cut_off_is_used(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    simulate(SimulationSettings(frames=8, height_px=16, width_px=16), seed=1, movie=path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    code, _, message = run("reconstruct", str(path))
    assert code == 1
    found = re.search(r"whole: (--frames) (0:\d)$", message.strip())
    assert found
    code, _, message = run("reconstruct", str(path), *found.groups())
    assert code == 0, message
