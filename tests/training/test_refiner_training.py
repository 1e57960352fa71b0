from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from deepstorm.errors import InputError
from deepstorm.models.architectures import (
    DeepStormNetworkSettings,
    NativeNetworkSettings,
    RefinementSettings,
)
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import load_network, save_network
from deepstorm.models.rendering import ConcentratedRendering
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling
from deepstorm.training.course.distributed import Team
from deepstorm.training.course.folder import BEST_NAME, STATE_NAME
from deepstorm.training.course.loss_log import LOSSES_NAME, Validation
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.crops import Crops
from deepstorm.training.examples.whole_movies import MovieExamples
from deepstorm.training.losses import relative_squared_error
from deepstorm.training.refiner import (
    MOVIES_FOLDER,
    RefinementTraining,
    RefinerTrainer,
)

NEVER_S, ALWAYS_S = 1e9, 1e-9
NETWORK = NativeNetworkSettings(width=4, deep_width=8, upsampling=4)
CARD = NetworkCard(
    name="parent",
    network=NETWORK,
    scaling=PhotonScaling(),
    rendering=ConcentratedRendering(),
    validity={"sigma_px": (0.8, 2.2)},
    training={"step": 12},
)
EXAMPLES = MovieExamples(patch_px=12, frames_per_scene=4, least_emitters=20)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose output varies, as that of a trained one does."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(NETWORK)
        nn.init.normal_(network.head.weight, std=0.5)
    path = tmp_path_factory.mktemp("network") / "parent.safetensors"
    save_network(path, network, CARD)
    return path


@pytest.fixture
def settings(network_file: Path) -> RefinementTraining:
    return RefinementTraining(
        name="tiny",
        seed=1,
        network=str(network_file),
        movies=2,
        validation_movies=1,
        lengths=(2, 4),
        crop_px=32,
        margin_px=4,
        batch_size=2,
        steps=7,
        averaging=0.9,
        validate_every=3,
        checkpoint_every_s=NEVER_S,
        examples=EXAMPLES,
        refinement=RefinementSettings(width=4, half_width=4, quarter_width=4),
        schedule=CosineSchedule(peak_rate=1e-2, warmup_steps=2),
    )


class Killed(Exception):  # noqa: N818
    """Stands for the end of a process."""


def kill_at(place: int) -> Callable[[int, float], None]:
    def on_step(done: int, _: float) -> None:
        if done == place:
            raise Killed

    return on_step


def trainer(settings: RefinementTraining, folder: Path) -> RefinerTrainer:
    folder.mkdir(exist_ok=True)
    return RefinerTrainer(settings, folder)


def outcome(folder: Path) -> tuple[dict[str, bytes], dict[str, bytes], str, dict[str, str]]:
    """Return all that a training leaves, without its settings, its time and its movies."""
    with safe_open(folder / STATE_NAME, framework="pt") as file:
        history = {
            key: value
            for key, value in file.metadata().items()
            if key not in ("settings", "used_s")
        }
    return (
        contents(folder / STATE_NAME),
        contents(folder / BEST_NAME),
        (folder / LOSSES_NAME).read_text(),
        history,
    )


def contents(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


def movie_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / MOVIES_FOLDER).iterdir()}


@pytest.mark.parametrize("checkpoint_every_s", [NEVER_S, ALWAYS_S])
def test_a_resumed_training_ends_as_an_unbroken_one(
    settings: RefinementTraining, tmp_path: Path, checkpoint_every_s: float
) -> None:
    trainer(settings, tmp_path / "unbroken").run()
    often = settings.model_copy(update={"checkpoint_every_s": checkpoint_every_s})
    for step in (1, 4, 6):
        with pytest.raises(Killed):
            trainer(often, tmp_path / "broken").run(on_step=kill_at(step))
    trainer(often, tmp_path / "broken").run()
    assert outcome(tmp_path / "broken") == outcome(tmp_path / "unbroken")


