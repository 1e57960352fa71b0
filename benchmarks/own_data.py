"""Train on one's own sparse frames, and compare with plain simulation (the paper's Fig. 7)."""

import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from deepstorm.api.example_sources import sparse_frames
from deepstorm.cli.durations import duration_s
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.zoo import find_network
from deepstorm.paper import dot_sample, fig7, two_networks
from deepstorm.paper.context import Context
from deepstorm.training.examples.protocol import VALIDATION
from movies import published_movie
from report import print_rows, run

TINY = NativeNetworkSettings(width=8, deep_width=16)
REAL_PIXEL_NM = 117.0  # of the measured sparse frames, whose header is not credible
OPTIONS = {
    "experiment": ({"choices": ["fig7", "real"]}, "samples with known truth, or measured frames"),
    "--seeds": (3, "samples, each with its own networks"),
    "--first-seed": (0, "of the samples"),
    "--steps": (3500, "batches of 16 per network"),
    "--time-budget": (duration_s, "in place of them, per network, such as 10m"),
    "--start-from": ("native", "a name or a file, or 'scratch'"),
    "--folder": (Path, "keeps the trainings, which then resume"),
    "--quick": (False, "a tiny network; do not quote"),
}


def settings_of(chosen):
    """Return how much is trained and tested; from scratch at the rate of the recipe `native`."""
    told = {"seeds": chosen.seeds, "steps": chosen.steps, "start_from": chosen.start_from}
    told["time_budget_s"] = chosen.time_budget or 0.0
    if chosen.start_from == "scratch":
        told |= {"start_from": None, "rate": 8e-4}
    if chosen.quick:
        told |= {"steps": min(chosen.steps, 60), "network": TINY, "start_from": None, "rate": 2e-3}
        told |= {"sparse_frames": 30, "composites": 10, "dense_frames": 10}
    return fig7.Figure7Settings(**told)


def on_samples(chosen, settings, folder, scores):
    """Train both networks for each sample; return pictures of the first one."""
    context = Context(say=partial(print, file=sys.stderr))
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    first, *_ = [fig7.measure_sample(context, settings, seed, folder, scores) for seed in seeds]
    return first


def on_real_frames(chosen, settings, folder, scores):
    """Train on measured frames, and score on composites of frames that were held back.

    They are others than those by which the training chose its best network.
    """
    sparse = sparse_frames(published_movie(movie="real-sparse-tirf")[0], REAL_PIXEL_NM)
    scaling, upsampling = PhotonScaling(), dot_sample.UPSAMPLING
    source = two_networks.own_examples(sparse).prepare(scaling, upsampling, 0, sparse)
    first = two_networks.VALIDATION_BATCHES
    tested = dot_sample.as_movie(source, settings.composites, VALIDATION, first_batch=first)
    trained = two_networks.train("composites", sparse, settings.effort(), 0, folder / "real")
    networks = {fig7.UNTRAINED: find_network("native"), fig7.NAMES["composites"]: trained}
    return fig7.score(networks, {fig7.COMPOSITES: tested}, sparse.instrument, scores)


def measure(chosen):
    """Run the experiment, print its table and return what JSON keeps; put pictures beside it."""
    settings, scores = settings_of(chosen), {}
    with tempfile.TemporaryDirectory() as temporary:
        experiment = on_samples if chosen.experiment == "fig7" else on_real_frames
        pictures = experiment(chosen, settings, chosen.folder or Path(temporary), scores)
    print_rows(fig7.rates_table(scores, settings).rows)
    for picture in pictures if chosen.pictures is not None else ():
        path = chosen.pictures / f"{chosen.experiment}-{picture.name}.png"
        path.write_bytes(picture.png)
    rows = [
        {"tested on": test, "trained on": name, "seed": seed, **asdict(one)}
        for (test, name, _), found in scores.items()
        for seed, one in enumerate(found, chosen.first_seed)
    ]
    told = {"experiment": chosen.experiment, "settings": settings.model_dump()}
    return told | {"quick": chosen.quick, "rows": rows}


if __name__ == "__main__":
    run(__doc__, measure, OPTIONS)
