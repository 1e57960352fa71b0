"""Train a bank of specialists, and compare it with one network for everything.

    python benchmarks/bank.py FOLDER [--steps N] [--batches N] [-o FILE.json]

The paper's discussion (§4) proposes several networks, each for some density and signal, and a
choice among them for each frame. Here every specialist goes on from the default network, on
examples of its own conditions alone; a control goes on for as long on all of them, since more
training by itself helps, too. They are compared on examples that no training saw, each specialist
under the conditions that it was trained for: a choice that makes no mistakes, so that no routing
can do better. Trainings are kept in FOLDER and go on from there when the script is called again.
"""

import json
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from deepstorm.evaluation.images import nmse_percent
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import DEFAULT_NETWORK, find_network
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.examples.summed_movies import SummedMovieSource
from deepstorm.training.examples.whole_movies import MovieExamples
from deepstorm.training.losses import SpikeCrossEntropyLoss
from deepstorm.training.network import NetworkTrainer, TrainingSettings
from report import parser_of, print_rows

# A stream of examples that neither trainings nor their validations draw from.
HELD_BACK = 100
SEED = 1
MOVIE = {"frames_per_scene": 100, "least_emitters": 300}
GATHERED = 1  # among the sums over a movie
CONTROL = "control"
CONDITIONS = {
    f"{density}, {signal}": {"local_density_per_um2": per_um2, "mean_photons": photons}
    for density, per_um2 in (("sparse", (0.1, 3.0)), ("dense", (3.0, 16.0)))
    for signal, photons in (("dim", (100.0, 1000.0)), ("bright", (1000.0, 10_000.0)))
}


def trained(name, ranges, network, steps, folder):
    """Train by the default network's own recipe, restricted to some ranges and shortened."""
    recipe = resources.files("deepstorm") / "recipes" / "native.toml"
    table = tomllib.loads(recipe.read_text(encoding="utf-8"))
    table |= {"name": name, "seed": 7, "steps": steps, "start_from": network}
    table["validate_every"] = max(steps // 4, 1)
    table["schedule"] |= {"peak_rate": 3e-4, "warmup_steps": min(50, steps)}
    table["examples"] |= ranges
    settings = TrainingSettings.model_validate(table)
    home = folder / name.replace(", ", "-")
    home.mkdir(parents=True, exist_ok=True)
    source = settings.examples.prepare(settings.scaling, settings.network.upsampling, settings.seed)
    return (
        NetworkTrainer(settings, home, source=source)
        .run(on_validation=lambda validation: print(f"  {name}: {validation}", flush=True))
        .path
    )


@torch.inference_mode()
def errors(file, ranges, batches, movies):
    """Return the cross-entropy per emitter of frames, and the mean NMSE of whole movies' images."""
    trained = TrainedNetwork.open(file)
    network, card = trained.load(), trained.card
    source = SimulatedExamples(**ranges).prepare(card.scaling, network.upsampling, SEED)
    loss, entropies = SpikeCrossEntropyLoss(), []
    for index in range(batches):
        batch = source.batch(index, HELD_BACK)
        frames = torch.from_numpy(batch.frames).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            answer = network(frames)
        entropies.append(float(loss(answer.float(), torch.from_numpy(batch.spikes))))
    examples, frames = MovieExamples(**MOVIE, **ranges), (MOVIE["frames_per_scene"],)
    summed = SummedMovieSource(trained, examples, frames, SEED, "bfloat16")
    made = (summed.movie(index, HELD_BACK) for index in range(movies))
    nmse = [nmse_percent(each.sums[-1, GATHERED], each.truth[-1]) for each in made]
    return float(np.mean(entropies)), float(np.mean(nmse))


def rows(networks, batches, movies):
    """Yield for each condition the default, the control and the condition's specialist."""
    for condition, ranges in CONDITIONS.items():
        row = {"condition": condition}
        columns = {DEFAULT_NETWORK: DEFAULT_NETWORK, CONTROL: CONTROL, "specialist": condition}
        for column, name in columns.items():
            entropy, nmse = errors(networks[name], ranges, batches, movies)
            row |= {f"{column}, cross-entropy": entropy, f"{column}, NMSE": nmse}
        yield row


def main() -> None:
    """Train and measure."""
    parser = parser_of("bank", __doc__)
    parser.add_argument("folder", type=Path, help="where trainings are kept")
    parser.add_argument("--network", default=DEFAULT_NETWORK, help="where all of them start from")
    parser.add_argument("--steps", type=int, default=1000, help="of each training")
    parser.add_argument("--batches", type=int, default=100, help="for each cross-entropy")
    parser.add_argument("--movies", type=int, default=16, help="for each NMSE")
    parser.add_argument("-o", "--output", type=Path, help="also write the figures, as JSON")
    chosen = parser.parse_args()
    networks = {DEFAULT_NETWORK: find_network(chosen.network)}
    for name, ranges in ({CONTROL: {}} | CONDITIONS).items():
        networks[name] = trained(name, ranges, chosen.network, chosen.steps, chosen.folder)
    print(
        "Cross-entropy in nats per emitter of single frames, NMSE in per cent of the gathered "
        "image of 100 frames; lower is better. Control and specialists went on from the default "
        f"network for {chosen.steps} steps."
    )
    found = print_rows(rows(networks, chosen.batches, chosen.movies))
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
