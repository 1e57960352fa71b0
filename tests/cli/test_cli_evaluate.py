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
