"""Every warning is explained."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from deepstorm.structures import Caution, Estimate, recorded_warnings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "warnings.md"


def codes_in_the_source() -> set[str]:
    """Return the codes that the package can give: first words of cautions, and pairs of ranges."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            named = [each.value for each in node.keywords if each.arg == "codes"]
            is_caution = isinstance(node.func, ast.Name) and node.func.id == "Caution"
            for given in [*named, *(node.args[:1] if is_caution else [])]:
                within = ast.walk(given)
                found |= {each.value for each in within if isinstance(each, ast.Constant)}
    return {code for code in found if isinstance(code, str)}


def test_every_code_is_a_heading_and_every_heading_a_code() -> None:
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == codes_in_the_source()


@pytest.mark.parametrize("code", sorted(codes_in_the_source()))
def test_codes_are_readable(code: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)


def test_a_warning_in_a_record() -> None:
    found = recorded_warnings(
        [
            Caution("drift", "It moved.", Estimate(2.0, 0.5)),
            Caution("crowded", "Too many.", Estimate(4.0, float("inf"))),
            Caution("nothing-blinks", "Nothing."),
        ]
    )
    assert found["warnings"][0] == "It moved. [drift]"
    figures = found["warning_figures"]
    assert figures["drift"] == {
        "value": 2.0,
        "uncertainty": 0.5,
        "docs": "docs/warnings.md#drift",
    }
    assert figures["crowded"]["uncertainty"] is None
    assert figures["nothing-blinks"] == {"docs": "docs/warnings.md#nothing-blinks"}
