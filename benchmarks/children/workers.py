"""Child processes and how they answer: one JSON object per line. Standard library alone.

As a script this runs commands, and is so small that its own memory does not count as theirs.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
PATIENCE_S = 20  # for a child to end by itself


class WorkerError(RuntimeError):
    """A child process could not do what it was asked; the message says why."""


class Worker:
    """A process of a script of this folder that calls :func:`serve`; variables are added."""

    def __init__(self, script: str, python: str | Path = sys.executable, **variables: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        words = [python, str(FOLDER / script)]
        try:
            self._process = subprocess.Popen(words, text=True, env=os.environ | variables, **pipes)
        except OSError as error:
            self._errors.close()
            raise WorkerError(f"'{python}' cannot be started: {error}") from None

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Have an operation done and return its answer; refuses what failed, or a dead process."""
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps({"do": do, **values}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
            status, said = self._process.returncode, last_line(self._errors)
            raise WorkerError(f"the process died: exit status {status}, {said}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        with self._errors, self._process, contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()


def asked(script: str, do: str, **values: Any) -> dict[str, Any]:
    """Have one operation done by a process of its own."""
    with contextlib.closing(Worker(script)) as worker:
        return worker.ask(do, **values)


def command(*words: str, **variables: str) -> dict[str, float]:
    """Run ``deepstorm`` alone in a process of its own; return ``seconds`` and ``peak_mb``."""
    told = [sys.executable, "-m", "deepstorm", *words]
    return asked("workers.py", "run", words=told, variables=variables)


def serve(operations: dict[str, Callable[..., dict[str, Any] | None]]) -> None:
    """Answer requests until the parent has no more; what goes wrong is answered as ``error``.

    A request names its operation by ``do``, ``memory`` is always there; the rest are arguments.
    """
    # Libraries print to standard output as they like; answers have a copy of it to themselves.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    known = {"memory": peak_memory, **operations}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = known[request.pop("do")](**request) or {}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


def peak_memory() -> dict[str, float]:
    """Return the largest resident memory of this process so far, as ``peak_mb``."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return {"peak_mb": megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)}
    # ru_maxrss would begin at what the parent had when it started this process.
    lines = status.read_text(encoding="ascii").splitlines()
    return {"peak_mb": float(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1024}


def last_line(errors: Any) -> str:
    """Return the last that a process said in a file."""
    errors.seek(0)
    return (errors.read().strip().splitlines() or ["nothing said"])[-1]


def megabytes(maxrss: int) -> float:
    """Return ``ru_maxrss`` in MB: macOS counts bytes, others kilobytes."""
    return maxrss / 2 ** (20 if sys.platform == "darwin" else 10)


def run(words: list[str], variables: dict[str, str]) -> dict[str, float]:
    """Run a command; tell its seconds and peak memory, or its last word if it fails."""
    with tempfile.TemporaryFile("w+") as errors:
        began, streams = time.perf_counter(), {"stdout": subprocess.DEVNULL, "stderr": errors}
        process = subprocess.Popen(words, env=os.environ | variables, **streams)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"exit status {process.returncode}, {last_line(errors)}")
    return {"seconds": seconds, "peak_mb": megabytes(used.ru_maxrss)}


if __name__ == "__main__":
    serve({"run": run})
