from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepstorm.cli.durations import duration_s
from deepstorm.errors import InputError

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
    assert Path(json.loads(out)["report"]).is_file()
    assert [line.split(":")[0] for line in message.splitlines()] == ["step 1", "step 2"]
    assert len((tmp_path / "runs/tiny/losses.csv").read_text().splitlines()) == 3
    code, _, message = run("train", "tiny.toml", "--steps", "3")
    assert code == 1
    assert "steps: 2 there, 3 now" in message
    assert run("train", "tiny.toml", "--steps", "1", "--no-resume")[0] == 0
    assert len((tmp_path / "runs/tiny/losses.csv").read_text().splitlines()) == 2
    assert run("train", "tiny.toml", "--time-budget", "1h", "--patience", "1")[0] == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2H", 7200), ("1d 2h", 93_600), ("1h5s", 3605)],
)
def test_times_are_understood(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "0m", "m30", "1.5h", "-5m", "30m1h", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a time; write"):
        duration_s(text)
