from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch

from deepstorm.api.example_sources import example_source, sparse_frames
from deepstorm.api.fine_tune import (
    fine_tune,
    fine_tuning_settings,
    held_back_loss,
    with_frames,
)
from deepstorm.api.simulate import Simulation, simulate
from deepstorm.api.training_result import TrainingResult
from deepstorm.errors import InputError
from deepstorm.evaluation.matching import match_emitters
from deepstorm.io.images import write_image
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.psf_images import write_psf
from deepstorm.models.architectures import NativeNetworkSettings, RefinementSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import load_network, save_network
from deepstorm.models.refinement import Refiner
from deepstorm.models.scaling import PhotonScaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.image_scene import ImageScene
from deepstorm.simulation.measured import MeasuredPsf
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings
from deepstorm.structures import Localizations
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.composites import CompositeExamples, CompositeSource
from deepstorm.training.examples.regions import RegionExamples, RegionSource
from deepstorm.training.network import TrainingSettings

TINY = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)
SMALL = RefinementSettings(width=2, half_width=2, quarter_width=2)
PIXEL_NM = 120.0


def conditions(density_per_um2: float, frames: int = 14) -> SimulationSettings:
    return SimulationSettings(
        frames=frames,
        height_px=48,
        width_px=48,
        pixel_size_nm=PIXEL_NM,
        density_per_um2=density_per_um2,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=3000.0, relative_spread=0.2),
        psf=GaussianPsf(sigma_nm=130.0),
        background=Background(mean_photons=10.0),
        camera=ScmosCamera(),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Simulation]:
    """Sparse frames, their table, and their truth."""
    folder = tmp_path_factory.mktemp("sparse")
    movie, truth = folder / "sparse.tif", folder / "truth.csv"
    return movie, truth, simulate(conditions(0.12), movie=movie, truth=truth, seed=1)


def read(path: Path) -> npt.NDArray[Any]:
    with open_movie(path) as movie:
        return movie.read(0, movie.shape[0])


def recipe(folder: Path, start_from: str = "", peak_rate: float = 1e-3) -> Path:
    path = folder / "tiny.toml"
    path.write_text(f"""
name = "tiny"
steps = 3
validate_every = 3
validation_batches = 2
precision = "float32"
{start_from}
[network]
kind = "native"
width = 4
deep_width = 8
upsampling = 2
[examples]
kind = "composites"
region_px = 16
summed = 3
batch_size = 4
[schedule]
kind = "cosine"
peak_rate = {peak_rate}
warmup_steps = 1
""")
    return path


def test_emitters_are_found_where_no_table_says_where_they_are(
    files: tuple[Path, Path, Simulation],
) -> None:
    simulation = files[2]
    sparse = sparse_frames(read(files[0]), PIXEL_NM)
    pairs = match_emitters(sparse.emitters, simulation.truth, 60.0)
    assert len(pairs.truth_index) == len(sparse.emitters) > 0.4 * len(simulation.truth)
    assert isinstance(sparse.ambiguous, Localizations)
    assert sparse.instrument.sigma_px == pytest.approx(130 / 120, rel=0.15)


def test_a_given_table_is_taken_as_it_is(files: tuple[Path, Path, Simulation]) -> None:
    simulation = files[2]
    doubtful = simulation.truth.select(np.arange(3))
    sparse = sparse_frames(read(files[0]), PIXEL_NM, simulation.truth, doubtful)
    assert sparse.emitters is simulation.truth
    assert sparse.ambiguous is doubtful


def test_sources_tell_what_networks_have_seen(
    files: tuple[Path, Path, Simulation], tmp_path: Path
) -> None:
    settings = fine_tuning_settings(recipe(tmp_path))
    source = example_source(with_frames(settings, files[0], pixel_size_nm=PIXEL_NM))
    assert isinstance(source, CompositeSource)
    low, high = source.validity()["local_density_per_um2"]
    # In units of camera pixels of 100 nm: up to three frames, turned and chosen for emitters.
    assert 0.1 < low < high < 3
    made = fine_tune(files[0], tmp_path / "run", settings, pixel_size_nm=PIXEL_NM)
    card = load_network(made.path)[1]
    assert card.validity == source.validity()


