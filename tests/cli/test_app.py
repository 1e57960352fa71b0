from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

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
    [(OSError(28, "No space left on device"), "No space left"), (MemoryError(), "memory")],
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


def test_a_fault_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("deepstorm.cli.app.app", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run("models")
