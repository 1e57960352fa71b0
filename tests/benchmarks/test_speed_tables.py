"""The tables and the figure, from child processes that only pretend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import contest
import engines
import pytest
from contest import DEFAULT, ORIGINAL, PAPER, Comparison, Entry, Result, Run, compared, opened

from children.workers import Worker, WorkerError
from environments import NoEnvironmentError
from report import Row

SECONDS_PER_FRAME = {
    ORIGINAL: 0.5,
    Entry(PAPER, "unfolded"): 0.6,
    Entry(PAPER, "torch"): 0.3,
    Entry(PAPER, "openvino", "bf16"): 0.05,
    Entry(DEFAULT, "openvino", "bf16"): 0.01,
    Entry(DEFAULT, "torch"): 0.02,
}


class PretendedWorker(Worker):
    """Answers at once what a process of a given speed would."""

    def __init__(self, seconds_per_frame: float) -> None:
        self._seconds = seconds_per_frame

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        if do == "predict":
            return {"seconds": values["count"] * self._seconds}
        nmse = {"nmse_percent": 31 + self._seconds, "registered_nmse_percent": 30.5}
        return {"memory": {"peak_mb": 900.0}, "nmse": nmse}[do]

    def close(self) -> None:
        pass


def open_pretended(run: Run, entry: Entry, side_px: int) -> tuple[Worker, int]:
    if entry == Entry(PAPER, "torch"):
        raise WorkerError("the process died: exit status -9, killed")
    seconds = SECONDS_PER_FRAME[entry] * (side_px / 64) ** 2
    return PretendedWorker(seconds), 4


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("DEEPSTORM_DATA", str(tmp_path))
    (tmp_path / "fig4-microtubules").mkdir()
    (tmp_path / "fig4-microtubules" / "movie.tif").touch()
    monkeypatch.setattr(contest, "entries", lambda run: tuple(SECONDS_PER_FRAME))
    monkeypatch.setattr(contest, "opened", open_pretended)
    monkeypatch.setattr(contest, "largest_difference", lambda run, first, second: 2e-6)
    yield Run(
        quick=False,
        budget_s=20,
        networks={PAPER: "deepstorm-paper", DEFAULT: "native"},
        original=True,
        cache=tmp_path,
        temporary=tmp_path,
        pictures=tmp_path,
    )
    compared.cache_clear()


def row_of(rows: list[Row], entry: Entry) -> Row:
    return next(r for r in rows if (r["network"], r["runtime"], r["precision"]) == entry.words)


def test_speeds_stand_beside_the_originals(run: Run) -> None:
    small, middle, large, same = engines.measure(run)
    ours = row_of(small.rows, Entry(DEFAULT, "openvino", "bf16"))
    assert ours["frames/s"] == pytest.approx(100)
    assert ours["times the original"] == pytest.approx(50)
    assert ours["emitters/s"] == pytest.approx(100 * 5.48 * 6.4**2)
    assert ours["camera megapixels/s"] == pytest.approx(0.4096)
    assert ours["361 frames [s]"] == pytest.approx(3.61)
    assert ours["registered [%]"] == 30.5
    assert row_of(large.rows, ORIGINAL)["times the original"] == 1
    assert middle.title == "Frames of 128 × 128 pixels"
    assert same.rows[0]["the same network"] is None  # ours did not run


def test_nothing_is_extrapolated(run: Run) -> None:
    small = engines.measure(run)[0]
    for entry in SECONDS_PER_FRAME:
        row = row_of(small.rows, entry)
        assert row.get("5000 frames [s]") is None
    assert row_of(small.rows, ORIGINAL)["361 frames [s]"] is None
    assert row_of(small.rows, ORIGINAL)["frames × runs"] == "8 × 5"


def test_what_does_not_run_says_so(run: Run) -> None:
    failed = row_of(engines.measure(run)[0].rows, Entry(PAPER, "torch"))
    assert failed["frames × runs"] == "the process died: exit status -9, killed"
    assert "frames/s" not in failed


def test_nmse_is_that_of_network_and_precision(run: Run) -> None:
    rows = engines.measure(run)[0].rows
    scores = {(row["network"], row["runtime"]): row["NMSE [%]"] for row in rows}
    # The original computes what the paper's network does in PyTorch, by the table below.
    assert scores[ORIGINAL.words[:2]] == scores[Entry(PAPER, "unfolded").words[:2]] == 31.6
    assert scores[DEFAULT, "OpenVINO"] == 31.01


def test_the_figure_is_drawn(run: Run, tmp_path: Path) -> None:
    engines.measure(run)
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_rates_are_of_the_median() -> None:
    result = Result(ORIGINAL, 64, {30: [1.0, 9.0, 2.0], 361: [7.0]})
    assert result.frames_per_s == 15
    assert result.medians_s == {30: 2, 361: 7}


def test_the_papers_table_1_has_whole_movies_beside_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {commands.WARM: ([4.0, 6.0, 5.0], 300.0), commands.LARGER: ([9.0], 300.0)}
    monkeypatch.setattr(commands, "timed_commands", lambda run: taken)
    simulated, experimental = commands.table1(run)[0].rows
    assert simulated["Deep-STORM, CPU / GPU [s]"] == "123 / 4"
    assert simulated["here: Keras, as published, cpu [s]"] is None
    assert simulated["here: paper's, cpu [s]"] == pytest.approx(361 * 0.05)
    assert simulated["here: default, cpu [s]"] == pytest.approx(3.61)
    assert simulated["here: the whole command [s]"] == 5
    assert experimental["here: default, cpu [s]"] == pytest.approx(500 * 0.04)
    assert experimental["here: the whole command [s]"] == 9


def test_shares_of_the_roof(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "roof": {"f32": {"gigamacs_per_s": 200.0, "library": "x", "side": 1}},
        "count": {"folded": 2.0, "unfolded": 4.0},
    }
    result = Result(ORIGINAL, 64, {10: [1.0]})
    monkeypatch.setattr(contest, "compared", lambda run: Comparison([result], None, {}))
    monkeypatch.setattr(engines, "asked", lambda script, do, **values: answers[do])
    share = engines.roof(run)[2].rows[0]
    assert share["GMAC/s"] == pytest.approx(40)
    assert share["of the roof [%]"] == pytest.approx(20)


def test_an_environment_that_cannot_be_made_is_a_row(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[Path] = []

    def refuse(packages: tuple[str, ...], folder: Path) -> Path:
        tries.append(folder)
        raise NoEnvironmentError("-m pip install failed: no matching distribution")

    monkeypatch.setattr(contest, "python_with", refuse)
    for side_px in (64, 128):
        with pytest.raises(WorkerError, match=r"no environment with tensorflow-cpu.*no matching"):
            opened(run, ORIGINAL, side_px)
    assert len(tries) == 1
