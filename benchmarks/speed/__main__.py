"""Measure speed beside the original's, in one run, and print it as tables."""

import os
import platform
import re
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import commands
import engines
from contest import DEFAULT, PAPER, TENSORFLOW, Run, runtimes

import report
from deepstorm.cli.durations import duration_s
from deepstorm.models.zoo import open_network
from environments import default_cache

PARTS = {
    "engines": engines.measure,
    "command": commands.measure,
    "movies": commands.movies,
    "roof": engines.roof,
    "table1": commands.table1,
    "streaming": commands.streaming,
}
# What takes an hour is done only when it is asked for.
USUAL = [name for name in PARTS if name != "streaming"]
NAMES = {"nargs": "+", "choices": list(PARTS), "default": USUAL}
OPTIONS = {
    "--quick": (False, "a minute or two in all; do not quote"),
    "--only": (NAMES, "streaming takes hours and 3 GB of disk"),
    "--budget": (duration_s, "for each number of frames of a row, such as 5m  [20s]"),
    "--network": ("native", "name or file, in place of the default network"),
    "--paper": ("deepstorm-paper", "name or file of the paper's network"),
    "--without-original": (False, "fetch no TensorFlow"),
    "--cache": (default_cache(), "folder for TensorFlow"),
}


def machine() -> dict[str, Any]:
    """Return what the figures are measured on."""
    cpuinfo, bound = Path("/proc/cpuinfo"), hasattr(os, "sched_getaffinity")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    models = re.findall(r"model name\s*: (.*)", text)
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


def measure(chosen: Any) -> dict[str, Any]:
    """Run the parts that were asked for; unknown networks are refused before any work is done."""
    quick = {"repeats": 3, "movies": {64: (361,)}} if chosen.quick else {}
    budget_s = chosen.budget or (1.5 if chosen.quick else 20.0)
    networks = {PAPER: chosen.paper, DEFAULT: chosen.network}
    with tempfile.TemporaryDirectory() as temporary:
        asked = chosen.quick, budget_s, networks, not chosen.without_original
        run = Run(*asked, chosen.cache, Path(temporary), chosen.pictures, **quick)
        checksums = {name: open_network(file).checksum for name, file in networks.items()}
        record = {"networks": checksums, "machine": machine()}
        known = (f"{name}: {value}" for name, value in record["machine"].items() if value)
        print(", ".join(known) + "\n", flush=True)
        parts = report.measure_parts({name: partial(PARTS[name], run) for name in chosen.only})
    return record | {"quick": run.quick, "budget_s": run.budget_s, "parts": parts}


if __name__ == "__main__":
    report.run(__doc__, measure, OPTIONS)
