"""What the figures were measured on."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

from report import Row


def described(accelerator: str | None) -> Row:
    """Return processor, cores, memory, accelerator and load.

    Parameters
    ----------
    accelerator : str, optional
        Name of the CUDA device, where there is one.
    """
    threads = os.environ.get("OMP_NUM_THREADS")
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory [GB]": _memory_gb(),
        "accelerator": accelerator,
        "system": f"{platform.system()} {platform.machine()}",
        "OMP_NUM_THREADS": threads,
        "load at the start": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Return the logical cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
