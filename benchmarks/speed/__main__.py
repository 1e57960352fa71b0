"""Measure speed beside the original's, in one run, and print it as tables.

python benchmarks/speed [--quick] [--only PART,...] [--long] [--budget 20s] [--network NAME_OR_FILE]
    [--paper NAME_OR_FILE] [--without-original] [--cache FOLDER] [-o FILE]
"""

import argparse
import os
import platform
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import commands
import engines
from contest import TENSORFLOW, Run, checksums, runtimes
from timing import seconds
from workers import WorkerError

from environments import default_cache
from report import finish, measure_parts, names_of, parser_of

PARTS = {
    "engines": engines.measure,
    "command": commands.measure,
    "roof": engines.roof,
    "streaming": commands.streaming,
}
# What takes an hour is done only when it is asked for.
LONG = "streaming"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("speed", __doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a minute or two in all; do not quote")
    add("--only", type=names_of(PARTS), metavar="PART,...", help=", ".join(PARTS))
    add("--long", action="store_true", help=f"the part {LONG}, too: up to hours, 3 GB of disk")
    add("--budget", type=seconds, metavar="TIME", help="for each number of frames of a row  [20s]")
    add("--network", default="native", metavar="NAME_OR_FILE", help="in place of the default one")
    add("--paper", default="deepstorm-paper", metavar="NAME_OR_FILE", help="the paper's network")
    add("--without-original", action="store_true", help="fetch no TensorFlow")
    add("--cache", type=Path, default=default_cache(), metavar="FOLDER", help="for TensorFlow")
    add("-o", "--output", type=Path, help="JSON, replaced if there; a figure goes to its folder")
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """Return what the figures are measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    bound = hasattr(os, "sched_getaffinity")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": (models or [platform.processor() or platform.machine()])[0],
        "cores": len(os.sched_getaffinity(0)) if bound else os.cpu_count(),
        "memory [GB]": round(memory / 2**30),
        "accelerator": runtimes()["accelerator"],
        "system": f"{platform.system()} {platform.machine()}",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        "load at the start": round(os.getloadavg()[0], 2),
    } | dict(package.split("==") for package in TENSORFLOW)


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Run the parts that were asked for; unknown networks are refused before any work is done."""
    names = chosen.only or [name for name in PARTS if name != LONG]
    names += [LONG] if chosen.long and LONG not in names else []
    budget_s = chosen.budget or (1.5 if chosen.quick else 20.0)
    pictures = chosen.output.absolute().parent if chosen.output is not None else None
    with tempfile.TemporaryDirectory() as temporary:
        networks, original = (chosen.network, chosen.paper), not chosen.without_original
        folders = chosen.cache, Path(temporary), pictures
        run = Run(chosen.quick, budget_s, *networks, original, *folders)
        record = {"networks": checksums(run), "machine": machine()}
        known = (f"{name}: {value}" for name, value in record["machine"].items() if value)
        print(", ".join(known) + "\n", flush=True)
        parts = measure_parts({name: partial(PARTS[name], run) for name in names})
    return record | {"quick": run.quick, "budget_s": run.budget_s, "parts": parts}


if __name__ == "__main__":
    named = arguments()
    try:
        finish("speed", partial(measure, named), named.output)
    except WorkerError as error:
        sys.exit(f"speed: {error}")
