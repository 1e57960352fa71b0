"""Train on one's own sparse frames, and compare with plain simulation (the paper's Fig. 7).

python benchmarks/own_data.py fig7 [--seeds 3] [--steps N | --time-budget 10m] [-o FILE.json]
python benchmarks/own_data.py real [--steps N | --time-budget 10m] [-o FILE.json]
"""

import sys
import tempfile
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from deepstorm.api.example_sources import sparse_frames
from deepstorm.cli.durations import duration_s
from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.zoo import find_network
from deepstorm.paper import dot_sample, fig7, two_networks
from deepstorm.paper.context import Context
from deepstorm.paper.movies import read_frames
from deepstorm.training.examples.protocol import VALIDATION
from report import data_folder, finish, parser_of, print_rows

TINY = {"width": 8, "deep_width": 16}
# Of the measured sparse frames, whose header is not credible.
REAL_PIXEL_NM = 117.0


class OwnSettings(fig7.Figure7Settings):
    """What the figure of the paper does not choose: a time for each training."""

    time_budget_s: float = 0.0

    def effort(self):
        """Return how much is trained."""
        return replace(super().effort(), time_budget_s=self.time_budget_s)


def settings_of(chosen):
    """Return how much is trained and tested; from scratch at the rate of the recipe `native`."""
    start = None if chosen.start_from == "scratch" else chosen.start_from
    told = {
        "seeds": chosen.seeds,
        "steps": chosen.steps,
        "time_budget_s": duration_s(chosen.time_budget) if chosen.time_budget else 0.0,
        "composites": chosen.composites,
        "dense_frames": chosen.dense_frames,
        "start_from": start,
        "rate": chosen.rate or (8e-4 if start is None else 3e-4),
        "device": chosen.device,
    }
    if chosen.quick:
        told |= {"steps": min(chosen.steps, 60), "network": NativeNetworkSettings(**TINY)}
        told |= {"start_from": None, "rate": 2e-3, "sparse_frames": 30}
        told |= {"composites": 10, "dense_frames": 10}
    return OwnSettings(**told)


def on_samples(chosen, settings, folder, scores):
    """Train both networks for each sample, score them and the embedded one; draw the first."""
    context = Context(say=partial(print, file=sys.stderr))
    for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
        found = fig7.measure_sample(context, settings, seed, folder, scores)
        if seed == chosen.first_seed:
            draw(chosen, *found)


def on_real_frames(chosen, settings, folder, scores):
    """Train on measured frames, and score on composites of frames that were held back.

    They are others than those by which the training chose its best network.
    """
    path = data_folder() / "real-sparse-tirf" / "movie.tif"
    if not path.is_file():
        raise InputError(f"there is no '{path}'; name the folder of published data, DEEPSTORM_DATA")
    sparse = sparse_frames(read_frames(path), REAL_PIXEL_NM)
    scaling, upsampling = PhotonScaling(), dot_sample.UPSAMPLING
    source = two_networks.own_examples(sparse).prepare(scaling, upsampling, 0, sparse)
    first = two_networks.VALIDATION_BATCHES
    tested = dot_sample.as_movie(source, chosen.composites, VALIDATION, first_batch=first)
    trained = two_networks.train("composites", sparse, settings.effort(), 0, folder / "real")
    networks = {fig7.UNTRAINED: find_network("native"), fig7.NAMES["composites"]: trained}
    found = fig7.score(networks, {fig7.COMPOSITES: tested}, sparse.instrument, scores)
    draw(chosen, tested, found)


def draw(chosen, movie, expected):
    """Draw a frame and what each network expects there, beside the JSON."""
    if chosen.output is not None:
        picture = fig7.frames_picture(movie, expected)
        chosen.output.with_suffix(".png").write_bytes(picture.png)


def measure(chosen):
    """Run the experiment, print its table and return what JSON keeps."""
    settings, scores = settings_of(chosen), {}
    with tempfile.TemporaryDirectory() as temporary:
        experiment = on_samples if chosen.experiment == "fig7" else on_real_frames
        experiment(chosen, settings, chosen.folder or Path(temporary), scores)
    print_rows(fig7.rates_table(scores, settings).rows)
    names = ("tested on", "trained on", "within_nm")
    rows = [
        dict(zip(names, key, strict=True)) | asdict(one) for key in scores for one in scores[key]
    ]
    told = {"experiment": chosen.experiment, "settings": settings.model_dump()}
    return told | {"quick": chosen.quick, "rows": rows}


if __name__ == "__main__":
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
    add("-o", "--output", type=Path, help="JSON, replaced if there; the picture goes beside it")
    named = parser.parse_args()
    finish("own_data", partial(measure, named), named.output)