@pytest.mark.parametrize("name", [None, "paper"])
def test_settings_of_known_frames(name: str | None, files: tuple[Path, Path, Simulation]) -> None:
    movie, truth, _ = files
    settings = with_frames(fine_tuning_settings(name), movie, positions=truth)
    assert isinstance(settings.examples, RegionExamples)
    assert settings.examples.pixel_size_nm == PIXEL_NM  # from the file
    assert settings.examples.regions_per_frame == 500
    assert settings.examples.min_emitters == 7
    if name is None:
        assert (settings.examples.region_px, settings.start_from) == (28, "native")
        assert (settings.time_budget_s, settings.name) == (900, "fine-tuned")
    else:
        assert (settings.examples.region_px, settings.network.kind) == (26, "deepstorm")
        assert settings.loss.kind == "blurred_spikes"
        assert settings.scaling.kind == "minmax"


def test_settings_from_scratch(files: tuple[Path, Path, Simulation]) -> None:
    settings = with_frames(fine_tuning_settings(from_scratch=True, steps=7), files[0])
    assert (settings.start_from, settings.steps, settings.time_budget_s) == (None, 7, 0)
    assert isinstance(settings.examples, CompositeExamples)
    assert isinstance(settings.schedule, CosineSchedule)
    assert settings.schedule.peak_rate > 5e-4
    assert with_frames(fine_tuning_settings(), files[0]).start_from == "native"


def test_sides_are_what_the_network_takes(files: tuple[Path, Path, Simulation]) -> None:
    for name in ("native", "paper", None):
        settings = with_frames(fine_tuning_settings(name), files[0])
        assert isinstance(settings.examples, CompositeExamples)
        assert settings.examples.side_px % build(settings.network).divisor == 0


def start(folder: Path) -> Path:
    """Write a network with a refiner, to go on from."""
    torch.manual_seed(1)
    module = build(TINY)
    module.refiner = Refiner(SMALL)
    card = NetworkCard(name="start", network=TINY, scaling=PhotonScaling(), refinement=SMALL)
    save_network(folder / "start.safetensors", module, card)
    return folder / "start.safetensors"


def tuned(
    folder: Path, movie: Path, peak_rate: float, output: Path | None = None
) -> tuple[TrainingSettings, TrainingResult]:
    path = recipe(folder, f"start_from = '{start(folder)}'", peak_rate)
    settings = fine_tuning_settings(path, steps=25)
    return settings, fine_tune(movie, folder / "run", settings, output=output)


def test_a_better_network_is_kept_with_the_refiner(
    files: tuple[Path, Path, Simulation], tmp_path: Path
) -> None:
    settings, made = tuned(tmp_path, files[0], 3e-3, tmp_path / "mine.safetensors")
    assert made.improved, (made.before, made.after)
    assert len(made.before) == len(made.after) == 1
    assert made.path == tmp_path / "mine.safetensors"
    assert made.path.read_bytes() == (tmp_path / "run/best.safetensors").read_bytes()
    network, card = load_network(made.path)
    assert (card.name, card.refinement, card.training["refiner_of"]) == ("tiny", SMALL, "start")
    source = example_source(with_frames(settings, files[0]))
    assert held_back_loss(network, source, settings) == pytest.approx(made.after[0])
    first = load_network(tmp_path / "start.safetensors")[0]
    assert held_back_loss(first, source, settings) == pytest.approx(made.before[0])
    # Again: nothing is left to do, and the result is the same.
    again = fine_tune(files[0], tmp_path / "run", settings)
    assert (again.before, again.after) == (made.before, made.after)


def test_the_initial_network_is_kept_where_training_spoils_it(
    files: tuple[Path, Path, Simulation], tmp_path: Path
) -> None:
    settings, _ = tuned(tmp_path, files[0], 3e-3)
    good = tmp_path / "good.safetensors"
    (tmp_path / "run/best.safetensors").replace(good)
    wild = {"kind": "cosine", "peak_rate": 0.5, "final_rate": 0.5, "warmup_steps": 1}
    spoiling = TrainingSettings.model_validate(
        settings.model_dump() | {"start_from": str(good), "schedule": wild}
    )
    made = fine_tune(files[0], tmp_path / "other", spoiling)
    assert not made.improved
    assert made.figures()["improved"] is False
    assert made.path == tmp_path / "other" / "result.safetensors"
    assert made.path.read_bytes() == good.read_bytes()


