"""One self-contained page of all findings."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from deepstorm.paper.findings import Finding, Picture, Table, shown
from deepstorm.reports import pages

TITLE = "Deep-STORM: the paper and this package"


@dataclass(frozen=True, slots=True)
class Section:
    """A part on the page.

    Parameters
    ----------
    title : str
    finding : Finding
    made_with : dict
        Settings, inputs and versions, plain.
    """

    title: str
    finding: Finding
    made_with: dict[str, Any]


def write_page(path: Path, sections: Sequence[Section]) -> None:
    """Write the page; replaces the one that is there."""
    shown_sections = [pages.Section(each.title, _parts(each)) for each in sections]
    pages.write_page(path, TITLE, shown_sections, overwrite=True)


def _parts(section: Section) -> list[pages.Markup]:
    finding = section.finding
    parts = []
    if finding.missing:
        parts.append(pages.paragraph(f"Not run: {finding.missing}"))
    if section.made_with.get("quick"):
        parts.append(pages.paragraph("Quick settings: not to be quoted."))
    parts += [_figure(picture) for picture in finding.pictures]
    for table in finding.tables:
        parts += _table(table)
    if section.made_with:
        parts.append(_details(section.made_with))
    return parts


def _table(table: Table) -> list[pages.Markup]:
    rows = [[shown(row.get(heading)) for heading in table.headings] for row in table.rows]
    title = pages.Markup(f"<h3>{escape(table.title)}</h3>")
    return [title, pages.table(table.headings, rows), pages.paragraph(table.note)]


def _figure(picture: Picture) -> pages.Markup:
    data = base64.b64encode(picture.png).decode("ascii")
    caption = escape(picture.caption)
    image = f'<img alt="{caption}" src="data:image/png;base64,{data}">'
    return pages.Markup(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")


def _details(made_with: dict[str, Any]) -> pages.Markup:
    text = escape(json.dumps(made_with, indent=1, ensure_ascii=False))
    return pages.Markup(f"<details><summary>Made with</summary><pre>{text}</pre></details>")