def test_movies_that_were_made_before_a_kill_are_not_made_again(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    whole, done = trainer(settings, tmp_path / "unbroken"), []
    whole.run(on_movie=lambda made, total: done.append((made, total)))
    assert done == [(1, 3), (2, 3), (3, 3)]

    def kill_after_two(made: int, _: int) -> None:
        if made == 2:
            raise Killed

    folder = tmp_path / "broken"
    with pytest.raises(Killed):
        trainer(settings, folder).run(on_movie=kill_after_two)
    written = {path: path.stat().st_mtime_ns for path in (folder / MOVIES_FOLDER).iterdir()}
    assert len(written) == 2
    trainer(settings, folder).run()
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert movie_files(folder) == movie_files(tmp_path / "unbroken")
    assert outcome(folder) == outcome(tmp_path / "unbroken")


def test_a_training_that_has_used_its_time_is_complete(
    settings: RefinementTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = settings.model_copy(update={"time_budget_s": 3600.0, "patience": 2})
    best = trainer(timed, tmp_path).run().path
    late = property(lambda pace: 3601.0)
    monkeypatch.setattr("deepstorm.training.course.pace.Pace.used_s", late)
    steps: list[int] = []
    again = trainer(timed, tmp_path).run(on_step=lambda step, _: steps.append(step))
    assert again.path == best
    assert steps == []


def test_a_training_in_progress_needs_its_first_refiner_no_more(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    first = trainer(settings, tmp_path / "run").run().path.rename(tmp_path / "first.safetensors")
    going_on = settings.model_copy(update={"start_from": str(first), "checkpoint_every_s": 0.001})
    with pytest.raises(Killed):
        trainer(going_on, tmp_path / "next").run(on_step=kill_at(4))
    first.unlink()
    assert trainer(going_on, tmp_path / "next").run().path.is_file()


def test_movies_of_another_network_are_replaced_where_it_begins_anew(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    trainer(settings, tmp_path).run()
    before = movie_files(tmp_path)
    other = settings.model_copy(update={"seed": 2, "movies": 1})
    RefinerTrainer(other, tmp_path, resume=False).run()
    after = movie_files(tmp_path)
    assert len(after) == 2
    assert all(before[name] != data for name, data in after.items())


def test_the_loss_on_a_fixed_batch_falls(
    settings: RefinementTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Crops.batch
    monkeypatch.setattr(Crops, "batch", lambda crops, step: draw(crops, 0))
    losses: list[float] = []
    trainer(settings.model_copy(update={"steps": 50}), tmp_path).run(
        on_step=lambda step, loss: losses.append(loss)
    )
    assert losses[-1] < 0.95 * losses[0]


def test_the_network_is_left_as_it_was_but_for_its_refiner(
    settings: RefinementTraining, network_file: Path, tmp_path: Path
) -> None:
    path = trainer(settings, tmp_path).run().path
    assert path == tmp_path / BEST_NAME
    before, after = load_file(network_file), load_file(path)
    added = {name for name in after if name.startswith("refiner.")}
    assert added
    assert after.keys() - added == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    network, card = load_network(path)
    assert network.refiner is not None
    assert card.refinement == settings.refinement
    kept = ("name", "network", "scaling", "rendering", "validity")
    assert all(getattr(card, name) == getattr(CARD, name) for name in kept)


def test_the_card_records_the_training(settings: RefinementTraining, tmp_path: Path) -> None:
    seen: list[Validation] = []
    done = trainer(settings, tmp_path).run(on_validation=seen.append)
    _, card = load_network(done.path)
    assert card.training["step"] == 12  # of the network's own training
    record = card.training["refinement"]
    assert isinstance(record, dict)
    best = min(seen, key=lambda progress: progress.validation_loss)
    assert record["step"] == best.step
    assert record["refined_nmse_percent"] == pytest.approx(100 * best.validation_loss)
    assert 0 < record["gathered_nmse_percent"] < 100
    assert done.loss_before == pytest.approx(record["gathered_nmse_percent"] / 100)
    assert done.loss_after == best.validation_loss
    until_best = [p for p in seen if p.step <= best.step]
    assert record["curve"] == [[p.step, pytest.approx(100 * p.validation_loss)] for p in until_best]
    assert RefinementTraining.model_validate(record["settings"]) == settings
    with (tmp_path / LOSSES_NAME).open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["step", "3", "6", "7"]


def test_the_network_in_the_file_refines_as_it_did_in_training(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    exact = settings.model_copy(update={"precision": "float32", "validate_every": 7})
    seen: list[Validation] = []
    teacher = trainer(exact, tmp_path)
    refiner = load_network(teacher.run(on_validation=seen.append).path)[0].refiner
    assert refiner is not None
    planes = torch.from_numpy(teacher._movies(lambda done, total: None)[1][0].read(-1))[None]
    with torch.no_grad():
        image = refiner(planes[:, :3])
    truth = planes[:, 3:]
    scale = (image * truth).sum() / image.square().sum()
    nmse = (scale * image - truth).square().sum() / truth.square().sum()
    assert float(nmse) == pytest.approx(seen[-1].validation_loss, rel=1e-4)


def test_a_refiner_that_was_there_is_replaced(settings: RefinementTraining, tmp_path: Path) -> None:
    first = trainer(settings, tmp_path / "first").run().path
    second = settings.model_copy(update={"network": str(first)})
    again = trainer(second, tmp_path / "second").run().path
    # It neither changes the movies nor where the new one starts.
    assert movie_files(tmp_path / "second") == movie_files(tmp_path / "first")
    assert contents(again) == contents(first)


def test_a_finished_training_is_not_done_again(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    trainer(settings, tmp_path).run()
    steps: list[int] = []
    trainer(settings, tmp_path).run(on_step=lambda step, loss: steps.append(step))
    assert steps == []
    (tmp_path / BEST_NAME).unlink()
    with pytest.raises(InputError, match="is complete, but its best network"):
        trainer(settings, tmp_path).run()


def test_other_settings_and_other_movies_are_refused(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    trainer(settings, tmp_path).run()
    with pytest.raises(InputError, match="holds a training with other settings"):
        trainer(settings.model_copy(update={"steps": 9}), tmp_path)
    (tmp_path / STATE_NAME).unlink()
    # On the same movies it may begin anew; on those of other conditions it may not.
    trainer(settings.model_copy(update={"steps": 1}), tmp_path)
    with pytest.raises(InputError, match="movies of another network or of other settings"):
        trainer(settings.model_copy(update={"seed": 2}), tmp_path).run()


def test_frames_that_the_network_does_not_take_are_refused(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    paper = DeepStormNetworkSettings(upsampling=1)
    path = tmp_path / "paper.safetensors"
    card = NetworkCard(name="paper", network=paper, scaling=MinMaxScaling())
    save_network(path, build(paper), card)
    with pytest.raises(InputError, match=r"sides of 12 pixels, the network takes multiples of 8"):
        trainer(settings.model_copy(update={"network": str(path)}), tmp_path)


def test_the_papers_network_can_be_refined(settings: RefinementTraining, tmp_path: Path) -> None:
    paper = DeepStormNetworkSettings(upsampling=2)
    path = tmp_path / "paper.safetensors"
    card = NetworkCard(name="paper", network=paper, scaling=MinMaxScaling())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_network(path, build(paper), card)
    chosen = settings.model_copy(update={"network": str(path), "steps": 1})
    assert load_network(trainer(chosen, tmp_path / "run").run().path)[1].refinement is not None


def test_a_loss_that_is_not_finite_ends_the_training(
    settings: RefinementTraining, tmp_path: Path
) -> None:
    wild = settings.model_copy(update={"schedule": CosineSchedule(peak_rate=1e30, warmup_steps=1)})
    with pytest.raises(InputError, match="the loss became nan at step"):
        trainer(wild, tmp_path).run()


def test_the_global_generator_is_left_alone(settings: RefinementTraining, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    trainer(settings, tmp_path).run()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_error_is_that_of_what_counts() -> None:
    rng = np.random.default_rng(0)
    image, truth = (torch.from_numpy(rng.random((2, 1, 8, 8))) for _ in range(2))
    counted = torch.zeros(2, 1, 8, 8)
    counted[0, :, 2:6, 2:] = 1
    counted[1] = 1
    parts = [(image[0, 0, 2:6, 2:], truth[0, 0, 2:6, 2:]), (image[1], truth[1])]
    wanted = np.mean([float((i - t).square().sum() / (t.square().sum() + 3)) for i, t in parts])
    assert float(relative_squared_error(image, truth, counted, 3.0)) == pytest.approx(wanted)
    image[0, 0, 0, 0] = 1e6
    assert float(relative_squared_error(image, truth, counted, 3.0)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lengths": ()}, "increasing numbers of frames"),
        ({"lengths": (0, 300)}, "increasing numbers of frames"),
        ({"lengths": (200, 100, 300)}, "increasing numbers of frames"),
        ({"lengths": (100, 100, 300)}, "increasing numbers of frames"),
        ({"lengths": (50, 100)}, "'examples.frames_per_scene' = 300"),
        ({"crop_px": 48, "margin_px": 24}, "are all margin"),
        ({"crop_px": 30}, "multiple of 4"),
        ({"kind": "network"}, "refinement"),
        ({"averaging": 1.0}, "less than 1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RefinementTraining.model_validate(values)


def test_several_processes_are_refused(settings: RefinementTraining, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"by one process, not by 2; start it without torchrun"):
        RefinerTrainer(settings, tmp_path, team=Team(size=2))
