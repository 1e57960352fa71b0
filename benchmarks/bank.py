"""Train a bank of specialists, and compare it with one network for everything.

    python benchmarks/bank.py FOLDER [--steps N] [--batches N] [-o FILE.json]

The paper's discussion (§4) proposes several networks, each for some density and signal, and a
choice among them for each frame. Here every specialist goes on from the default network, on
examples of its own conditions alone; a control goes on for as long on all of them, since more
training by itself helps, too. They are compared on examples that no training saw, each specialist
under the conditions that it was trained for: a choice that makes no mistakes, so that no routing
can do better.

Trainings are kept in FOLDER and go on from there when the script is called again.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepstorm.evaluation.images import nmse_percent
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import DEFAULT_NETWORK, find_network
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.examples.summed_movies import MovieExamples, MovieSource
from deepstorm.training.losses import SpikeCrossEntropyLoss
from deepstorm.training.network import Trainer, TrainingSettings

# A stream of examples that neither trainings nor their validations draw from.
HELD_BACK = 100
SEED = 1
MOVIE_FRAMES, LEAST_EMITTERS = 100, 300
GATHERED = 1  # among the sums over a movie
NOTE = (
    "Cross-entropy in nats per emitter of single frames, NMSE in per cent of the gathered image of "
    "100 frames; lower is better. Control and specialists went on from the default network for "
    "{steps} steps."
)
CONTROL = "control"


@dataclass(frozen=True)
class Condition:
    """What a specialist is for."""

    name: str
    ranges: dict[str, tuple[float, float]]


CONDITIONS = tuple(
    Condition(
        f"{density_name}, {signal_name}",
        {"local_density_per_um2": density, "mean_photons": photons},
    )
    for density_name, density in (("sparse", (0.1, 3.0)), ("dense", (3.0, 16.0)))
    for signal_name, photons in (("dim", (100.0, 1000.0)), ("bright", (1000.0, 10_000.0)))
)


def training(
    name: str, ranges: dict[str, tuple[float, float]], network: str, steps: int
) -> TrainingSettings:
    """Return the default network's own recipe, restricted to some ranges and shortened."""
    recipe = resources.files("deepstorm") / "recipes" / "native.toml"
    table: dict[str, Any] = tomllib.loads(recipe.read_text(encoding="utf-8"))
    table |= {"name": name, "seed": 7, "steps": steps, "start_from": network}
    table |= {"validate_every": max(steps // 4, 1)}
    table["schedule"] |= {"peak_rate": 3e-4, "warmup_steps": min(50, steps)}
    table["examples"] |= ranges
    return TrainingSettings.model_validate(table)


def trained(settings: TrainingSettings, folder: Path) -> Path:
    """Train, or go on, or find what has been trained; return the network's file."""
    folder.mkdir(parents=True, exist_ok=True)
    source = settings.examples.prepare(settings.scaling, settings.network.upsampling, settings.seed)
    return Trainer(settings, source, folder).run(
        on_validation=lambda progress: print(f"  {settings.name}: {progress}", flush=True)
    )


def members(folder: Path, network: str, steps: int) -> Iterator[tuple[str, Path]]:
    """Train the control and a specialist for each condition; return their files by name."""
    yield DEFAULT_NETWORK, find_network(network)
    for name, ranges in ((CONTROL, {}), *((c.name, c.ranges) for c in CONDITIONS)):
        home = folder / name.replace(", ", "-")
        yield name, trained(training(name, ranges, network, steps), home)


@torch.inference_mode()
def cross_entropy(trained: TrainedNetwork, condition: Condition, batches: int) -> float:
    """Return the cross-entropy per emitter of frames that no training saw."""
    card, network = trained.card, trained.load()
    source = SimulatedExamples(**condition.ranges).prepare(card.scaling, network.upsampling, SEED)
    loss, found = SpikeCrossEntropyLoss(), []
    for index in range(batches):
        batch = source.batch(index, HELD_BACK)
        frames = torch.from_numpy(batch.frames).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            answer = network(frames)
        found.append(float(loss(answer.float(), torch.from_numpy(batch.spikes))))
    return float(np.mean(found))


def nmse_of_movies(network: TrainedNetwork, condition: Condition, movies: int) -> float:
    """Return the mean NMSE of whole movies' gathered images, in per cent."""
    examples = MovieExamples(
        frames_per_scene=MOVIE_FRAMES, least_emitters=LEAST_EMITTERS, **condition.ranges
    )
    source = MovieSource(network, examples, (MOVIE_FRAMES,), SEED, "bfloat16")
    summed = [source.movie(index, HELD_BACK) for index in range(movies)]
    return float(np.mean([nmse_percent(one.sums[-1, GATHERED], one.truth[-1]) for one in summed]))


def table(networks: dict[str, Path], batches: int, movies: int) -> list[dict[str, Any]]:
    """Return a row for each condition: the default, the control and the condition's specialist."""
    rows = []
    for condition in CONDITIONS:
        row: dict[str, Any] = {"condition": condition.name}
        for column, name in (
            (DEFAULT_NETWORK, DEFAULT_NETWORK),
            (CONTROL, CONTROL),
            ("specialist", condition.name),
        ):
            network = TrainedNetwork.open(networks[name])
            row[f"{column}, cross-entropy"] = cross_entropy(network, condition, batches)
            row[f"{column}, NMSE"] = nmse_of_movies(network, condition, movies)
        rows.append(row)
    return rows


def main() -> None:
    """Train and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where trainings are kept")
    parser.add_argument("--network", default=DEFAULT_NETWORK, help="where all of them start from")
    parser.add_argument("--steps", type=int, default=1000, help="of each training")
    parser.add_argument("--batches", type=int, default=100, help="for each cross-entropy")
    parser.add_argument("--movies", type=int, default=16, help="for each NMSE")
    parser.add_argument("-o", "--output", type=Path, help="also write the figures, as JSON")
    chosen = parser.parse_args()
    networks = dict(members(chosen.folder, chosen.network, chosen.steps))
    rows = table(networks, chosen.batches, chosen.movies)
    print(NOTE.format(steps=chosen.steps), "\n")
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        cells = [cell if isinstance(cell, str) else f"{cell:.3f}" for cell in row.values()]
        print("| " + " | ".join(cells) + " |")
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
