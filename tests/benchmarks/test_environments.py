from __future__ import annotations

import sys
from pathlib import Path

import pytest
from contest import TENSORFLOW

import environments
from environments import READY, NoEnvironmentError, python_with


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def pretend(command: list[str]) -> None:
        commands.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir()

    monkeypatch.setattr(environments, "_called", pretend)
    python = python_with(TENSORFLOW, tmp_path)
    home = next(tmp_path.iterdir())
    assert home in python.parents
    assert TENSORFLOW[0].replace("==", "-") in home.name
    assert commands[0][:3] == [sys.executable, "-m", "venv"]
    assert commands[1][-len(TENSORFLOW) :] == list(TENSORFLOW)
    python_with.cache_clear()
    assert python_with(TENSORFLOW, tmp_path) == python
    assert len(commands) == 2


def test_one_that_was_broken_off_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing" / "python"))
    with pytest.raises(NoEnvironmentError, match=r"-m venv --clear failed: .*missing"):
        python_with(TENSORFLOW, tmp_path)
    assert not list(tmp_path.rglob(READY))
    with pytest.raises(NoEnvironmentError):
        python_with(TENSORFLOW, tmp_path)


def test_what_pip_says_is_told(tmp_path: Path) -> None:
    code = "import sys; sys.exit('ERROR: No matching distribution found')"
    with pytest.raises(NoEnvironmentError, match="failed: ERROR: No matching distribution found"):
        environments._called([sys.executable, "-c", code])
