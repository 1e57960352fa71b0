from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from deepstorm.errors import InputError
from deepstorm.reports.pages import (
    Section,
    details,
    drawing,
    facts,
    page,
    paragraph,
    picture,
    png,
    subtitle,
    table,
    write_page,
)

VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture(autouse=True, scope="module")
def _fonts_are_open() -> None:
    """Have matplotlib open its fonts, which it keeps open, before open files are counted."""
    drawing(figure(), "")


class Reader(HTMLParser):
    """Follows tags; fails where one is not closed, or closed twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def figure() -> Figure:
    drawn = Figure()
    axes = drawn.subplots()
    axes.plot([1, 2, 3], [3, 1, 2], label="a < b & c")
    axes.legend()
    return drawn


def whole() -> str:
    return page(
        "Page",
        [
            Section("One", [paragraph("words"), facts({"name": 1 / 3, "count": 7})]),
            Section("Two", [drawing(figure(), "a curve"), picture(np.eye(5), "an image")]),
        ],
    )


def test_a_page_is_complete_and_needs_nothing_else() -> None:
    text = whole()
    reader = read(text)
    assert reader.tags[:3] == ["html", "head", "meta"]
    assert {"svg", "img", "table"} <= set(reader.tags)
    assert "script" not in reader.tags
    assert all(source.startswith(("data:", "#")) for source in reader.sources)
    # Names of XML vocabularies are no links.
    assert set(re.findall(r'(\S+)="https?://', text)) <= {"xmlns", "xmlns:xlink"}
    assert "0.3333" in reader.text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_texts_are_escaped(words: str) -> None:
    parts = [paragraph(words), table([words], [[words]]), facts({words: words})]
    parts += [subtitle(words), details(words, words), png(b"", words)]
    reader = read(page(words, [Section(words, parts)]))
    assert reader.text.count(words) >= 11
    assert set(reader.tags) == set(read(page("a", [Section("b", [])])).tags) | {
        "p", "table", "thead", "tbody", "tr", "th", "td", "h3", "details", "summary", "pre",
        "figure", "figcaption", "img"
    }  # fmt: skip


def test_markup_in_texts_stays_text() -> None:
    reader = read(page("<b>x</b>", [Section("<i>", [picture(np.eye(2), '"><script>1</script>')])]))
    assert not {"b", "i", "script"} & set(reader.tags)


def test_equal_drawings_are_equal_files() -> None:
    assert drawing(figure(), "a curve") == drawing(figure(), "a curve")


def test_pictures_hold_the_image() -> None:
    values = np.zeros((30, 40))
    values[3, 7] = 5.0
    found = re.search(r'src="data:image/png;base64,([^"]+)"', picture(values, "dot").text)
    assert found
    shades = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    assert shades.shape == (30, 40)
    assert (shades[3, 7], shades.astype(int).sum()) == (255, 255)
    assert np.ptp(np.asarray(picture_of(np.full((4, 4), 3.0)))) == 0


def test_drawn_letters_are_not_shown_pixel_by_pixel() -> None:
    assert 'class="enlarged"' in picture(np.eye(5), "few pixels").text
    assert 'class="enlarged"' not in png(b"", "a figure").text


def picture_of(values: np.ndarray) -> Image.Image:
    found = re.search(r"base64,([^\"]+)", picture(values, "x").text)
    assert found
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def test_pages_appear_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, "Title", [])
    with pytest.raises(InputError, match="exists"):
        write_page(path, "Title", [])
    write_page(path, "µ", [], overwrite=True)
    assert "<h1>µ</h1>" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
