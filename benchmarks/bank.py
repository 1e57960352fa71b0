"""Train a bank of specialists, and compare it with one network for everything.

Every specialist goes on from the default network, on examples of its own conditions alone; a
control goes on for as long on all of them. They are compared on examples that no training saw, each
specialist under its own conditions: a choice that makes no mistakes, so that no routing can do
better. Trainings are kept in FOLDER and go on from there when the script is called again.
"""

from itertools import product
from pathlib import Path

import numpy as np
import torch

from deepstorm.api.train import training_settings
from deepstorm.evaluation.images import nmse_percent
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import DEFAULT_NETWORK, find_network
from deepstorm.training.examples.simulated import SimulatedExamples
from deepstorm.training.examples.summed_movies import SummedMovieSource
from deepstorm.training.examples.whole_movies import MovieExamples
from deepstorm.training.losses import SpikeCrossEntropyLoss
from deepstorm.training.network import NetworkTrainer, TrainingSettings
from report import print_rows, run

HELD_BACK, SEED = 100, 1  # of a stream that neither trainings nor validations draw from
MOVIE = {"frames_per_scene": 100, "least_emitters": 300}
GATHERED, CONTROL = 1, "control"  # the former among the sums over a movie
DENSITIES = {"sparse": (0.1, 3.0), "dense": (3.0, 16.0)}
PHOTONS = {"dim": (100.0, 1000.0), "bright": (1000.0, 10_000.0)}
CONDITIONS = {
    f"{density}, {signal}": {"local_density_per_um2": per_um2, "mean_photons": photons}
    for (density, per_um2), (signal, photons) in product(DENSITIES.items(), PHOTONS.items())
}
OPTIONS = {
    "folder": (Path, "where trainings are kept"),
    "--network": (DEFAULT_NETWORK, "where all of them start from"),
    "--steps": (1000, "of each training"),
    "--batches": (100, "for each cross-entropy"),
    "--movies": (16, "for each NMSE"),
}


def trained(name, ranges, network, steps, folder):
    """Train by the default network's own recipe, restricted to some ranges and shortened."""
    table = training_settings("native", steps=steps).model_dump()
    table |= {"name": name, "seed": 7, "start_from": network}
    table |= {"validate_every": max(steps // 4, 1), "validation_batches": min(16, steps)}
    table["schedule"] |= {"peak_rate": 3e-4, "warmup_steps": min(50, steps)}
    table["examples"] |= ranges
    settings = TrainingSettings.model_validate(table)
    home = folder / name.replace(", ", "-")
    home.mkdir(parents=True, exist_ok=True)
    source = settings.examples.prepare(settings.scaling, settings.network.upsampling, settings.seed)
    trainer = NetworkTrainer(settings, home, source=source)
    return trainer.run(on_validation=lambda each: print(f"  {name}: {each}", flush=True)).path


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
        for name in (DEFAULT_NETWORK, CONTROL, condition):
            column = "specialist" if name == condition else name
            found = errors(networks[name], ranges, batches, movies)
            row[f"{column}, cross-entropy"], row[f"{column}, NMSE"] = found
        yield row


def measure(chosen):
    """Train and compare."""
    networks = {DEFAULT_NETWORK: find_network(chosen.network)}
    for name, ranges in ({CONTROL: {}} | CONDITIONS).items():
        networks[name] = trained(name, ranges, chosen.network, chosen.steps, chosen.folder)
    print("Cross-entropy in nats per emitter of single frames, NMSE in % of images of 100 frames.")
    found = print_rows(rows(networks, chosen.batches, chosen.movies))
    return {"steps": chosen.steps, "conditions": found}


if __name__ == "__main__":
    run(__doc__, measure, OPTIONS)
