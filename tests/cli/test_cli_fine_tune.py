"""``deepstorm fine-tune``: what is printed, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

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
    tifffile.imwrite(folder / "sizeless.tif", np.zeros((2, 30, 30), np.uint16))
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
        ("sparse.tif", "--recipe", "composites.toml"),
        ("sparse.tif", "--recipe", "simulated.toml", "--positions", "sparse.csv", "--sparse"),
        ("dense.tif", "--recipe", "regions.toml", "--positions", "dense.csv"),
    ],
)
def test_each_way_makes_a_network(words: tuple[str, ...], run: Run, here: Path) -> None:
    code, out, message = run("fine-tune", *words, "-o", "mine.safetensors", "--json")
    assert code == 0, message
    figures = json.loads(out)
    assert figures["network"] == "mine.safetensors"
    assert figures["before"] is None
    assert figures["after"] > 0
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
    code, out, message = run("fine-tune", "sparse.tif", "--recipe", "wild.toml", "--json")
    assert code == 0
    figures = json.loads(out)
    if not figures["improved"]:  # by rounding it may be
        assert "did not improve the network" in message
        assert load_network(figures["network"])[1].name == "start"
    assert figures["before"] == pytest.approx(figures["after"])


def test_frames_of_known_emitters_in_the_wrong_units(run: Run, here: Path) -> None:
    table = read_localizations("dense.csv")
    write_localizations(here / "px.csv", table.shifted(1e5, 1e5))
    code, _, message = run(
        "fine-tune", "dense.tif", "--recipe", "regions.toml", "--positions", "px.csv"
    )
    assert code == 1
    assert "check the pixel size and the unit" in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.tif",), "nowhere.tif"),
        (("sparse.tif", "--time-budget", "1m"), "--steps or a --time-budget, not both"),
        (("sparse.tif", "--recipe", "refinement"), "trains a refiner"),
        (("sparse.tif", "--positions", "nowhere.csv"), "nowhere.csv"),
        (("sparse.tif", "--sparse", "--positions", "columns.csv"), "columns.csv"),
        (("sparse.tif", "--sparse", "--positions", "other.csv"), "do not belong to the frames"),
        (
            ("sparse.tif", "--sparse", "--positions", "sparse.csv", "--pixel-size", "80"),
            "if the pixel size were",
        ),
        (("sparse.tif", "--pixel-size", "-3"), "--pixel-size -3 is not credible"),
        (("sizeless.tif",), "for instance --pixel-size 100 (in nm)"),
        (("dense.tif",), "the table of all their emitters, --positions"),
        (("dense.tif", "--sparse", "--positions", "dense.csv"), "of the emitters are isolated"),
        (("few.tif",), "at least 10 are needed"),
        (("dense.tif", "--positions", "other.csv"), "do not belong to the frames"),
        (("few.tif", "--positions", "few.csv"), "use denser frames or lower"),
    ],
)
def test_what_cannot_be_used_is_named(
    words: tuple[str, ...], said: str, run: Run, here: Path
) -> None:
    code, out, message = run("fine-tune", *words, "--steps", "1")
    assert (code, out) == (1, "")
    assert said in message
    assert not (here / "runs").exists()


def test_a_table_without_emitters_is_too_few(run: Run, here: Path) -> None:
    empty = np.empty(0)
    write_localizations(here / "empty.csv", Localizations(empty.astype(np.int64), empty, empty))
    code, _, message = run("fine-tune", "sparse.tif", "--positions", "empty.csv", "--sparse")
    assert code == 1
    assert "at least 10 are needed" in message or "holds no" in message
