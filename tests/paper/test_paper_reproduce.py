from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.paper import reproduce as module
from deepstorm.paper.context import Context
from deepstorm.paper.findings import Finding, Measured, Picture, Table
from deepstorm.paper.registry import PARTS
from deepstorm.paper.reproduce import chosen_parts, reproduce
from deepstorm.paper.store import Store

PNG = b"\x89PNG not looked into"


class CountingSettings(Settings):
    """Settings of a part that counts."""

    repeats: int


@dataclass
class CountingPart:
    """A part that only counts how often it ran."""

    name: str = "fig4"
    title: str = "Fig. 4: <counted> & kept"
    sources: tuple[str, ...] = ("movie.tif",)
    runs: list[Context] = field(default_factory=list)

    def settings(self, quick: bool) -> CountingSettings:
        return CountingSettings(repeats=1 if quick else 3)

    def run(self, context: Context) -> Finding:
        self.runs.append(context)
        table = Table("Errors", "A note.", [{"method": "ours", "NMSE [%]": 29.04}])
        pictures = (Picture("overview", "What is <seen>.", PNG),)
        return Finding((table,), pictures, {"NMSE": Measured(29.04, 0.2, 3)})


@pytest.fixture
def part() -> CountingPart:
    return CountingPart()


@pytest.fixture(autouse=True)
def _only(monkeypatch: pytest.MonkeyPatch, part: CountingPart) -> None:
    monkeypatch.setattr(module, "PARTS", (part,))


def test_a_part_that_is_done_is_not_run_again(tmp_path: Path, part: CountingPart) -> None:
    for _ in range(2):
        findings = reproduce(["all"], tmp_path, Context(quick=True))
        assert findings["fig4"].figures["NMSE"].value == 29.04
        assert findings["fig4"].pictures[0].png == PNG
    assert len(part.runs) == 1
    reproduce(["all"], tmp_path, Context(quick=True), again=True)
    assert len(part.runs) == 2


@pytest.mark.parametrize("missing", ["fig4.json", "fig4-overview.png"])
def test_what_was_lost_is_made_anew(tmp_path: Path, part: CountingPart, missing: str) -> None:
    reproduce(["all"], tmp_path, Context(quick=True))
    (tmp_path / missing).unlink()
    reproduce(["all"], tmp_path, Context(quick=True))
    assert len(part.runs) == 2


def test_a_damaged_record_is_made_anew(tmp_path: Path, part: CountingPart) -> None:
    reproduce(["all"], tmp_path, Context(quick=True))
    (tmp_path / "fig4.json").write_text('{"made_with": ')
    reproduce(["all"], tmp_path, Context(quick=True))
    assert len(part.runs) == 2


@pytest.mark.parametrize("change", ["settings", "data", "versions", "networks"])
def test_whatever_decides_the_result_runs_it_again(
    tmp_path: Path, part: CountingPart, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    (data / "movie.tif").write_bytes(b"one")
    reproduce(["all"], out, Context(quick=True, data=data))
    context = Context(quick=change != "settings", data=data)
    if change == "data":
        (data / "movie.tif").write_bytes(b"two")
    if change == "versions":
        monkeypatch.setattr(module, "package_versions", lambda: {"deepstorm": "9"})
    if change == "networks":
        context = Context(quick=True, data=data, networks=("native",))
    reproduce(["all"], out, context)
    assert len(part.runs) == 2


def test_claims_compare_what_is_there(tmp_path: Path, part: CountingPart) -> None:
    reproduce(["fig4"], tmp_path, Context(quick=True))
    rows = reproduce(["claims"], tmp_path, Context(quick=True))["claims"].tables[0].rows
    assert len(part.runs) == 1
    nmse = next(row for row in rows if row["paper"] == 37)
    assert (nmse["ours"], nmse["verdict"]) == ("29 ± 0.2", "better")


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    reproduce(["all"], tmp_path, Context(quick=True))
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in text
    assert "<script" not in text
    assert 'src="http' not in text
    assert "Fig. 4: &lt;counted&gt; &amp; kept" in text
    assert "What is &lt;seen&gt;." in text
    assert "Quick settings" in text
    assert "sha256" in text or "deepstorm" in text


def test_records_are_json_for_programs(tmp_path: Path) -> None:
    reproduce(["all"], tmp_path, Context(quick=True))
    record = json.loads((tmp_path / "fig4.json").read_text(encoding="utf-8"))
    assert record["figures"]["NMSE"] == {
        "value": 29.04,
        "spread": 0.2,
        "repeats": 3,
        "failure": "",
    }
    assert record["made_with"]["settings"] == {"repeats": 1}
    assert not list(tmp_path.glob(".*partial*"))


def test_a_part_that_cannot_run_does_not_stop_the_others(
    tmp_path: Path, part: CountingPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(CountingPart):
        def run(self, context: Context) -> Finding:
            self.runs.append(context)
            raise InputError("the movie is damaged")

    broken = Broken(name="fig2")
    monkeypatch.setattr(module, "PARTS", (broken, part))
    for _ in range(2):
        findings = reproduce(["all"], tmp_path, Context(quick=True))
    assert findings["fig2"].missing == "the movie is damaged"
    assert (len(broken.runs), len(part.runs)) == (2, 1)  # tried again, and done once
    assert "the movie is damaged" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_an_unknown_part_is_refused_by_name(tmp_path: Path, part: CountingPart) -> None:
    with pytest.raises(InputError, match="no figure or table is called 'fig9'"):
        reproduce(["fig4", "fig9"], tmp_path, Context(quick=True))
    assert not part.runs


def test_an_unknown_network_is_refused_before_any_work(tmp_path: Path, part: CountingPart) -> None:
    with pytest.raises(InputError, match="there is no network 'mine'"):
        reproduce(["all"], tmp_path, Context(networks=("mine",)))
    assert not part.runs


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        Store(tmp_path / "file")


def test_parts_come_in_the_order_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTS", PARTS)
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    assert [part.name for part in chosen_parts(["routing", "fig2"])] == ["fig2", "routing"]
    assert [part.name for part in chosen_parts(["all"])] == names
    for part in PARTS:
        assert part.settings(quick=True) != part.settings(quick=False)