def test_the_network_it_started_from_may_be_gone_when_it_ends(
    files: tuple[Path, Path, Simulation], tmp_path: Path
) -> None:
    settings, made = tuned(tmp_path, files[0], 3e-3)
    (tmp_path / "start.safetensors").unlink()
    again = fine_tune(files[0], tmp_path / "run", settings)
    assert (again.before, again.after) == (made.before, made.after)
    assert load_network(again.path)[1].refinement == SMALL


def test_what_sparse_frames_gave_is_told(
    files: tuple[Path, Path, Simulation], tmp_path: Path
) -> None:
    settings = fine_tuning_settings(recipe(tmp_path))
    figures = fine_tune(files[0], tmp_path / "run", settings).figures()
    assert 10 <= figures["emitters"] <= len(files[2].truth)
    # Three regions in each sum, of which two are chosen for their emitters.
    assert 2 * 0.12 < figures["composites_density_per_um2"] < 1.5
    few = settings.model_copy(update={"examples": RegionExamples(region_px=28, min_emitters=0)})
    other = fine_tune(files[0], tmp_path / "other", few, positions=files[1])
    assert "emitters" not in other.figures()


def test_beginning_anew_leaves_no_older_result(
    files: tuple[Path, Path, Simulation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = fine_tuning_settings(recipe(tmp_path))
    result = fine_tune(files[0], tmp_path / "run", settings).path
    assert result.is_file()

    def die(step: int, _: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(files[0], tmp_path / "run", settings, resume=False, on_step=die)
    assert not result.exists()


def test_beginning_anew_does_not_delete_the_network_it_starts_from(
    files: tuple[Path, Path, Simulation], tmp_path: Path
) -> None:
    settings = fine_tuning_settings(recipe(tmp_path))
    result = fine_tune(files[0], tmp_path / "run", settings).path
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    further = fine_tuning_settings(recipe(tmp_path, f"start_from = '{result}'"))
    with pytest.raises(InputError, match="would replace the input"):
        fine_tune(files[0], tmp_path / "run", further, resume=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == kept


def test_a_measured_psf_is_read_for_regions(tmp_path: Path) -> None:
    y, x = np.mgrid[-20:21, -20:21]
    write_psf(tmp_path / "psf.tif", np.exp(-(x**2 + y**2) / 50)[None].astype(np.float32), 25.0)
    simulation = conditions(4.0, frames=2).model_copy(
        update={"psf": MeasuredPsf(path=str(tmp_path / "psf.tif"))}
    )
    examples = RegionExamples(
        simulation=simulation, region_px=16, regions_per_frame=8, min_emitters=1, batch_size=4
    )
    source = example_source(TrainingSettings(network=TINY, examples=examples))
    assert torch.from_numpy(source.batch(0).frames).isfinite().all()
    assert source.validity()["sigma_px"][0] > 0.5


def test_an_image_is_read_for_regions(tmp_path: Path) -> None:
    """Emitters lie in the left half, where the image has light."""
    image = np.zeros((48, 48), np.float32)
    image[:, :24] = 1
    write_image(tmp_path / "image.tif", image, PIXEL_NM)
    scene = ImageScene(path=str(tmp_path / "image.tif"))
    simulation = conditions(4.0, frames=4).model_copy(update={"scene": scene})
    examples = RegionExamples(
        simulation=simulation, region_px=16, regions_per_frame=8, min_emitters=1, batch_size=4
    )
    source = example_source(TrainingSettings(network=TINY, examples=examples))
    assert isinstance(source, RegionSource)
    emitters = source.known.emitters
    assert len(emitters) > 10
    assert emitters.x_nm.max() <= 25 * PIXEL_NM


def test_a_table_may_be_that_of_sparse_frames(files: tuple[Path, Path, Simulation]) -> None:
    movie, truth, _ = files
    settings = with_frames(fine_tuning_settings(), movie, positions=truth, sparse=True)
    assert isinstance(settings.examples, CompositeExamples)
    assert settings.examples.positions_path == str(truth)
    assert settings.examples.pixel_size_nm == PIXEL_NM


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tif"):
        fine_tune("nowhere.tif", tmp_path / "run")
    with pytest.raises(InputError, match="trains a refiner"):
        fine_tuning_settings("refinement")
    tifffile.imwrite(tmp_path / "sizeless.tif", np.zeros((2, 30, 30), np.uint16))
    with pytest.raises(InputError, match="`pixel_size_nm=100`"):
        fine_tune(tmp_path / "sizeless.tif", tmp_path / "run")
    assert not (tmp_path / "run").exists()
