from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepstorm.api.simulate import simulate
from deepstorm.api.train import check_places, train, training_settings
from deepstorm.errors import InputError
from deepstorm.models.checkpoint import load_network
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.training.course.loss_log import Validation

TINY = """
name = "tiny"
steps = 4
precision = "float32"
validate_every = 2
validation_batches = 1
[network]
kind = "native"
width = 4
deep_width = 8
upsampling = 4
[scaling]
kind = "photons"
[examples]
kind = "simulated"
patch_px = 12
scenes = 1
frames_per_scene = 2
[loss]
kind = "spike_cross_entropy"
[schedule]
kind = "cosine"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def test_a_recipe_becomes_a_network(recipe: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    output = tmp_path / "mine.safetensors"
    made = train(
        recipe, tmp_path / "run", output=output, on_step=lambda step, loss: steps.append(step)
    )
    assert made.path == output
    assert made.improved
    assert made.figures() == {
        "network": str(output),
        "losses": str(tmp_path / "run" / "losses.csv"),
        "report": str(tmp_path / "run" / "report.html"),
    }
    network, card = load_network(output)
    assert (network.upsampling, card.name) == (4, "tiny")
    assert card.validity["sigma_px"] == (0.8, 2.2)
    assert steps == [1, 2, 3, 4]


def test_a_trained_network_says_how_it_is_computed_in_8_bits(recipe: Path, tmp_path: Path) -> None:
    card = TrainedNetwork.open(train(recipe, tmp_path / "run").path).card
    assert len(card.activation_ranges) > 4
    assert max(card.activation_ranges) > 0


def test_a_finished_training_is_not_done_again(recipe: Path, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run")
    steps: list[int] = []
    train(recipe, tmp_path / "run", on_step=lambda step, loss: steps.append(step))
    assert steps == []


@pytest.mark.parametrize("name", ["native", "paper", "paper-short"])
def test_the_embedded_recipes_are_valid(name: str) -> None:
    settings = training_settings(name, steps=7)
    assert settings.steps == 7
    assert settings.network.upsampling == 8


def test_the_papers_recipe_is_the_papers() -> None:
    settings = training_settings("paper")
    assert settings.network.kind == "deepstorm"
    assert settings.examples.kind == "regions"
    assert (settings.examples.region_px, settings.examples.regions_per_frame) == (26, 500)
    assert settings.examples.batch_size == 16
    assert settings.steps == 100 * settings.validate_every
    assert settings.loss.kind == "blurred_spikes"


def test_training_on_files(tmp_path: Path) -> None:
    movie, truth = tmp_path / "frames.tif", tmp_path / "truth.csv"
    simulation = SimulationSettings(
        frames=4, height_px=20, width_px=20, density_per_um2=5, scene=UniformScene()
    )
    simulate(simulation, movie=movie, truth=truth)
    path = tmp_path / "regions.toml"
    examples = f"""[examples]
