"""Train on one's own sparse frames, and compare with plain simulation (the paper's Fig. 7).

python benchmarks/own_data.py fig7 [--seeds 3] [--steps N | --time-budget 10m] [-o FILE.json]
python benchmarks/own_data.py real [--steps N | --time-budget 10m] [-o FILE.json]
"""

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from deepstorm.api.example_sources import sparse_frames
from deepstorm.cli.durations import duration_s
from deepstorm.errors import InputError
from deepstorm.models.native import NativeNetworkSettings
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.zoo import find_network
from deepstorm.paper import dot_sample, two_networks
from deepstorm.paper.dot_sample import UPSAMPLING, MovieWithTruth
from deepstorm.paper.findings import Measured, Row
from deepstorm.paper.movies import read_frames
from deepstorm.training.examples.protocol import VALIDATION
from deepstorm.training.examples.sparse_frames import SparseFrames
from report import data_folder, finish, parser_of, print_rows, row, save_figure

# Detected and falsely detected in per cent (§3): what the paper trained on either.
PAPER = {"composites": "96 / 1.6", "simulation": "88 / 8.7"}
RADII_NM = (50.0, 100.0)
# Paired one to one, and by nearness alone.
PAIRED = ("detection_rate", "false_positive_rate")
RATES = (*PAIRED, *(f"near_{name}" for name in PAIRED))
HEADINGS = (
    "tested on | trained on | within [nm] | detected [%] | false positives [%]"
    " | near a prediction [%] | near no emitter [%] | paper"
)
TINY = NativeNetworkSettings(width=8, deep_width=16)
UNTRAINED = "embedded network"
# Of the measured sparse frames, whose header is not credible.
REAL_PIXEL_NM = 117.0
SHOWN_PX = 32
Scores = list[dict[str, Any]]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("own_data", __doc__)
    add = parser.add_argument
    add("experiment", choices=["fig7", "real"])
    add("--seeds", type=int, default=3, help="samples, each with its own networks")
    add("--first-seed", type=int, default=0)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=3500, help="batches of 16 per network")
    length.add_argument("--time-budget", metavar="TIME", help="per network, such as 10m")
    add("--start-from", default="native", metavar="NAME_OR_FILE", help="or 'scratch'")
    add("--rate", type=float, help="highest learning rate")
    add("--device", default="cpu")
    add("--composites", type=int, default=3000, help="test examples of sums")
    add("--dense-frames", type=int, default=100, help="frames exposed at once")
    add("--folder", type=Path, help="keeps the trainings, which then resume")
    add("--quick", action="store_true", help="a tiny network; do not quote")
    add("-o", "--output", type=Path, help="JSON, replaced if there; pictures go beside it")
    return parser.parse_args()


def effort_of(chosen: argparse.Namespace) -> two_networks.Effort:
    """Return how much is trained; networks from scratch take the rate of the recipe `native`."""
    budget_s = duration_s(chosen.time_budget) if chosen.time_budget else 0.0
    if chosen.quick:
        return two_networks.Effort(min(chosen.steps, 60), budget_s, None, TINY, 2e-3, chosen.device)
    start = None if chosen.start_from == "scratch" else chosen.start_from
    rate = chosen.rate or (8e-4 if start is None else 3e-4)
    return two_networks.Effort(
        chosen.steps, budget_s, start, NativeNetworkSettings(), rate, chosen.device
    )


def fig7(chosen: argparse.Namespace, folder: Path) -> Scores:
    """Train both networks for each sample, and score them and the embedded one on it."""
    scores: Scores = []
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        sparse = dot_sample.sparse_movie([seed, 0], 30 if chosen.quick else 100)
        dense, composites = (10, 10) if chosen.quick else (chosen.dense_frames, chosen.composites)
        movies = {"dense frames": dot_sample.dense_movie(seed, dense)}
        movies["composites"] = dot_sample.composite_movie(seed, composites)
        scores += scored(chosen, folder, PAPER, sparse, seed, movies)
    return scores


