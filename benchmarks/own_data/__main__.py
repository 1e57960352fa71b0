"""Train on one's own sparse frames, and compare with plain simulation (the paper's Fig. 7).

python benchmarks/own_data fig7 [--seeds 3] [--steps N] [--quick] [-o FILE.json]
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
from dot_sample import dense_movie, sparse_movie
from picture import draw
from two_networks import KINDS, Effort, predict, rates, train

from deepstorm.api.reconstruct import package_versions
from deepstorm.errors import InputError
from deepstorm.files import check_writable, written_whole
from deepstorm.models.native import NativeNetworkSettings

PAPER = {"composites": (96.0, 1.6), "simulation": (88.0, 8.7)}
RADII_NM = (50.0, 100.0)
TINY = NativeNetworkSettings(width=8, deep_width=16)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="own_data", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("experiment", choices=["fig7"])
    parser.add_argument("--seeds", type=int, default=3, help="samples, each with its own networks")
    parser.add_argument("--steps", type=int, default=3000, help="batches of 16 per network")
    parser.add_argument(
        "--start-from", default="native", metavar="NAME_OR_FILE", help="or 'scratch'"
    )
    parser.add_argument("--rate", type=float, default=4e-4, help="highest learning rate")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--test-frames", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="keeps the trainings, which then resume")
    parser.add_argument("--quick", action="store_true", help="a tiny network; do not quote")
    parser.add_argument(
        "-o", "--output", type=Path, help="JSON, replaced if there; the picture goes beside it"
    )
    return parser.parse_args()


def effort_of(chosen: argparse.Namespace) -> Effort:
    """Return how much is trained."""
    if chosen.quick:
        return Effort(min(chosen.steps, 60), None, TINY, 2e-3, chosen.device)
    start = None if chosen.start_from == "scratch" else chosen.start_from
    return Effort(chosen.steps, start, NativeNetworkSettings(), chosen.rate, chosen.device)


def measure(seed: int, chosen: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Train both networks for one sample and score them on dense frames of it."""
    sparse = sparse_movie(seed, 30 if chosen.quick else 100)
    dense = dense_movie(seed, 10 if chosen.quick else chosen.test_frames)
    rows, predictions = [], {}
    for kind in KINDS:
        began = time.monotonic()
        file = train(kind, sparse, effort_of(chosen), seed, folder / f"{kind}-{seed}", on_step=said)
        expected, found = predict(file, dense, sparse.instrument)
        predictions[kind] = (expected, found)
        for radius_nm in RADII_NM:
            row = asdict(rates(found, dense, radius_nm))
            rows.append({"seed": seed, "trained on": kind} | row)
        print(f"seed {seed}, {kind}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    if chosen.output is not None and seed == 0:
        draw(dense, predictions, chosen.output.with_suffix(".png"))
    return rows


def said(step: int, loss: float) -> None:
    """Say now and then how far a training is."""
    if step % 200 == 0:
        print(f"  step {step}, loss {loss:.4f}", file=sys.stderr)


def table(rows: list[dict[str, Any]]) -> str:
    """Return means over the seeds as Markdown, with standard deviations."""
    lines = [
        "| trained on | within | detected [%] | paper | false positives [%] | paper |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        for radius_nm in RADII_NM:
            own = [r for r in rows if (r["trained on"], r["radius_nm"]) == (kind, radius_nm)]
            detected = percent([row["detection_rate"] for row in own])
            false = percent([row["false_positive_rate"] for row in own])
            paper = PAPER[kind]
            lines.append(
                f"| {kind} | {radius_nm:g} nm | {detected} | {paper[0]} | {false} | {paper[1]} |"
            )
    return "\n".join(lines)


def percent(values: list[float | None]) -> str:
    """Return mean and standard deviation of what is known."""
    known = 100 * np.array([value for value in values if value is not None])
    return f"{known.mean():.1f} ± {known.std():.1f}" if len(known) else "–"


def main() -> None:
    """Run the experiment, print its table and write the JSON."""
    chosen = arguments()
    try:
        if chosen.output is not None:
            check_writable(chosen.output, overwrite=True)
        with tempfile.TemporaryDirectory() as temporary:
            folder = chosen.folder or Path(temporary)
            rows = [row for seed in range(chosen.seeds) for row in measure(seed, chosen, folder)]
        print(table(rows))
        if chosen.output is not None:
            record = {"rows": rows, "quick": chosen.quick, "versions": package_versions()}
            record |= {"effort": str(effort_of(chosen))}
            with written_whole(chosen.output, overwrite=True) as partial:
                partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except InputError as error:
        sys.exit(f"own_data: {error}")


if __name__ == "__main__":
    main()
