"""``deepstorm train`` on frames of one's own: what is printed, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepstorm.api.like
import numpy as np
import pytest

from deepstorm.api.simulate import simulate
from deepstorm.io.tables.localizations import read_localizations, write_localizations
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import load_network, save_network
from deepstorm.models.scaling import PhotonScaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings
from deepstorm.structures import Localizations
from deepstorm.training.likeness import LikeSettings

Run = Callable[..., tuple[int, str, str]]

TINY = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)
RECIPE = """
name = "tiny"
steps = 2
validate_every = 2
validation_batches = 1
precision = "float32"
[network]
kind = "native"
width = 4
deep_width = 8
upsampling = 2
[examples]
kind = "{kind}"
region_px = 16
batch_size = 4
"""


def make(folder: Path, name: str, density: float, seed: int = 1, frames: int = 12) -> None:
    """Simulate a movie NAME.tif with a table NAME.csv."""
    settings = SimulationSettings(
        frames=frames,
        height_px=48,
        width_px=48,
        pixel_size_nm=120.0,
        density_per_um2=density,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=3000.0, relative_spread=0.2),
        psf=GaussianPsf(sigma_nm=130.0),
        background=Background(mean_photons=10.0),
        camera=ScmosCamera(),
    )
    simulate(settings, movie=folder / f"{name}.tif", truth=folder / f"{name}.csv", seed=seed)


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    make(folder, "sparse", 0.12)
    make(folder, "other", 0.12, seed=2)
    make(folder, "dense", 3.0)
    make(folder, "few", 0.05, frames=3)
    for kind in ("composites", "regions", "simulated"):
        text = RECIPE.format(kind=kind)
        if kind == "simulated":
            text = text.replace("region_px = 16\nbatch_size = 4", "patch_px = 16")
        (folder / f"{kind}.toml").write_text(text)
    (folder / "columns.csv").write_text("frame,x [nm]\n1,100\n2,300\n")
    return folder


@pytest.fixture
def here(movies: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for file in movies.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("composites.toml", "--sparse", "sparse.tif"),
        ("simulated.toml", "--sparse", "sparse.tif", "--positions", "sparse.csv"),
        ("regions.toml", "--frames", "dense.tif", "--positions", "dense.csv"),
    ],
)
def test_each_way_makes_a_network(words: tuple[str, ...], run: Run, here: Path) -> None:
    code, out, message = run("train", *words, "-o", "mine.safetensors", "--json")
    assert code == 0, message
    figures = json.loads(out)
    assert figures["network"] == "mine.safetensors"
    assert figures["validation_loss_before"] is None
    assert figures["validation_loss_after"] > 0
    assert load_network("mine.safetensors")[1].name == "tiny"
    assert Path(figures["report"]).is_file()


def test_a_training_that_did_not_help_is_said(run: Run, here: Path) -> None:
    save_network(
        here / "start.safetensors",
        build(TINY),
        NetworkCard(name="start", network=TINY, scaling=PhotonScaling()),
    )
    recipe = (here / "composites.toml").read_text()
    wild = '[schedule]\nkind = "cosine"\npeak_rate = 1e-12\nfinal_rate = 1e-12\nwarmup_steps = 1\n'
    (here / "wild.toml").write_text('start_from = "start.safetensors"\n' + recipe + wild)
    code, out, message = run("train", "wild.toml", "--sparse", "sparse.tif", "--json")
    assert code == 0
    figures = json.loads(out)
    if not figures["improved"]:  # by rounding it may be
        assert "did not make the network better" in message
        assert load_network(figures["network"])[1].name == "start"
    assert figures["validation_loss_before"] == pytest.approx(figures["validation_loss_after"])


def test_frames_of_known_emitters_in_the_wrong_units(run: Run, here: Path) -> None:
    table = read_localizations("dense.csv")
    write_localizations(here / "px.csv", table.shifted(1e5, 1e5))
    code, _, message = run(
        "train", "regions.toml", "--frames", "dense.tif", "--positions", "px.csv"
    )
    assert code == 1
    assert "check the pixel size and the unit" in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing says what to train on"),
        (("--sparse", "sparse.tif", "--like", "dense.tif"), "--sparse and --like are different"),
        (("--positions", "sparse.csv"), "nothing says what to train on"),
        (("native", "--positions", "sparse.csv"), "give the frames that it is of with --frames"),
        (("native", "--from-scratch"), "belong to --sparse, --frames or --like"),
        (("--frames", "dense.tif"), "give their table with --positions"),
        (("native", "--tune", "all"), "--tune can only be given together with --like"),
        (
            ("--sparse", "sparse.tif", "--structures", "any", "--tune", "all"),
            "--tune and --structures can only",
        ),
        (("--like", "dense.tif", "--time-budget", "1m"), "not both; give one of them"),
        (("native", "--like", "dense.tif"), "--like takes neither a recipe"),
        (("composites",), "none were given: name a movie"),
        (("--sparse", "nowhere.tif"), "nowhere.tif"),
        (("--sparse", "sparse.tif", "--positions", "nowhere.csv"), "nowhere.csv"),
        (("--sparse", "sparse.tif", "--positions", "columns.csv"), "columns.csv"),
        (("--sparse", "sparse.tif", "--positions", "other.csv"), "do not belong to the frames"),
        (
            ("--sparse", "sparse.tif", "--positions", "sparse.csv", "--pixel-size", "80"),
            "if the pixel size were",
        ),
        (("--sparse", "sparse.tif", "--pixel-size", "-3"), "pixel size is -3"),
        (("--sparse", "dense.tif"), "the frames are not sparse"),
        (("--sparse", "dense.tif", "--positions", "dense.csv"), "of the emitters are alone"),
        (("--sparse", "few.tif"), "at least 10 are needed"),
        (("--frames", "dense.tif", "--positions", "other.csv"), "do not belong to the frames"),
        (("--frames", "few.tif", "--positions", "few.csv"), "use denser frames or lower"),
    ],
)
def test_what_cannot_be_used_is_named(
    words: tuple[str, ...], said: str, run: Run, here: Path
) -> None:
    code, out, message = run("train", *words, "--steps", "1")
    assert (code, out) == (1, "")
    assert said in message
    assert not (here / "runs").exists()


def test_a_movie_to_be_like_is_passed_on(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def train_like(
        movie: Path, output: None, folder: Path, settings: LikeSettings, **others: Any
    ) -> deepstorm.api.like.Adaptation:
        seen.update(others | {"movie": movie, "folder": folder, "settings": settings})
        before, after = np.array([30.0, 32.0, 31.0]), np.array([30.5, 32.5, 31.0])
        assert output is None
        return deepstorm.api.like.Adaptation(folder / "result.safetensors", before, after)

    monkeypatch.setattr(deepstorm.api.like, "train_like", train_like)
    words = ("--structures", "any", "--time-budget", "5m", "--from-scratch", "--pixel-size", "99")
    code, out, message = run("train", "--like", "dense.tif", *words, "--json")
    assert code == 0
    assert "did not make the network better" in message
    assert json.loads(out)["network"] == "runs/like-dense/result.safetensors"
    settings = seen["settings"]
    assert (settings.structures, settings.tune, settings.from_scratch) == ("any", "refiner", True)
    assert (settings.time_budget_s, seen["pixel_size_nm"]) == (300, 99)
    assert seen["folder"] == Path("runs/like-dense")


def test_a_table_without_emitters_is_too_few(run: Run, here: Path) -> None:
    empty = np.empty(0)
    write_localizations(here / "empty.csv", Localizations(empty.astype(np.int64), empty, empty))
    code, _, message = run("train", "--sparse", "sparse.tif", "--positions", "empty.csv")
    assert code == 1
    assert "at least 10 are needed" in message or "holds no" in message
