from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from children.workers import FOLDER, Worker, WorkerError, command

SCRIPT = """
import os, sys
sys.path.insert(0, {folder!r})
from workers import serve

def double(value):
    print("a library talks")
    os.system("echo so does another program")
    return {{"value": 2 * value}}

def die():
    sys.exit("there is no memory left")

serve({{"double": double, "die": die}})
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(folder=str(FOLDER)), encoding="utf-8")
    with closing(Worker(str(script))) as started:
        yield started


def test_answers_are_not_mixed_with_what_libraries_print(worker: Worker) -> None:
    assert worker.ask("double", value=3) == {"value": 6}
    assert worker.ask("double", value="ab") == {"value": "abab"}


def test_what_goes_wrong_is_told_and_survived(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="TypeError"):
        worker.ask("double", value=None)
    assert worker.ask("double", value=1) == {"value": 2}


def test_the_death_of_a_process_is_told(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="process died: exit status 1, there is no memory left"):
        worker.ask("die")
    with pytest.raises(WorkerError, match="process died"):
        worker.ask("double", value=1)


def test_an_interpreter_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="cannot be started"):
        Worker("workers.py", tmp_path / "python")


def test_memory_is_that_of_the_child_alone(worker: Worker) -> None:
    # A bare interpreter; what the parent holds is counted by ru_maxrss, and must not be.
    held = bytearray(200 * 2**20)
    assert 4 < worker.ask("memory")["peak_mb"] < 100
    assert len(held) > 0


def test_commands_are_timed_and_their_memory_is_their_own() -> None:
    held = bytearray(200 * 2**20)
    with closing(Worker("workers.py")) as worker:
        code = "import os, time; time.sleep(float(os.environ['PAUSE_S']))"
        answer = worker.ask("run", words=[sys.executable, "-c", code], variables={"PAUSE_S": "0.2"})
        assert answer["seconds"] > 0.2
        assert 4 < answer["peak_mb"] < 100
        failing = "import sys; print('no such movie', file=sys.stderr); sys.exit(3)"
        with pytest.raises(WorkerError, match="exit status 3, no such movie"):
            worker.ask("run", words=[sys.executable, "-c", failing], variables={})
    assert len(held) > 0


def test_the_command_is_run_by_its_name() -> None:
    assert command("--version")["seconds"] > 0
    with pytest.raises(WorkerError, match="exit status 2"):
        command("no-such-command")
