"""Virtual environments for programs that this one is compared with, made once and kept."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from children.workers import WorkerError

LONGEST_S, READY = 1200, ".ready"  # minutes are usual where the net is slow


class NoEnvironmentError(WorkerError):
    """The environment could not be made; the message says why."""


def default_cache() -> Path:
    """Return the folder in which benchmarks keep what they have fetched."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "deepstorm" / "benchmarks"


@cache
def python_with(packages: tuple[str, ...], folder: Path) -> Path:
    """Return the interpreter of an environment with packages, which is made where it is missing."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = folder / "-".join([*packages, f"python{version}"]).replace("==", "-")
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (home / READY).is_file():
        print(f"fetching {', '.join(packages)} into {home}", file=sys.stderr)
        _called([sys.executable, "-m", "venv", "--clear", str(home)])
        _called([str(python), "-m", "pip", "install", "--quiet", *packages])
        (home / READY).touch()
    return python


def _called(command: list[str]) -> None:
    said = ""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_S)
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines() or ["nothing said"]
        # Pip ends with notices of its own.
        said = ([line for line in lines if "ERROR" in line] or lines)[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if said:
        raise NoEnvironmentError(f"{' '.join(command[1:4])} failed: {said}")
