"""Measure speed beside the original's, in one run, and print it as tables.

python benchmarks/speed [--quick] [--only PART,...] [--long] [--budget 20s] [--network NAME_OR_FILE]
    [--paper NAME_OR_FILE] [--without-original] [--cache FOLDER] [-o FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import machine
import predictions
import roof
import streaming
import table1
import whole_command
from entries import checksums, runtimes
from environments import TENSORFLOW, default_cache
from report import Table
from running import Run
from workers import WorkerError

from deepstorm.api.reconstruct import package_versions
from deepstorm.errors import InputError
from deepstorm.files import check_writable, written_whole

PARTS: dict[str, Callable[[Run], list[Table]]] = {
    "engines": predictions.measure,
    "command": whole_command.measure,
    "roof": roof.measure,
    "table1": table1.measure,
    "streaming": streaming.measure,
}
# What takes an hour is done only when it is asked for.
LONG = "streaming"
UNITS_S = {"s": 1, "m": 60, "h": 3600}
QUICK_BUDGET_S = 1.5


def parts_named(text: str) -> list[str]:
    """Read names of parts, separated by commas."""
    names = text.split(",")
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}"
        )
    return names


def seconds(text: str) -> float:
    """Read a time such as ``20s``, ``2m`` or ``20``."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS_S else (text, "s")
    try:
        found = float(number) * UNITS_S[unit]
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no time; give seconds, such as 20s, or 2m")
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="speed", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a minute or two in all; do not quote")
    add("--only", type=parts_named, metavar="PART,...", help=", ".join(PARTS))
    add("--long", action="store_true", help=f"the part {LONG}, too: up to hours, 3 GB of disk")
    add("--budget", type=seconds, metavar="TIME", help="for each number of frames of a row  [20s]")
    add("--network", default="native", metavar="NAME_OR_FILE", help="in place of the default one")
    add("--paper", default="deepstorm-paper", metavar="NAME_OR_FILE", help="the paper's network")
    add("--without-original", action="store_true", help="fetch no TensorFlow")
    add("--cache", type=Path, default=default_cache(), metavar="FOLDER", help="for TensorFlow")
    add("-o", "--output", type=Path, help="JSON, replaced if there; a figure goes to its folder")
    return parser.parse_args()


def run_of(chosen: argparse.Namespace, temporary: Path) -> Run:
    """Return the run that was asked for."""
    return Run(
        quick=chosen.quick,
        budget_s=chosen.budget or (QUICK_BUDGET_S if chosen.quick else 20.0),
        network=chosen.network,
        paper=chosen.paper,
        original=not chosen.without_original,
        cache=chosen.cache,
        temporary=temporary,
        pictures=chosen.output.absolute().parent if chosen.output is not None else None,
    )


def described(run: Run) -> dict[str, Any]:
    """Return what the figures were measured with."""
    return {
        "machine": machine.described(runtimes()["accelerator"]),
        "networks": checksums(run),
        "quick": run.quick,
        "budget_s": run.budget_s,
        "versions": package_versions() | dict(package.split("==") for package in TENSORFLOW),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def measure_parts(run: Run, names: list[str]) -> dict[str, Any]:
    """Run parts, print each as it is done, and return what JSON keeps of them."""
    parts: dict[str, Any] = {}
    for name in names:
        began = time.perf_counter()
        tables = PARTS[name](run)
        taken_s = time.perf_counter() - began
        print(f"## {name} ({taken_s:.0f} s)\n", flush=True)
        print("\n".join(table.markdown() for table in tables), flush=True)
        parts[name] = {"seconds": taken_s, "tables": [asdict(table) for table in tables]}
    return parts


def main() -> None:
    """Run the parts and write the JSON."""
    chosen = arguments()
    names = chosen.only or [name for name in PARTS if name != LONG]
    if chosen.long and LONG not in names:
        names.append(LONG)
    try:
        if chosen.output is not None:
            check_writable(chosen.output, overwrite=True)
        with tempfile.TemporaryDirectory() as temporary:
            run = run_of(chosen, Path(temporary))
            record = described(run)  # refuses unknown networks before any work is done
            print(f"{machine_line(record)}\n", flush=True)
            record["parts"] = measure_parts(run, names)
        if chosen.output is not None:
            with written_whole(chosen.output, overwrite=True) as partial:
                partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except (InputError, WorkerError) as error:
        sys.exit(f"speed: {error}")


def machine_line(record: dict[str, Any]) -> str:
    """Return machine and versions in one line."""
    known = record["machine"] | record["versions"]
    return ", ".join(f"{name}: {value}" for name, value in known.items() if value is not None)
