"""Measure accuracy on published and simulated movies, and print it as tables.

python benchmarks/accuracy [--network NAME_OR_FILE ...] [--quick] [--only PART,...] [-o FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import line_width
import mismatch
import published_movie
import scene_kinds
import stripes
import subpixel
import uniform_fields
from measuring import Run
from report import Table

from deepstorm.api.reconstruct import package_versions
from deepstorm.errors import InputError
from deepstorm.files import check_writable, written_whole
from deepstorm.models.zoo import open_network

PARTS: dict[str, Callable[[Run], list[Table]]] = {
    "fig4": published_movie.measure,
    "stripes": stripes.measure,
    "line": line_width.measure,
    "uniform": uniform_fields.measure,
    "mismatch": mismatch.measure,
    "subpixel": subpixel.measure,
    "structures": scene_kinds.measure,
}


def parts_named(text: str) -> list[str]:
    """Read names of parts, separated by commas."""
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}"
        )
    return names


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="accuracy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--network", nargs="+", default=["native"], metavar="NAME_OR_FILE")
    parser.add_argument("--quick", action="store_true", help="a few seconds a part; do not quote")
    parser.add_argument(
        "--only", type=parts_named, default=list(PARTS), metavar="PART,...", help=", ".join(PARTS)
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="JSON, replaced if there; pictures go to its folder"
    )
    return parser.parse_args()


def described(run: Run) -> dict[str, Any]:
    """Return what the figures were measured with."""
    return {
        "networks": {name: open_network(name).checksum for name in run.networks},
        "quick": run.quick,
        "versions": package_versions(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    """Run the parts, print each as it is done, and write the JSON."""
    chosen = arguments()
    pictures = chosen.output.absolute().parent if chosen.output is not None else None
    run = Run(tuple(chosen.network), chosen.quick, pictures)
    parts: dict[str, Any] = {}
    try:
        if chosen.output is not None:
            check_writable(chosen.output, overwrite=True)
        described(run)  # refuses unknown networks before any work is done
        for name in chosen.only:
            began = time.perf_counter()
            tables = PARTS[name](run)
            seconds = time.perf_counter() - began
            print(f"## {name} ({seconds:.0f} s)\n", flush=True)
            print("\n".join(table.markdown() for table in tables), flush=True)
            parts[name] = {"seconds": seconds, "tables": [asdict(table) for table in tables]}
        if chosen.output is not None:
            with written_whole(chosen.output, overwrite=True) as partial:
                record = json.dumps(described(run) | {"parts": parts}, indent=1)
                partial.write_text(record + "\n", encoding="utf-8")
    except InputError as error:
        sys.exit(f"accuracy: {error}")


if __name__ == "__main__":
    main()
