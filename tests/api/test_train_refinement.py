from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from deepstorm.api.reconstruct import reconstruct
from deepstorm.api.train import train, training_settings
from deepstorm.cli.app import app
from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import load_network, save_network
from deepstorm.models.scaling import PhotonScaling
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.training.network import TrainingSettings
from deepstorm.training.refiner import RefinementTraining

NETWORK = NativeNetworkSettings(width=4, deep_width=8, upsampling=2)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    network = tmp_path / "parent.safetensors"
    card = NetworkCard(name="parent", network=NETWORK, scaling=PhotonScaling())
    save_network(network, build(NETWORK), card)
    path = tmp_path / "refine.toml"
    path.write_text(f"""
kind = "refinement"
name = "tiny"
network = '{network}'
movies = 2
validation_movies = 1
lengths = [2, 3]
crop_px = 16
margin_px = 4
batch_size = 1
steps = 3
validate_every = 2
[examples]
patch_px = 12
frames_per_scene = 3
least_emitters = 5
[refinement]
width = 2
half_width = 2
quarter_width = 2
""")
    return path


def test_a_recipe_becomes_a_network_that_refines(recipe: Path, tmp_path: Path) -> None:
    movies: list[tuple[int, int]] = []
    steps: list[int] = []
    validated: list[int] = []
    output = tmp_path / "mine.safetensors"
    made = train(
        recipe,
        tmp_path / "run",
        output=output,
        on_step=lambda step, loss: steps.append(step),
        on_validation=lambda progress: validated.append(progress.step),
        on_movie=lambda done, total: movies.append((done, total)),
    )
    assert made.path == output
    assert load_network(output)[1].refinement is not None
    assert (steps, validated) == ([1, 2, 3], [2, 3])
    assert movies == [(1, 3), (2, 3), (3, 3)]
    simulation = SimulationSettings(frames=4, height_px=14, width_px=17)
    frames = np.concatenate(list(simulate_movie(simulation, np.random.default_rng(0)).frames()))
    result = reconstruct(frames, pixel_size_nm=100, network=output)
    assert result.posterior is not None
    assert result.image.shape == result.posterior.shape == (28, 34)
    assert result.image.sum() == pytest.approx(result.posterior.sum(), rel=1e-3)
    assert not np.array_equal(result.image, result.posterior)


def test_a_recipe_tells_what_it_trains(recipe: Path) -> None:
    assert isinstance(training_settings(recipe), RefinementTraining)
    assert isinstance(training_settings("native"), TrainingSettings)
    assert training_settings(recipe, steps=9).steps == 9
    with pytest.raises(InputError, match="steps"):
        training_settings(recipe, steps=0)


def test_the_embedded_recipe_refines_the_embedded_network() -> None:
    settings = training_settings("refinement")
    assert isinstance(settings, RefinementTraining)
    assert settings.network == "native"
    card = load_network_card(settings.network)
    assert settings.examples.side_px % 4 == 0
    assert settings.refinement == card.refinement


def load_network_card(name: str) -> NetworkCard:
    from deepstorm.models.zoo import embedded_cards

    return embedded_cards()[name]


def test_another_kind_is_refused(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace('"refinement"', '"sharpening"'))
    with pytest.raises(InputError, match="'kind': Input should be 'refinement'"):
        training_settings(recipe)


def test_unknown_keys_are_refused(recipe: Path) -> None:
    recipe.write_text('precission = "float32"\n' + recipe.read_text())
    with pytest.raises(InputError, match="'precission': Extra inputs"):
        training_settings(recipe)


def test_a_missing_network_is_named_before_anything_is_made(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "parent.safetensors").unlink()
    with pytest.raises(InputError, match="there is no network"):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_line_trains_refiners(recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    words = ["train", str(recipe), "--folder", str(tmp_path / "run"), "-o", str(output), "--json"]
    result = CliRunner().invoke(app, [*words, "--steps", "2"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["network"] == str(output)
    assert load_network(output)[0].refiner is not None
