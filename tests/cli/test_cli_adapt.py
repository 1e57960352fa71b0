from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import deepstorm.api.adapt
from deepstorm.api.training_result import TrainingResult
from deepstorm.training.likeness import AdaptSettings

Run = Callable[..., tuple[int, str, str]]


def test_what_was_asked_for_is_passed_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: dict[str, Any] = {}

    def adapt(
        movie: Path, folder: Path | None, settings: AdaptSettings, **others: Any
    ) -> TrainingResult:
        seen.update(others | {"movie": movie, "folder": folder, "settings": settings})
        before, after = (30.0, 32.0, 31.0), (30.5, 32.5, 31.0)
        return TrainingResult(Path("result.safetensors"), Path("runs"), "NMSE", before, after)

    monkeypatch.setattr(deepstorm.api.adapt, "adapt", adapt)
    words = ("--structures", "any", "--time-budget", "5m", "--from-scratch", "--pixel-size", "99")
    code, out, message = run("adapt", "dense.tif", *words, "--json")
    assert code == 0
    assert "did not improve the network (NMSE); 'result.safetensors' is" in message
    found = json.loads(out)
    assert (found["network"], found["before"], found["improved"]) == (
        "result.safetensors",
        31,
        False,
    )
    settings = seen["settings"]
    assert (settings.structures, settings.tune, settings.from_scratch) == ("any", "refiner", True)
    assert (settings.time_budget_s, seen["pixel_size_nm"], seen["resume"]) == (300, 99, None)
    assert (seen["movie"], seen["folder"], seen["output"]) == (Path("dense.tif"), None, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.tif",), "nowhere.tif"),
        (("dense.tif", "--steps", "1", "--time-budget", "1m"), "--steps or a --time-budget, not"),
        (("dense.tif",), "for instance --pixel-size 100 (in nm)"),
        (("dense.tif", "--resume"), "leave --resume out to start one there"),
        (("dense.tif", "--folder", "dense.tif"), "give a --folder for the training"),
    ],
)
def test_what_cannot_be_used_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("dense.tif", np.zeros((6, 24, 24), np.uint16))
    code, out, message = run("adapt", *words)
    assert (code, out) == (1, "")
    assert said in message
    assert not (tmp_path / "runs").exists()
