from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepstorm
from deepstorm.api import adapt as module
from deepstorm.api.adapt import adapt
from deepstorm.api.training_result import TrainingResult
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings, RefinementSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import save_network
from deepstorm.models.refinement import Refiner
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.training.likeness import AdaptSettings

SHAPE = NativeNetworkSettings(width=4, deep_width=4, upsampling=8)
QUICK = AdaptSettings(
    steps=2, movies=2, patch_px=16, movie_frames=12, validation_movies=1, compared_movies=2
)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    settings = SimulationSettings(
        frames=40, height_px=24, width_px=32, density_per_um2=3.0, scene=UniformScene()
    )
    found = deepstorm.simulate(settings, seed=2).frames
    assert found is not None
    return found


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    path = tmp_path / "parent.safetensors"
    network = build(SHAPE)
    refinement = RefinementSettings(width=4, half_width=4, quarter_width=4)
    network.refiner = Refiner(refinement)
    card = NetworkCard(name="parent", network=SHAPE, scaling=PhotonScaling(), refinement=refinement)
    save_network(path, network, card)
    return path


@pytest.mark.parametrize("better", [True, False])
def test_the_better_network_is_kept(
    frames: np.ndarray,
    parent: Path,
    tmp_path: Path,
    better: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    after = np.array([49.0, 58.0, 54.5]) + 10 * (not better)
    scores = iter([(50.0, 60.0, 55.0), tuple(after.tolist())])
    monkeypatch.setattr(module, "_scores", lambda *_: next(scores))
    stages: list[str] = []
    found = adapt(
        frames,
        tmp_path / "runs",
        QUICK,
        output=tmp_path / "mine.safetensors",
        pixel_size_nm=100,
        network=parent,
        on_stage=stages.append,
    )
    assert found.improved is better
    assert stages == ["examining the movie", "training its refiner", "comparing"]
    assert (found.path.read_bytes() == parent.read_bytes()) is not better
    card = TrainedNetwork.open(found.path).card
    assert card.refinement is not None
    assert ("refinement" in card.training) is better
    assert found.calibration["sigma_px"]["value"] == pytest.approx(1.1, abs=0.2)
    figures = found.figures()
    assert (figures["simulated_movies"], figures["before"]) == (3, 55)
    assert Path(figures["report"]).is_file()


def test_networks_are_compared_on_the_same_movies(
    frames: np.ndarray, parent: Path, tmp_path: Path
) -> None:
    """A network against itself: the difference is nothing, and it is kept."""
    output = tmp_path / "mine.safetensors"
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(module, "train", lambda *_, **__: TrainingResult(parent, tmp_path))
        known = KnownValues(pixel_size_nm=100)
        found = adapt(frames, tmp_path / "runs", QUICK, output=output, known=known, network=parent)
    assert found.before == found.after
    assert len(set(found.before)) == 2
    assert not found.improved


@pytest.fixture
def adapted(
    frames: np.ndarray, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainingResult]:
    """Adapt a network to the movie, in a folder of its own, without the comparison."""
    monkeypatch.setattr(module, "_scores", lambda *_: (50.0, 60.0))

    def run(movie: np.ndarray = frames, **changes: Any) -> TrainingResult:
        usual = {"pixel_size_nm": 100, "network": parent, "settings": QUICK}
        return adapt(movie, tmp_path / "new" / "runs", **usual | changes)

    return run


def test_the_same_again_goes_on_with_what_is_there(
    adapted: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    """Also where simulated movies show the structures of the movie itself."""
    steps: list[int] = []
    first = adapted(on_step=lambda step, _: steps.append(step))
    assert steps == [1, 2]
    assert first.path == tmp_path / "new" / "runs" / "result.safetensors"
    assert first.path.is_file()
    again = adapted(on_step=lambda step, _: steps.append(step), resume=True)
    assert steps == [1, 2]
    assert again.path == first.path


def test_a_folder_is_for_one_movie(
    adapted: Callable[..., TrainingResult], frames: np.ndarray, tmp_path: Path
) -> None:
    adapted()
    structures = tmp_path / "new" / "runs" / module.STRUCTURES_NAME
    before = structures.read_bytes()
    for changes in ({"movie": frames[::-1].copy()}, {"pixel_size_nm": 120}):
        with pytest.raises(InputError, match="holds a training for another movie"):
            adapted(**changes)
    adapted(pixel_size_nm=120, resume=False)
    # The same light, on pixels of another size; and movies were made anew.
    assert structures.read_bytes() != before


def test_a_training_killed_between_two_goes_on(
    adapted: Callable[..., TrainingResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = QUICK.model_copy(update={"tune": "all"})
    with pytest.raises(InputError, match="holds no training to resume"):
        adapted(settings=settings, resume=True)

    def die(done: int, total: int) -> None:
        raise KeyboardInterrupt

    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        adapted(settings=settings, on_movie=die)
    adapted(settings=settings, resume=True, on_step=lambda step, _: steps.append(step))
    assert steps == [1, 2]  # of the refiner: the network was complete


def test_all_of_it_can_begin_anew(
    frames: np.ndarray, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_scores", lambda *_: (50.0, 60.0))
    stages: list[str] = []
    settings = QUICK.model_copy(update={"from_scratch": True, "structures": "any"})
    adapt(
        frames,
        tmp_path / "runs",
        settings,
        output=tmp_path / "mine.safetensors",
        pixel_size_nm=100,
        network=parent,
        on_stage=stages.append,
    )
    assert "training the network" in stages
    assert not (tmp_path / "runs" / module.STRUCTURES_NAME).exists()
    new = TrainedNetwork.open(tmp_path / "runs" / "network" / "best.safetensors").card
    assert new.training["settings"]["start_from"] is None
    low, high = new.validity["sigma_px"]
    assert low < 1.1 < high


def test_a_movie_without_emitters_teaches_nothing(tmp_path: Path) -> None:
    blank = np.random.default_rng(0).poisson(100, (40, 24, 24)).astype(np.uint16)
    output = tmp_path / "mine.safetensors"
    with pytest.raises(InputError, match="nothing that blinks"):
        adapt(blank, tmp_path / "runs", output=output, pixel_size_nm=100)
    assert not output.exists()
    with pytest.raises(InputError, match=r"end its name in \.safetensors"):
        adapt(blank, tmp_path / "runs", output=tmp_path / "mine.pt", pixel_size_nm=100)
