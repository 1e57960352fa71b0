"""Reconstruct the published movies, cold, and print accuracy, time and memory side by side.

    python benchmarks/reference_movies.py [--network NAME|PATH ...] [--keep FOLDER]

Looks for the movies in ``../shared/data`` or the folder named by DEEPSTORM_DATA. Each run is a
whole process of the command line, so that its time holds start-up, compilation and writing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import deepstorm

MOVIES = {"fig4-microtubules": 100.0, "real-dense-microtubules": 100.0, "real-sparse-tirf": 117.0}
PUBLISHED = "paper_reconstruction.mat"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    movie: str
    network: str
    seconds: float
    frames_per_s: float
    memory_mb: float
    emitters: float
    nmse: float = float("nan")
    registered_nmse: float = float("nan")
    jaccard_50nm: float = float("nan")
    chance_50nm: float = float("nan")

    def line(self) -> str:
        """Return the row of a Markdown table."""
        figures = (
            f"{self.seconds:.1f}",
            f"{self.frames_per_s:.1f}",
            f"{self.memory_mb:.0f}",
            f"{self.emitters:.0f}",
            f"{self.nmse:.2f}",
            f"{self.registered_nmse:.2f}",
            f"{self.jaccard_50nm:.3f}",
            f"{self.chance_50nm:.3f}",
        )
        return f"| {self.movie} | {self.network} | " + " | ".join(figures) + " |"


HEADINGS = (
    "movie",
    "network",
    "whole command [s]",
    "frames/s inside",
    "peak memory [MB]",
    "expected emitters",
    "NMSE [%]",
    "NMSE registered [%]",
    "Jaccard 50 nm",
    "by chance",
)


def data_folder() -> Path:
    """Return the folder of the published movies."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("DEEPSTORM_DATA", default))


def reconstruct_cold(movie: str, network: str, folder: Path) -> Row:
    """Run the command once and score what it leaves."""
    source = data_folder() / movie
    output = folder / f"{movie}-{Path(network).stem}.tif"
    command = [sys.executable, "-m", "deepstorm", "reconstruct", str(source / "movie.tif")]
    options = ["-o", str(output), "--pixel-size", str(MOVIES[movie]), "--network", network]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *options, "--json"], check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    # The largest of all finished runs so far: later rows cannot fall below earlier ones.
    memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    record = json.loads(done.stdout)
    row = {
        "movie": movie,
        "network": Path(network).stem,
        "seconds": seconds,
        "frames_per_s": record["frames"] / record["reconstruction_s"],
        "memory_mb": memory_mb,
        "emitters": record["expected_emitters"],
    }
    return Row(**row, **scores(output, source / "truth.csv"))


def scores(image: Path, truth: Path) -> dict[str, float]:
    """Score an image, and the table beside it, where there is a truth."""
    if not truth.exists():
        return {}
    whole = deepstorm.evaluate(image, truth).figures()
    table = deepstorm.evaluate(image.with_suffix(".csv"), truth, radius_nm=50).figures()
    return {
        "nmse": float(whole["nmse_percent"] or np.nan),
        "registered_nmse": float(whole["registered_nmse_percent"] or np.nan),
        "jaccard_50nm": float(table["jaccard"] or np.nan),
        "chance_50nm": float(table["chance_jaccard"] or np.nan),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", nargs="+", default=["native"])
    parser.add_argument("--keep", type=Path, help="folder for the images")
    arguments = parser.parse_args()
    if not data_folder().is_dir():
        sys.exit(f"the published movies are not in {data_folder()}; set DEEPSTORM_DATA")
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for movie in MOVIES:
            for network in arguments.network:
                print(reconstruct_cold(movie, network, folder).line(), flush=True)


if __name__ == "__main__":
    main()