def real(chosen: argparse.Namespace, folder: Path) -> Scores:
    """Train on measured frames, and score on composites of frames that were held back.

    They are others than those by which the training chose its best network.
    """
    path = data_folder() / "real-sparse-tirf" / "movie.tif"
    if not path.is_file():
        raise InputError(f"there is no '{path}'; name the folder of published data, DEEPSTORM_DATA")
    sparse = sparse_frames(read_frames(path), REAL_PIXEL_NM)
    source = two_networks.own_examples(sparse).prepare(PhotonScaling(), UPSAMPLING, 0, sparse)
    tested = dot_sample.as_movie(
        source, chosen.composites, VALIDATION, first_batch=two_networks.VALIDATION_BATCHES
    )
    return scored(chosen, folder, ["composites"], sparse, 0, {"composites": tested})


def scored(
    chosen: argparse.Namespace,
    folder: Path,
    kinds: Iterable[str],
    sparse: SparseFrames,
    seed: int,
    movies: dict[str, MovieWithTruth],
) -> Scores:
    """Train networks, score them and the embedded one on movies, and draw the first sample."""
    networks, scores = {UNTRAINED: find_network("native")}, []
    for kind in kinds:
        home = folder / (f"{kind}-{seed}" if chosen.experiment == "fig7" else "real")
        began = time.monotonic()
        networks[kind] = two_networks.train(
            kind, sparse, effort_of(chosen), seed, home, on_step=said
        )
        print(f"seed {seed}, {kind}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    for test, movie in movies.items():
        told = {
            n: two_networks.predict(path, movie, sparse.instrument) for n, path in networks.items()
        }
        for name, radius_nm in itertools.product(networks, RADII_NM):
            key = {"seed": seed, "trained on": name, "tested on": test}
            scores.append(key | asdict(two_networks.rates(told[name][1], movie, radius_nm)))
        if chosen.output is not None and seed == 0:
            picture = f"{chosen.output.stem}-{test.split()[0]}.png"
            draw(movie, told, chosen.output.with_name(picture))
    return scores


def said(step: int, loss: float) -> None:
    """Say now and then how far a training is."""
    if step % 100 == 0:
        print(f"  step {step}, loss {loss:.4f}", file=sys.stderr)


def rows(scores: Scores) -> Iterator[Row]:
    """Yield means over the seeds, with standard deviations."""
    cells = itemgetter("tested on", "trained on", "radius_nm")
    for test, name, radius_nm in dict.fromkeys(map(cells, scores)):
        own = [score for score in scores if cells(score) == (test, name, radius_nm)]
        known = [[100 * each[rate] for each in own if each[rate] is not None] for rate in RATES]
        paper = PAPER.get(name) if test == "composites" else None
        yield row(HEADINGS, test, name, radius_nm, *(Measured.of(k).shown() for k in known), paper)


def draw(movie: MovieWithTruth, told: dict[str, Any], path: Path) -> None:
    """Draw a corner of the first frame; crosses are true emitters, circles the found ones."""
    figure = Figure(figsize=(4 * (1 + len(told)), 4.5), layout="constrained")
    side = SHOWN_PX * UPSAMPLING
    images = {"frame and truth": (movie.frames[0, :SHOWN_PX, :SHOWN_PX], None)}
    images |= {name: (np.sqrt(image[:side, :side]), found) for name, (image, found) in told.items()}
    axes = figure.subplots(1, len(images))
    for panel, (name, (image, found)) in zip(axes, images.items(), strict=True):
        panel.imshow(image, cmap="gray", extent=(0.0, SHOWN_PX, SHOWN_PX, 0.0))
        circles = {"ls": "none", "marker": "o", "mfc": "none", "mec": "c", "ms": 9}
        crosses = {"ls": "none", "marker": "+", "color": "r", "ms": 7}
        for table, style in ((found, circles), (movie.truth, crosses)):
            if table is not None:
                here = table.select(table.frame == 0)
                x_px, y_px = here.x_nm / movie.pixel_size_nm, here.y_nm / movie.pixel_size_nm
                panel.plot(x_px, y_px, **style)
        panel.set(title=name, xlim=(0, SHOWN_PX), ylim=(SHOWN_PX, 0), xticks=[], yticks=[])
    save_figure(figure, path)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the experiment, print its table and return what JSON keeps."""
    with tempfile.TemporaryDirectory() as temporary:
        experiment = fig7 if chosen.experiment == "fig7" else real
        scores = experiment(chosen, chosen.folder or Path(temporary))
    print_rows(rows(scores))
    record = {"rows": scores, "quick": chosen.quick, "experiment": chosen.experiment}
    return record | {"effort": str(effort_of(chosen))}


if __name__ == "__main__":
    named = arguments()
    finish("own_data", partial(measure, named), named.output)
