from __future__ import annotations

import pytest

from deepstorm.paper.claims import CLAIMS, compared
from deepstorm.paper.findings import Finding, Measured


def verdict_on(figure: str, measured: Measured) -> str:
    """Return the verdict on the claim that a figure belongs to."""
    part, name = figure.split(": ")
    rows = compared({part: Finding(figures={name: measured})}, "native").tables[0].rows
    index = next(i for i, claim in enumerate(CLAIMS) if claim.figure == figure)
    return str(rows[index]["verdict"])


@pytest.mark.parametrize(
    ("figure", "value", "spread", "verdict"),
    [
        ("fig4: NMSE", 29.0, None, "better"),
        ("fig4: NMSE", 37.4, None, "equal"),  # the paper prints whole per cent
        ("fig4: NMSE", 38.0, None, "worse"),
        ("fig4: NMSE", 38.0, 1.5, "equal"),  # within the spread over seeds
        ("fig4: NMSE", None, None, "not measured"),
        ("fig7: detection, measured", 97.0, None, "better"),  # here more is better
        ("fig7: detection, measured", 90.0, None, "worse"),
    ],
)
def test_the_program_decides(
    figure: str, value: float | None, spread: float | None, verdict: str
) -> None:
    assert verdict_on(figure, Measured(value, spread)) == verdict


def test_what_was_tried_in_vain_is_worse() -> None:
    """No number may stand for not having been measured."""
    assert verdict_on("fig3: image, 9/µm²", Measured.of([31.0, None], "not resolved")) == "worse"


def test_every_claim_is_listed_also_without_any_finding() -> None:
    rows = compared({}, "native").tables[0].rows
    assert [row["claim"] for row in rows] == [claim.text for claim in CLAIMS]
    assert {row["verdict"] for row in rows} == {"not measured"}


def test_a_claim_without_a_figure_says_why() -> None:
    assert all(claim.remark for claim in CLAIMS if not claim.figure)
