from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from deepstorm import cli
from deepstorm.io.images import write_image
from deepstorm.io.localizations import write_localizations
from deepstorm.structures import Localizations, histogram_image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and gives its exit code, output and messages."""

    def _run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["deepstorm", *words])
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return _run


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    emitters = Localizations(
        np.sort(rng.integers(0, 4, 200)),
        np.round(rng.uniform(0, 800, 200), 1),
        np.round(rng.uniform(0, 800, 200), 1),
    )
    write_localizations(tmp_path / "truth.csv", emitters)
    write_image(tmp_path / "image.tif", histogram_image(emitters, (64, 64), 12.5), 12.5)
    return tmp_path / "truth.csv"


def test_version_and_help(run: Run) -> None:
    assert run("--version")[:2] == (0, version("deepstorm") + "\n")
    code, out, message = run()
    assert code == 2
    assert "reconstruct" in out + message
    assert "error" not in message


def test_models_are_listed(run: Run) -> None:
    code, out, _ = run("models", "--json")
    assert code == 0
    card = json.loads(out)["native"]
    assert card["network"]["kind"] == "native"
    assert card["validity"]["pixel_size_nm"] == [50, 200]
    code, out, _ = run("models")
    assert code == 0
    assert "native" in out


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
    from deepstorm.io.localizations import read_localizations

    table = truth.with_suffix(".hdf5")
    write_localizations(table, read_localizations(truth), pixel_size_nm=100)
    words = ("--pixel-size", "12.5", "--json")
    code, out, _ = run("evaluate", str(truth.with_name("image.tif")), "--truth", str(table), *words)
    assert code == 0
    assert json.loads(out)["nmse_percent"] < 5


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "nonsense"], "native, paper"),
        (["train", "native", "-o", "net.pt"], ".safetensors"),
        (["evaluate", "truth.csv", "--truth", "truth.csv", "--line", "0,0,1,1"], "for images"),
        (["evaluate", "image.tif"], "nothing to score"),
        (["simulate", "m.png"], "TIFF"),
        (["simulate", "m.tif", "--settings", "none.toml"], "does not exist"),
        (["demo", "truth.csv"], "is a file"),
    ],
)
def test_mistakes_end_in_one_sentence(
    run: Run, truth: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str
) -> None:
    monkeypatch.chdir(truth.parent)
    before = set(truth.parent.iterdir())
    code, _, message = run(*words)
    assert code == 1
    assert expected in message
    assert len(message.splitlines()) == 1
    assert set(truth.parent.iterdir()) == before


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


def test_a_bar_is_drawn_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        console = Console(force_terminal=is_terminal, width=100, record=True)
        with console.capture() as captured:
            monkeypatch.setattr(cli, "_err", console)
            with cli._progress("reconstructing", "frames") as update:
                update(30, 60, "")
        assert ("frames/s" in captured.get()) == is_terminal


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(OSError(28, "No space left on device"), "No space left"), (MemoryError(), "memory")],
)
def test_faults_of_the_machine_are_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: Exception, expected: str
) -> None:
    def fail(**_: object) -> None:
        raise fault

    monkeypatch.setattr(cli, "app", fail)
    code, _, message = run("models")
    assert code == 1
    assert expected in message


def test_a_fault_of_ours_is_not_hidden(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run("models")
