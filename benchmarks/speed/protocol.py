"""How a child process answers: one JSON object per line, in and out. Standard library alone."""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
Operation = Callable[..., Answer]


def serve(operations: Mapping[str, Operation]) -> None:
    """Answer requests until the parent has no more.

    A request names its operation by ``do``; its other keys are the arguments. What goes wrong is
    answered as ``error``, and the process stays.

    Parameters
    ----------
    operations : mapping
        Name to function; ``memory`` is always there.
    """
    # Libraries print to standard output as they like; answers have a copy of it to themselves.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    known: dict[str, Operation] = {"memory": peak_memory, **operations}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = known[request.pop("do")](**request)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


def peak_memory() -> Answer:
    """Return the largest resident memory of this process so far, as ``peak_mb``."""
    status = Path("/proc/self/status")
    if status.is_file():
        # ru_maxrss would begin at what the parent had when it started this process.
        lines = status.read_text(encoding="ascii").splitlines()
        return {"peak_mb": float(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1024}
    return {"peak_mb": megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)}


def megabytes(maxrss: int) -> float:
    """Return ``ru_maxrss`` in MB: macOS counts bytes, others kilobytes."""
    return maxrss / 2 ** (20 if sys.platform == "darwin" else 10)
