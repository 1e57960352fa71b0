from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from deepstorm.locks import ENDING

Run = Callable[..., tuple[int, str, str]]


def test_version_and_help(run: Run) -> None:
    assert run("--version")[:2] == (0, version("deepstorm") + "\n")
    code, out, message = run()
    assert code == 2
    assert "reconstruct" in out + message
    assert "error" not in message


def test_help_waits_for_no_library() -> None:
    code = (
        "import deepstorm.cli.app, sys; "
        "print(*{'numpy', 'scipy', 'torch', 'pydantic'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "nonsense"], "native, paper"),
        (["train", "native", "-o", "net.pt"], ".safetensors"),
        (["evaluate", "truth.csv", "--truth", "truth.csv", "--line", "0,0,1,1"], "for images"),
        (["evaluate", "image.tif"], "nothing to score"),
        (["simulate", "m.png"], "TIFF"),
        (["simulate", "m.tif", "--settings", "none.toml"], "does not exist"),
        (["demo", "truth.csv"], "is a file"),
    ],
)
def test_mistakes_end_in_one_sentence(
    run: Run, truth: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str
) -> None:
    monkeypatch.chdir(truth.parent)
    before = set(truth.parent.iterdir())
    code, _, message = run(*words)
    assert code == 1
    assert expected in message
    assert len(message.splitlines()) == 1
    assert set(truth.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (OSError(28, "No space left on device"), "no space left on the disk; free some"),
        (OSError(28, "No space left on device", "a.tif"), "disk of 'a.tif'"),
        (OSError("262144 requested and 28616 written"), "no space left"),
        (OSError(5, "Input/output error"), "reported an error: [Errno 5]"),
        (MemoryError(), "memory"),
    ],
)
def test_faults_of_the_machine_are_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: Exception, expected: str
) -> None:
    def fail(**_: object) -> None:
        raise fault

    monkeypatch.setattr("deepstorm.cli.app.app", fail)
    code, _, message = run("models")
    assert code == 1
    assert expected in message


@pytest.mark.parametrize("count", [3, 3000])
@pytest.mark.parametrize("command", ["reconstruct", "evaluate", "calibrate"])
def test_a_wildcard_ends_in_a_short_message(run: Run, command: str, count: int) -> None:
    code, _, message = run(command, *(f"s/img_{number}.tif" for number in range(count)))
    assert code == 2
    assert f"{count - 1} more names than expected ('s/img_1.tif', 's/img_2.tif'…)" in message
    assert "Image Sequence" in message
    assert len(message) < 500


def test_a_fault_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("deepstorm.cli.app.app", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run("models")


def test_who_calls_the_program_keeps_its_signals(run: Run) -> None:
    before = [signal.getsignal(number) for number in ENDING]
    run("--version")
    assert [signal.getsignal(number) for number in ENDING] == before


SLEEPY = """
import sys, time
from deepstorm.api import simulate
from deepstorm.cli.app import main

def frames(*_):
    print(flush=True)
    time.sleep(60)
    yield

simulate._counted = frames
sys.argv = ["deepstorm", "simulate", sys.argv[1]]
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="Unix ends processes by signals")
@pytest.mark.parametrize("names", [["SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGHUP", "SIGTERM"]])
def test_every_signal_that_ends_a_program_leaves_nothing(tmp_path: Path, names: list[str]) -> None:
    command = [sys.executable, "-c", SLEEPY, str(tmp_path / "movie.tif")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    run.stdout.readline()
    assert list(tmp_path.iterdir())
    for name in names:
        run.send_signal(getattr(signal, name))
    assert "no unfinished output was left behind" in run.communicate()[1]
    assert run.returncode == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Unix ends processes by signals")
def test_a_run_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    command = [sys.executable, "-c", SLEEPY, str(tmp_path / "movie.tif")]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=ignore)
    assert run.stdout is not None
    run.stdout.readline()
    run.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert run.poll() is None
    run.kill()
    run.communicate()
