"""The README's commands and Python run as they stand there, in its order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deepstorm.cli.app import main

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_console_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"^\$ deepstorm (.*)$", "\n".join(blocks("console")), flags=re.MULTILINE)
    # The movie that the first command reconstructs is the one that a later command simulates.
    ordered = sorted(commands, key=lambda words: not words.startswith("simulate"))
    assert len(ordered) >= 5
    monkeypatch.chdir(tmp_path)
    for words in ordered:
        monkeypatch.setattr(sys, "argv", ["deepstorm", *words.split()])
        main()
    for name in ("movie_deepstorm.tif", "movie_deepstorm.png", "mine.safetensors"):
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(512, 512) 12.5" in done.stdout


def test_the_files_it_links_to_exist() -> None:
    root = Path(__file__).resolve().parents[2]
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (root / link).exists()] == []
