"""Two runs into one name, started at one moment: one wins, the other says so.

``DEEPSTORM_TWO_RUNS=50`` in the environment repeats that fifty times; with ``-s`` the answers of
the runs that lost are shown.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from tifffile import imread

from deepstorm.api.outputs import Outputs
from deepstorm.api.reconstruct import reconstruct
from deepstorm.api.simulate import simulate
from deepstorm.api.train import train
from deepstorm.errors import InputError
from deepstorm.simulation.simulator import SimulationSettings
from faults import RECIPE, contents

TRIALS = int(os.environ.get("DEEPSTORM_TWO_RUNS", "2"))
Work = Callable[[Path, int], object]


def _simulate(folder: Path, seed: int) -> None:
    settings = SimulationSettings(frames=10, width_px=32, height_px=32)
    simulate(settings, seed=seed, movie=folder / "movie.tif", truth=folder / "truth.csv")


def _reconstruct(folder: Path, seed: int) -> None:
    movie = np.random.default_rng(seed).poisson(100, (10, 32, 32)).astype(np.uint16)
    movie[:, 8 + seed, 8] += 2000
    image = folder / "image.tif"
    outputs = Outputs(image, folder / "image.json", localizations=folder / "image.csv")
    reconstruct(movie, outputs=outputs, pixel_size_nm=100, engine="torch")


def _train(folder: Path, seed: int) -> None:
    recipe = folder.parent / f"recipe{seed}.toml"
    recipe.write_text(RECIPE.format(seed=seed))
    train(recipe, folder / "training", output=folder / "net.safetensors")


def _numbers(folder: Path) -> dict[str, bytes]:
    """Return pixels and tables, which are the same for two runs that are alike."""
    tables = {name: text for name, text in contents(folder).items() if name.endswith(".csv")}
    return tables | {path.name: imread(path).tobytes() for path in folder.glob("*.tif")}


def _compete(work: Work, root: Path, seed: int, start: Barrier, answers: list[str]) -> None:
    work(_made(root / f"alone{seed}"), seed)  # everything is loaded by now
    for trial in range(TRIALS):
        folder = _made(root / f"trial{trial}")
        start.wait(timeout=300)  # the other one may have died
        try:
            work(folder, seed)
            answers.append(f"{trial} won by {seed}")
        except InputError as error:
            answers.append(f"{trial} lost: {error}")


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("work", [_simulate, _reconstruct, _train])
def test_of_two_runs_one_wins_and_the_other_says_so(work: Work, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager:
        answers, start = manager.list(), spawn.Barrier(2)
        runs = [
            spawn.Process(target=_compete, args=(work, tmp_path, seed, start, answers))
            for seed in (0, 1)
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        said = list(answers)
    assert [run.exitcode for run in runs] == [0, 0]
    late = 0
    for trial in range(TRIALS):
        mine = sorted(line for line in said if line.startswith(f"{trial} "))
        lost, won = mine
        assert "lost" in lost
        late += _says_why(lost)
        left, expected = tmp_path / f"trial{trial}", tmp_path / f"alone{won[-1]}"
        assert contents(left).keys() == contents(expected).keys()
        assert _numbers(left) == _numbers(expected)
    assert late < TRIALS or TRIALS < 10
    print(Counter(line.split("'")[0] for line in said))  # noqa: T201


def _says_why(answer: str) -> bool:
    """Tell whether a run came too late, rather than at the same time."""
    late = "exists; choose another name" in answer or "holds a training with other" in answer
    assert late or "another run is writing" in answer or "another training is running" in answer
    return late
