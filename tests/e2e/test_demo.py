from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepstorm.cli.app import main
from deepstorm.demo import run_demo
from deepstorm.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "new"


def test_the_demo_leaves_what_it_promises(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["deepstorm", "demo", str(folder), "--frames", "60", "--json"])
    main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["frames"] == 60
    assert figures["NMSE [%]"] < 60
    assert figures["emitters/s"] > figures["frames/s"] > 0
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "comparison.png",
        "localizations.csv",
        "movie.tif",
        "reconstruction.json",
        "reconstruction.png",
        "reconstruction.tif",
        "truth.csv",
    }
    picture = np.asarray(Image.open(folder / "comparison.png").convert("L"))
    assert picture.shape[1] > 2 * picture.shape[0]
    assert picture.std() > 5


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        run_demo(tmp_path / "demo", 5, 0)


def test_files_of_others_are_kept_unless_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("movie.tif", "truth.csv", "reconstruction.json", "comparison.png"):
        mine = tmp_path / name
        mine.write_text("mine")
        with pytest.raises(InputError, match=f"{name}' exists"):
            run_demo(tmp_path, 5, 0)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        mine.unlink()
    (tmp_path / "movie.tif").write_text("mine")
    words = ["deepstorm", "demo", str(tmp_path), "--frames", "5", "--overwrite", "--json"]
    monkeypatch.setattr(sys, "argv", words)
    main()
    assert json.loads(capsys.readouterr().out)["frames"] == 5
