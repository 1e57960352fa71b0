"""The scripts start, and keep what they measure, from reconstructions that only pretend."""

from __future__ import annotations

import importlib
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accuracy
import deepstorm
import own_data
import report
from deepstorm.evaluation.detection import DetectionRates
from deepstorm.paper import fig7
from deepstorm.paper.findings import Picture

SCRIPTS = ("accuracy", "bank", "baselines", "calibration", "localizing", "own_data", "troubles")


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_can_be_imported(name: str) -> None:
    assert importlib.import_module(name).OPTIONS


def blurred_light(frames: Any, **told: Any) -> deepstorm.Reconstruction:
    """Stand in for a network: the light above the background, repeated on the fine grid."""
    light = frames.sum(axis=0, dtype=np.float32).repeat(8, axis=0).repeat(8, axis=1)
    return deepstorm.Reconstruction(light - light.min(), 12.5, light, None, None, record={})


@pytest.mark.parametrize("part", ["mismatch", "stripes"])
def test_curves_are_measured_and_drawn(
    part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(deepstorm, "reconstruct", blurred_light)
    monkeypatch.setattr(accuracy, "IMAGE_EMITTERS", 500)
    monkeypatch.setattr(accuracy, "_images", lambda run, counts, *_: light_of(run, counts))
    tables = accuracy.PARTS[part](accuracy.Run(("native",), quick=True, pictures=tmp_path))
    assert all(table.rows and table.note for table in tables)
    assert (tmp_path / f"{part}.png").read_bytes().startswith(b"\x89PNG")
    if part == "mismatch":
        assert [table.rows[0]["network"] for table in tables] == ["native", "native"]
        assert all("uniform [%]" in cells for table in tables for cells in table.rows)
    else:
        assert list(tables[0].rows[0])[2:] == ["measured", "paper", "at least", "aim"]


def light_of(run: accuracy.Run, counts: Any) -> Any:
    for name, result in run.on(counts):
        yield name, "image", result.image, 12.5


def test_a_published_movie_that_is_missing_is_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEEPSTORM_DATA", str(tmp_path))
    (table,) = accuracy.fig4(accuracy.Run(("native",), quick=True))
    assert "DEEPSTORM_DATA" in table.note


def test_rows_of_own_data_tell_their_sample(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def score(context: Any, settings: Any, seed: int, folder: Path, scores: fig7.Scores) -> Any:
        rates = DetectionRates(seed / 10, 0.0, seed / 10, 0.0, 1, 1, 0, 1, 50.0)
        scores.setdefault(("composites", "measured frames", 50.0), []).append(rates)
        return [Picture("composites", "", b"png")]

    monkeypatch.setattr(fig7, "measure_sample", score)
    told = {"experiment": "fig7", "seeds": 2, "first_seed": 4, "steps": 1, "time_budget": None}
    told |= {"start_from": "scratch", "folder": None, "quick": True}
    found = own_data.measure(Namespace(**told, pictures=tmp_path))
    assert [(each["seed"], each["detection_rate"]) for each in found["rows"]] == [
        (4, 0.4),
        (5, 0.5),
    ]
    assert (tmp_path / "fig7-composites.png").read_bytes() == b"png"


def test_options_are_read_and_what_is_measured_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {
        "folder": (Path, "a folder"),
        "--steps": (3, "a default"),
        "--quick": (False, "a switch"),
        "--only": (["one", "two"], "names"),
    }
    output = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["script", "here", "--only", "two", "-o", str(output)])
    report.run(
        "Text", lambda chosen: {"found": {k: str(v) for k, v in vars(chosen).items()}}, options
    )
    found = json.loads(output.read_text(encoding="utf-8"))
    told = {"folder": "here", "steps": "3", "quick": "False", "only": "['two']"}
    assert found["found"] == told | {"output": str(output), "pictures": str(tmp_path)}
    assert {"versions", "finished"} < set(found)
    monkeypatch.setattr(sys, "argv", ["script", "here", "--only", "three"])
    with pytest.raises(SystemExit):
        report.run("Text", vars, options)
    assert "invalid choice: 'three'" in capsys.readouterr().err
