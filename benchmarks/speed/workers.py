"""Child processes, each with one runtime: their memory is their own, and they are asked in turn."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deepstorm.arrays import PathLike

FOLDER = Path(__file__).resolve().parent
# Seconds that a child gets to end by itself.
PATIENCE_S = 20


class WorkerError(RuntimeError):
    """A child process could not do what it was asked; the message says why."""


class Worker:
    """A child process that answers requests.

    Parameters
    ----------
    script : str
        One of this folder that calls :func:`protocol.serve`.
    python : path-like
        Interpreter to run it.
    environment : mapping
        Variables that are added to those of this process.

    Raises
    ------
    WorkerError
        If the interpreter cannot be started.
    """

    def __init__(
        self,
        script: str,
        python: PathLike = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close()
        try:
            self._process = subprocess.Popen(
                [python, str(FOLDER / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=os.environ | dict(environment or {}),
            )
        except OSError as error:
            self._errors.close()
            raise WorkerError(f"'{python}' cannot be started: {error}") from None

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Have an operation done and return its answer.

        Raises
        ------
        WorkerError
            If it failed, or the process died.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise WorkerError("the process has no pipes")
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"the process died: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Self:
        """Return the worker itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.close()

    def _last_words(self) -> str:
        """Return how the process ended and its last line of errors."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE_S)
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return f"exit status {self._process.returncode}, {lines[-1] if lines else 'nothing said'}"
