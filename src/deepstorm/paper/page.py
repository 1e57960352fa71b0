"""Findings as sections of a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from deepstorm.paper.findings import Finding, Table, shown
from deepstorm.reports.pages import Markup, Section, details, paragraph, png, subtitle, table


def section(title: str, finding: Finding, made_with: dict[str, Any]) -> Section:
    """Return the section of a part.

    Parameters
    ----------
    title : str
    finding : Finding
    made_with : dict
        Settings, inputs and versions, plain.
    """
    return Section(title, list(_parts(finding, made_with)))


def _parts(finding: Finding, made_with: dict[str, Any]) -> Iterator[Markup]:
    if finding.missing:
        yield paragraph(f"Not run: {finding.missing}")
    if made_with.get("quick"):
        yield paragraph("Quick settings: not to be quoted.")
    for picture in finding.pictures:
        yield png(picture.png, picture.caption)
    for each in finding.tables:
        yield from _table(each)
    if made_with:
        yield details("Made with", json.dumps(made_with, indent=1, ensure_ascii=False))


def _table(found: Table) -> Iterator[Markup]:
    yield subtitle(found.title)
    rows = [[shown(row.get(heading)) for heading in found.headings] for row in found.rows]
    yield table(found.headings, rows)
    yield paragraph(found.note)
