from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepstorm.io.tables.localizations import read_localizations, write_localizations

Run = Callable[..., tuple[int, str, str]]


def test_an_image_is_scored(run: Run, truth: Path) -> None:
    code, out, _ = run(
        "evaluate", str(truth.with_name("image.tif")), "--truth", str(truth), "--json"
    )
    figures = json.loads(out)
    assert code == 0
    assert figures["nmse_percent"] == pytest.approx(0, abs=1e-6)
    assert figures["psnr_db"] is None  # JSON has no infinity


def test_a_table_is_scored(run: Run, truth: Path) -> None:
    code, out, _ = run("evaluate", str(truth), "--truth", str(truth), "--radius", "20")
    assert code == 0
    assert "jaccard" in out


def test_a_picasso_truth_keeps_its_own_camera_pixel(run: Run, truth: Path) -> None:
    table = truth.with_suffix(".hdf5")
    write_localizations(table, read_localizations(truth), pixel_size_nm=100)
    words = ("--pixel-size", "12.5", "--json")
    code, out, _ = run("evaluate", str(truth.with_name("image.tif")), "--truth", str(table), *words)
    assert code == 0
    assert json.loads(out)["nmse_percent"] < 5


def test_doubts_are_told_in_the_words_of_the_command(run: Run, truth: Path) -> None:
    lines = truth.read_text().splitlines()
    later = [lines[0], *(line for line in lines[1:] if int(line.split(",")[1]) > 1)]
    as_from_0 = [",".join([i, str(int(f) - 1), *rest]) for i, f, *rest in map(_cells, later[1:])]
    table = truth.with_name("found.txt")
    table.write_text("\n".join([later[0], *as_from_0]))
    words = ("evaluate", str(table), "--truth", str(truth), "--radius", "20", "--json")
    code, out, message = run(*words)
    assert code == 0
    notes = json.loads(out)["notes"]
    assert "give --first-frame 0 if those of the result count from 0" in notes[0]
    assert message.splitlines() == [f"warning: {note}" for note in notes]
    code, out, message = run(*words, "--first-frame", "0")
    assert "one off" not in message
    assert json.loads(out)["precision"] == 1


def _cells(line: str) -> list[str]:
    return line.split(",")


def test_a_part_is_named_by_options(run: Run, truth: Path) -> None:
    options = ("--frames", "1:3", "--roi", "2,0,4,8", "--camera-pixel-size", "100")
    words = ("evaluate", str(truth), "--truth", str(truth), "--json", *options)
    code, out, message = run(*words)
    assert code == 0
    assert "frames 1:3 and the region 2,0,4,8" in json.loads(out)["notes"][0]
    assert "warning: as requested," in message
