from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import deepstorm
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.scenes import UniformScene

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    settings = deepstorm.SimulationSettings(frames=20, height_px=32, width_px=32)
    deepstorm.simulate(settings, movie=tmp_path / "movie.tif")
    return tmp_path / "movie.tif"


def test_a_table_is_the_default(run: Run, movie: Path) -> None:
    code, out, _ = run("calibrate", str(movie), "--gain", "2")
    assert code == 0
    for name in ("sigma_px", "adu_per_photon", "excess_noise_factor", "hot_pixels", "±"):
        assert name in out
    assert "read noise" in out.lower()


def test_json_and_files(run: Run, movie: Path) -> None:
    record, picture = movie.with_name("c.json"), movie.with_name("c.png")
    words = ("-o", str(record), "--picture", str(picture), "--sigma", "1.1", "--zero", "100")
    part = ("--roi", "0,0,24,30", "--frames", "0:12")
    code, out, _ = run("calibrate", str(movie), *words, *part, "--json")
    assert code == 0
    printed = json.loads(out)
    assert printed == json.loads(record.read_text())
    assert printed["sigma_px"] == {"value": 1.1, "uncertainty": 0.0}
    assert printed["sigma_nm"]["value"] == pytest.approx(110)
    assert printed["frames"] == 12
    assert picture.stat().st_size > 10_000


def test_the_psf_of_single_emitters(run: Run, tmp_path: Path) -> None:
    settings = deepstorm.SimulationSettings(
        frames=12,
        height_px=80,
        width_px=80,
        density_per_um2=0.06,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=4000),
    )
    deepstorm.simulate(settings, movie=tmp_path / "sparse.tif", truth=tmp_path / "truth.csv")
    psf = tmp_path / "psf.tif"
    words = ("--psf", str(psf), "--positions", str(tmp_path / "truth.csv"), "--psf-radius", "5")
    code, out, err = run("calibrate", str(tmp_path / "sparse.tif"), *words, "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert printed["sigma_nm"] == pytest.approx(110, rel=0.06)
    assert printed["psf_pixel_size_nm"] == pytest.approx(25)
    assert psf.stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--z-step", "100", "--positions", "t.csv"), "--positions and --z-step can only be given"),
        (("--psf-radius", "7"), "--psf-radius can only be given together with --psf"),
        (("--psf", "p.tif", "-o", "c.json"), "--output cannot be given together with --psf"),
        (("--psf", "p.tif", "--gain", "2", "--sigma", "1"), "--gain and --sigma cannot be given"),
    ],
)
def test_options_that_would_do_nothing(run: Run, words: tuple[str, ...], message: str) -> None:
    code, _, told = run("calibrate", "movie.tif", *words)
    assert code == 1
    assert message in told
