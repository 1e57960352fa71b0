"""Reconstruct the published movies, cold, and print time and memory side by side.

Each run is a whole process of the command line, with start-up, compilation and writing. How exact
the image of Fig. 4 is, is a part of `accuracy.py`.
"""

import json
import tempfile
from pathlib import Path

from children.workers import command
from deepstorm.errors import InputError
from deepstorm.paper.context import short_name
from deepstorm.paper.findings import Row
from movies import published
from report import print_rows, row, run

MOVIES = {"fig4-microtubules": 100.0, "real-dense-microtubules": 100.0, "real-sparse-tirf": 117.0}
HEADINGS = (
    "movie | network | whole command [s] | frames/s inside | peak memory [MB] | expected emitters"
)
OPTIONS = {
    "--network": ({"nargs": "+", "default": ["native"]}, "names or files"),
    "--keep": (Path, "folder for the images"),
}


def reconstruct_cold(movie: str, network: str, folder: Path) -> Row:
    """Run the command once."""
    name, source = short_name(network), published("movie.tif", movie)
    if source is None:
        raise InputError(f"there is no movie '{movie}'; set DEEPSTORM_DATA")
    output = folder / f"{movie}-{name}.tif"
    words = (str(source), "-o", str(output), "--pixel-size", str(MOVIES[movie]))
    done = command("reconstruct", *words, "--network", network)
    record = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    rate = record["frames"] / record["reconstruction_s"]
    cells = done["seconds"], rate, done["peak_mb"], record["expected_emitters"]
    return row(HEADINGS, movie, name, *cells)


def measure(chosen):
    """Print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        every = ((movie, network) for movie in MOVIES for network in chosen.network)
        return {"movies": print_rows(reconstruct_cold(*each, folder) for each in every)}


if __name__ == "__main__":
    run(__doc__, measure, OPTIONS)
