"""Child processes, each with one runtime: their memory is their own, and they are asked in turn."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
# Seconds that a child gets to end by itself.
PATIENCE_S = 20


class WorkerError(RuntimeError):
    """A child process could not do what it was asked; the message says why."""


class Worker:
    """A process of a script of this folder that calls :func:`protocol.serve`.

    Some other interpreter may run it, and variables may be added to those of this process.
    """

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
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE_S)
            self._errors.seek(0)
            said = (self._errors.read().strip().splitlines() or ["nothing said"])[-1]
            raise WorkerError(f"the process died: exit status {self._process.returncode}, {said}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


def asked(script: str, do: str, **values: Any) -> dict[str, Any]:
    """Have one operation done by a process of its own."""
    with contextlib.closing(Worker(script)) as worker:
        return worker.ask(do, **values)
