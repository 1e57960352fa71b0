from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepstorm.paper import reproduce as module

Run = Callable[..., tuple[int, str, str]]


def test_claims_are_printed_and_the_page_is_written(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("reproduce", "claims", "--quick", "-o", str(tmp_path), "--json")
    printed = json.loads(out)
    assert code == 0
    assert {row["verdict"] for row in printed["claims"]} == {"not measured"}
    assert Path(printed["page"]).is_file()


def test_without_json_a_table_is_printed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PARTS", ())
    code, out, _ = run("reproduce", "all", "-o", str(tmp_path))
    assert code == 0
    assert "not measured" in out


def test_an_unknown_part_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, messages = run("reproduce", "fig9", "-o", str(tmp_path))
    assert code == 1
    assert "no figure or table is called 'fig9'" in messages