kind = "regions"
frames_path = '{movie}'
positions_path = '{truth}'
region_px = 12
regions_per_frame = 8
min_emitters = 1
batch_size = 4
"""
    start, rest = TINY.split("[examples]")
    path.write_text(start + examples + "[loss]" + rest.split("[loss]")[1])
    network, _ = load_network(train(path, tmp_path / "run").path)
    assert all(np.isfinite(p.detach().numpy()).all() for p in network.parameters())


def test_outputs_are_checked_before_training(recipe: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        train(recipe, tmp_path / "run", output=taken)
    with pytest.raises(InputError, match="is a file"):
        train(recipe, taken)
    assert not (tmp_path / "run").exists()


def test_what_the_first_process_has_reserved_does_not_stop_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "network.safetensors"
    output.touch()
    with pytest.raises(InputError, match="exists"):
        check_places(tmp_path, output, overwrite=False)
    monkeypatch.setenv("RANK", "1")
    check_places(tmp_path, output, overwrite=False)


def test_an_unknown_recipe() -> None:
    with pytest.raises(InputError, match="native, paper"):
        training_settings("no-such-recipe")


def test_a_loss_that_does_not_fit_is_refused(recipe: Path) -> None:
    recipe.write_text(TINY.replace("spike_cross_entropy", "blurred_spikes"))
    with pytest.raises(InputError, match="is trained with the loss 'spike_cross_entropy'"):
        training_settings(recipe)


def test_a_device_that_is_not_there_is_refused(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not known"):
        train(recipe, tmp_path / "run", device="gpu")
    assert not (tmp_path / "run").exists()


def test_no_steps_are_refused(recipe: Path) -> None:
    with pytest.raises(InputError, match="steps"):
        training_settings(recipe, steps=0)


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_training_leaves_curves_and_a_page(recipe: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def watch(progress: Validation) -> None:
        seen.append((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))

    recipe.write_text(recipe.read_text().replace('"tiny"', '"<tiny> & co"'))
    train(recipe, tmp_path / "run", on_validation=watch)
    assert left_in(tmp_path / "run") == {
        "best.safetensors",
        "losses.csv",
        "losses.png",
        "report.html",
        "state.safetensors",
    }
    assert ["under way" in text for text in seen] == [True, False]
    assert "ended: all steps are done" in seen[-1]
    assert "Training of &lt;tiny&gt; &amp; co" in seen[-1]
    for part in ("<svg", "Jaccard index", "true emitters", "examples.patch_px", "PyTorch"):
        assert part in seen[-1]
    with Image.open(tmp_path / "run" / "losses.png") as picture:
        picture.load()
        assert min(picture.size) > 100


def test_curves_for_tensorboard_are_kept_where_asked_for(recipe: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    train(recipe, tmp_path / "run", tensorboard=True)
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_a_training_that_is_not_there_is_not_gone_on_with(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no training to resume"):
        train(recipe, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_another_training_in_the_folder_is_named_with_both_ways_out(
    recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(recipe, run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    longer = training_settings(recipe, steps=6)
    words = r"other settings \(steps: 4 there, 6 now\); choose another `folder` .* `resume=False`"
    for resume in (None, True):
        with pytest.raises(InputError, match=words):
            train(longer, run, resume=resume)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_training_begins_anew(recipe: Path, tmp_path: Path) -> None:
    run, steps = tmp_path / "run", list[int]()
    train(recipe, run)
    (run / "notes.txt").write_text("mine")
    other = training_settings(recipe, steps=2)
    train(other, run, resume=False, on_step=lambda step, loss: steps.append(step))
    assert steps == [1, 2]
    assert len((run / "losses.csv").read_text().splitlines()) == 2
    assert (run / "notes.txt").read_text() == "mine"
    train(other, run, resume=True, on_step=lambda step, loss: steps.append(step))
    assert steps == [1, 2]


def test_nothing_is_deleted_for_a_training_that_cannot_begin(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(recipe, run)
    before = left_in(run)
    recipe.write_text(TINY.replace("patch_px = 12", "patch_px = 12\nsigma_px = [2.0, 1.0]"))
    with pytest.raises(InputError, match="sigma_px"):
        train(recipe, run, resume=False)
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    recipe.write_text(TINY)
    with pytest.raises(InputError, match="exists"):
        train(recipe, run, resume=False, output=taken)
    assert left_in(run) == before


def test_a_length_is_steps_or_time(recipe: Path) -> None:
    timed = training_settings(recipe, time_budget_s=90, patience=3)
    assert (timed.time_budget_s, timed.patience, timed.steps) == (90, 3, 4)
    with pytest.raises(InputError, match="7 steps or 90 s, not both"):
        training_settings(recipe, steps=7, time_budget_s=90)
    recipe.write_text("time_budget_s = 60.0" + TINY)
    assert training_settings(recipe).time_budget_s == 60
    assert training_settings(recipe, steps=7).time_budget_s == 0
