"""Child process that runs commands: so small that its own memory does not count as theirs."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time

from protocol import Answer, megabytes, serve


def run(words: list[str], variables: dict[str, str]) -> Answer:
    """Run a command; tell its seconds and peak memory, or its last word if it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            words, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            lines = errors.read().strip().splitlines() or ["nothing said"]
            raise RuntimeError(f"exit status {process.returncode}, {lines[-1]}")
    return {"seconds": seconds, "peak_mb": megabytes(used.ru_maxrss)}


if __name__ == "__main__":
    serve({"run": run})
