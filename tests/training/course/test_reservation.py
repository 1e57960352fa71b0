from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deepstorm.errors import InputError
from deepstorm.training.course.folder import RESULT_NAME
from deepstorm.training.course.reservation import reserved_folder, reserved_training


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
    for name in ("mine", "new", "runs/new"):
        with pytest.raises(KeyError), reserved_folder(tmp_path / name):
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_network_goes_where_it_shall(tmp_path: Path) -> None:
    network, home, output = (tmp_path / name for name in ("net", "run", "mine.safetensors"))
    network.write_text("weights")
    with reserved_training(home, output, overwrite=False) as keep:
        with (
            pytest.raises(InputError, match=r"another run is writing .*mine\.safetensors"),
            reserved_training(tmp_path / "other", output, overwrite=True),
        ):
            pytest.fail("the name is taken")
        keep(network)
        assert not output.exists()
    assert output.read_text() == "weights"
    for _ in range(2):
        with reserved_training(home, None, overwrite=False) as keep:
            keep(network)
    assert [path.name for path in home.iterdir()] == [RESULT_NAME]
    assert not (tmp_path / "other").exists()


def test_processes_of_one_team_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "mine.safetensors"
    monkeypatch.setenv("RANK", "0")
    with reserved_training(tmp_path, output, overwrite=False) as first:
        monkeypatch.setenv("RANK", "1")
        with reserved_training(tmp_path, output, overwrite=False) as keep:
            keep(tmp_path / "not there")
        (tmp_path / "net").touch()
        first(tmp_path / "net")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.safetensors", "net"]
