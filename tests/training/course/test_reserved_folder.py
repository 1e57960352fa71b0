from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deepstorm.errors import InputError
from deepstorm.training.course.folder import reserved_folder


def _reserved_elsewhere(folder: Path) -> str:
    """Try to reserve a folder in another thread; return what it is told."""
    told: list[str] = []

    def attempt() -> None:
        try:
            with reserved_folder(folder):
                told.append("")
        except InputError as error:
            told.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return told[0]


def test_a_folder_is_reserved_for_one_training(tmp_path: Path) -> None:
    home = tmp_path / "a" / "run"
    with reserved_folder(home):
        assert "another training is running in" in _reserved_elsewhere(home)
        assert "another training is running in" in _reserved_elsewhere(home / ".." / "run")
        assert _reserved_elsewhere(tmp_path / "other") == ""
        with reserved_folder(home):  # a part of the same training
            pass
        assert "another training is running in" in _reserved_elsewhere(home)
        (home / "state").touch()
    assert _reserved_elsewhere(home) == ""
    assert [path.name for path in home.iterdir()] == ["state"]


def test_a_folder_that_stays_empty_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with pytest.raises(KeyError), reserved_folder(tmp_path / name):
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_processes_of_one_team_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with reserved_folder(tmp_path):
        monkeypatch.setenv("RANK", "1")
        assert _reserved_elsewhere(tmp_path) == ""
        monkeypatch.setenv("RANK", "0")
        assert "another training" in _reserved_elsewhere(tmp_path)
