"""Train on one's own sparse frames, and compare with plain simulation (the paper's Fig. 7).

python benchmarks/own_data fig7 [--seeds 3] [--steps N | --time-budget 10m] [-o FILE.json]
python benchmarks/own_data real [--steps N | --time-budget 10m] [-o FILE.json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from picture import draw
from real_frames import held_back, real_frames

from deepstorm.api.reconstruct import package_versions
from deepstorm.cli.durations import duration_s
from deepstorm.errors import InputError
from deepstorm.files import check_writable, written_whole
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.zoo import find_network
from deepstorm.paper.dot_sample import Movie, composite_movie, dense_movie, sparse_movie
from deepstorm.paper.two_networks import Effort, predict, rates, train
from deepstorm.structures import Instrument

# Detected and falsely detected in per cent (§3): what the paper trained on either.
PAPER = {"composites": "96 / 1.6", "simulation": "88 / 8.7"}
RADII_NM = (50.0, 100.0)
# Paired one to one, and by nearness alone.
RATES = (
    "detection_rate",
    "false_positive_rate",
    "near_detection_rate",
    "near_false_positive_rate",
)
TINY = NativeNetworkSettings(width=8, deep_width=16)
UNTRAINED = "embedded network"

Row = dict[str, Any]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="own_data", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("experiment", choices=["fig7", "real"])
    parser.add_argument("--seeds", type=int, default=3, help="samples, each with its own networks")
    parser.add_argument("--first-seed", type=int, default=0)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=3500, help="batches of 16 per network")
    length.add_argument("--time-budget", metavar="TIME", help="per network, such as 10m")
    parser.add_argument(
        "--start-from", default="native", metavar="NAME_OR_FILE", help="or 'scratch'"
    )
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--composites", type=int, default=3000, help="test examples of sums")
    parser.add_argument("--dense-frames", type=int, default=100, help="frames exposed at once")
    parser.add_argument("--folder", type=Path, help="keeps the trainings, which then resume")
    parser.add_argument("--quick", action="store_true", help="a tiny network; do not quote")
    parser.add_argument(
        "-o", "--output", type=Path, help="JSON, replaced if there; the picture goes beside it"
    )
    return parser.parse_args()


def effort_of(chosen: argparse.Namespace) -> Effort:
    """Return how much is trained; networks from scratch take the rate of the recipe `native`."""
    budget_s = duration_s(chosen.time_budget) if chosen.time_budget else 0.0
    if chosen.quick:
        return Effort(min(chosen.steps, 60), budget_s, None, TINY, 2e-3, chosen.device)
    start = None if chosen.start_from == "scratch" else chosen.start_from
    rate = chosen.rate or (8e-4 if start is None else 3e-4)
    return Effort(chosen.steps, budget_s, start, NativeNetworkSettings(), rate, chosen.device)


def fig7(chosen: argparse.Namespace, folder: Path) -> list[Row]:
    """Train both networks for each sample, and score them and the embedded one on it."""
    last = chosen.first_seed + chosen.seeds
    return [
        row for seed in range(chosen.first_seed, last) for row in one_sample(seed, chosen, folder)
    ]


def one_sample(seed: int, chosen: argparse.Namespace, folder: Path) -> list[Row]:
    """Train and score the networks for one sample."""
    sparse = sparse_movie([seed, 0], 30 if chosen.quick else 100)
    movies = {
        "dense frames": dense_movie(seed, 10 if chosen.quick else chosen.dense_frames),
        "composites": composite_movie(seed, 10 if chosen.quick else chosen.composites),
    }
    networks = {UNTRAINED: find_network("native")}
    for kind in PAPER:
        began = time.monotonic()
        home = folder / f"{kind}-{seed}"
        networks[kind] = train(kind, sparse, effort_of(chosen), seed, home, on_step=said)
        print(f"seed {seed}, {kind}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return scored(networks, movies, sparse.instrument, seed, chosen.output)


def real(chosen: argparse.Namespace, folder: Path) -> list[Row]:
    """Train on measured frames, and score on composites of frames that were held back."""
    sparse = real_frames()
    networks = {UNTRAINED: find_network("native")}
    networks["composites"] = train(
        "composites", sparse, effort_of(chosen), 0, folder / "real", said
    )
    movies = {"composites": held_back(sparse, 0, chosen.composites)}
    return scored(networks, movies, sparse.instrument, 0, chosen.output)


def scored(
    networks: dict[str, Path],
    movies: dict[str, Movie],
    instrument: Instrument,
    seed: int,
    output: Path | None,
) -> list[Row]:
    """Score networks on movies; draw the first sample."""
    rows: list[Row] = []
    for test, movie in movies.items():
        predictions = {name: predict(path, movie, instrument) for name, path in networks.items()}
        for name, (_, found) in predictions.items():
            for radius_nm in RADII_NM:
                row = {"seed": seed, "trained on": name, "tested on": test}
                rows.append(row | asdict(rates(found, movie, radius_nm)))
        if output is not None and seed == 0:
            draw(movie, predictions, output.with_name(f"{output.stem}-{test.split()[0]}.png"))
    return rows


def said(step: int, loss: float) -> None:
    """Say now and then how far a training is."""
    if step % 100 == 0:
        print(f"  step {step}, loss {loss:.4f}", file=sys.stderr)


def table(rows: list[Row]) -> str:
    """Return means over the seeds as Markdown, with standard deviations."""
    lines = [
        "| tested on | trained on | within | detected [%] | false positives [%] "
        "| near a prediction [%] | near no emitter [%] | paper |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    cells = ("tested on", "trained on", "radius_nm")
    for key in dict.fromkeys(tuple(row[cell] for cell in cells) for row in rows):
        own = [row for row in rows if tuple(row[cell] for cell in cells) == key]
        figures = " | ".join(percent([row[name] for row in own]) for name in RATES)
        test, name, radius_nm = key
        paper = PAPER.get(name, "–") if test == "composites" else "–"
        lines.append(f"| {test} | {name} | {radius_nm:g} nm | {figures} | {paper} |")
    return "\n".join(lines)


def percent(values: list[float | None]) -> str:
    """Return the mean of what is known, and its standard deviation where there are several."""
    known = 100 * np.array([value for value in values if value is not None])
    if len(known) < 2:
        return f"{known[0]:.1f}" if len(known) else "–"
    return f"{known.mean():.1f} ± {known.std(ddof=1):.1f}"


def main() -> None:
    """Run the experiment, print its table and write the JSON."""
    chosen = arguments()
    try:
        if chosen.output is not None:
            check_writable(chosen.output, overwrite=True)
        with tempfile.TemporaryDirectory() as temporary:
            folder = chosen.folder or Path(temporary)
            rows = (fig7 if chosen.experiment == "fig7" else real)(chosen, folder)
        print(table(rows))
        if chosen.output is not None:
            record = {"rows": rows, "quick": chosen.quick, "versions": package_versions()}
            record |= {"experiment": chosen.experiment, "effort": str(effort_of(chosen))}
            with written_whole(chosen.output, overwrite=True) as partial:
                partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except InputError as error:
        sys.exit(f"own_data: {error}")


if __name__ == "__main__":
    main()
