"""Reconstruct the published movies, cold, and print accuracy, time and memory side by side.

    python benchmarks/reference_movies.py [--network NAME|PATH ...] [--keep FOLDER]

Each run is a whole process of the command line, with start-up, compilation and writing.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import deepstorm
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.paper.context import short_name
from deepstorm.paper.findings import Row
from report import data_folder, parser_of, print_rows, row

MOVIES = {"fig4-microtubules": 100.0, "real-dense-microtubules": 100.0, "real-sparse-tirf": 117.0}
HEADINGS = (
    "movie | network | whole command [s] | frames/s inside | peak memory [MB] | expected emitters"
    " | expected / true | NMSE [%] | NMSE registered [%] | by x [nm] | by y [nm] | Jaccard 50 nm"
    " | by chance, 50 nm | Jaccard 100 nm | by chance, 100 nm"
)
SCORES = ("nmse_percent", "registered_nmse_percent", "registered_dx_nm", "registered_dy_nm")


def reconstruct_cold(movie: str, network: str, folder: Path) -> Row:
    """Run the command once and score what it leaves, where there is a truth."""
    source, name = data_folder() / movie, short_name(network)
    output, truth = folder / f"{movie}-{name}.tif", source / "truth.csv"
    command = [sys.executable, "-m", "deepstorm", "reconstruct", str(source / "movie.tif")]
    options = ["-o", str(output), "--pixel-size", str(MOVIES[movie]), "--network", network]
    began = time.perf_counter()
    done = subprocess.run([*command, *options, "--json"], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    # The largest of all finished runs so far: later rows cannot fall below earlier ones.
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    record = json.loads(done.stdout)
    rate = record["frames"] / record["reconstruction_s"]
    emitters, figures = record["expected_emitters"], [None] * 9
    if truth.exists():
        whole = deepstorm.evaluate(output, truth).figures()
        true = len(read_localizations(truth, pixel_size_nm=MOVIES[movie]))
        figures = [emitters / true, *map(whole.get, SCORES)]
        for radius in (50, 100):
            table = output.with_suffix(".csv")
            scores = deepstorm.evaluate(table, truth, radius_nm=radius).figures()
            figures += [scores["jaccard"], scores["chance_jaccard"]]
    return row(HEADINGS, movie, name, seconds, rate, peak_mb, emitters, *figures)


def main() -> None:
    """Print the table."""
    parser = parser_of("reference_movies", __doc__)
    parser.add_argument("--network", nargs="+", default=["native"])
    parser.add_argument("--keep", type=Path, help="folder for the images")
    chosen = parser.parse_args()
    if not data_folder().is_dir():
        sys.exit(f"the published movies are not in {data_folder()}; set DEEPSTORM_DATA")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        every = ((movie, network) for movie in MOVIES for network in chosen.network)
        print_rows(reconstruct_cold(*each, folder) for each in every)


if __name__ == "__main__":
    main()
