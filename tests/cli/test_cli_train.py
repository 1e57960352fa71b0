from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_training_reports_and_keeps_its_losses(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = (
        'name = "tiny"\nsteps = 2\nvalidate_every = 1\nvalidation_batches = 1\n'
        'precision = "float32"\n[network]\nkind = "native"\nwidth = 4\ndeep_width = 8\n'
        '[examples]\nkind = "simulated"\npatch_px = 8\nscenes = 1\nframes_per_scene = 1\n'
    )
    (tmp_path / "tiny.toml").write_text(recipe)
    code, out, message = run("train", "tiny.toml", "--json")
    assert code == 0
    assert json.loads(out)["losses"] == str(Path("runs/tiny/losses.csv"))
    assert [line.split(":")[0] for line in message.splitlines()] == ["step 1", "step 2"]
    assert len((tmp_path / "runs/tiny/losses.csv").read_text().splitlines()) == 3
