"""Pages of figures, tables and pictures: one HTML file that needs nothing else.

No script, no link to anything outside: a page can be mailed, archived, and read without a network.
Every text is escaped.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deepstorm.arrays import Float64Array, PathLike
from deepstorm.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Part of an image's values that its brightest shade stands for; emitters are few and bright.
BRIGHTEST = 99.8
# Pictures are enlarged to at least this side, pixel by pixel.
PICTURE_PX = 200

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: 0.5rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: 0.2rem 0.8rem 0.2rem 0; text-align: left;
  vertical-align: top; }
figure { margin: 0.5rem 1rem 0.5rem 0; display: inline-block; }
figure svg, img { max-width: 100%; height: auto; } img.enlarged { image-rendering: pixelated; }
figcaption { font-size: 0.85rem; color: #555; }
"""


@dataclass(frozen=True, slots=True)
class Markup:
    """A piece of HTML that is complete: every tag in it is closed, every text escaped."""

    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it.

    Parameters
    ----------
    title : str
    parts : sequence of Markup
    """

    title: str
    parts: Sequence[Markup]


def subtitle(text: str) -> Markup:
    """Return a heading below that of the section."""
    return Markup(f"<h3>{escape(text)}</h3>")


def paragraph(text: str) -> Markup:
    """Return a paragraph of plain text."""
    return Markup(f"<p>{escape(text)}</p>")


def details(summary: str, text: str) -> Markup:
    """Return plain text, line by line, that opens when its summary is clicked."""
    shown = f"<summary>{escape(summary)}</summary><pre>{escape(text)}</pre>"
    return Markup(f"<details>{shown}</details>")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table; numbers have four digits.

    Parameters
    ----------
    head : sequence of str
        Titles of the columns; no line of titles where it is empty.
    rows : iterable of sequences
    """
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    lines = ["".join(f"<td>{_cell(value)}</td>" for value in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    shown = f"<thead><tr>{titles}</tr></thead>" if head else ""
    return Markup(f"<table>{shown}<tbody>\n{body}</tbody></table>")


def facts(values: Mapping[str, Any]) -> Markup:
    """Return a table of names and values."""
    return table((), values.items())


def drawing(figure: Figure, caption: str) -> Markup:
    """Return a matplotlib figure as a vector drawing within the page."""
    import matplotlib

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # Letters stay letters, which is smaller; the salt makes equal figures equal files.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": caption}):
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    return _captioned(text[text.index("<svg") :], caption)


def png(data: bytes, caption: str, attributes: str = "") -> Markup:
    """Return a PNG picture within the page.

    Parameters
    ----------
    data : bytes
        Of the file.
    caption : str
    attributes : str
        More of the HTML tag, as it stands there.
    """
    source = f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"
    return _captioned(f'<img alt="{escape(caption)}" {attributes} src="{source}">', caption)


def picture(image: npt.ArrayLike, caption: str) -> Markup:
    """Return an image in shades of grey, from its darkest value to nearly its brightest.

    Parameters
    ----------
    image : array-like, shape (y, x)
    caption : str
    """
    from PIL import Image

    values = np.asarray(image, np.float64)
    lowest, highest = float(values.min()), _bright(values)
    shades = np.clip((values - lowest) / max(highest - lowest, 1e-12), 0, 1) * 255
    buffer = io.BytesIO()
    Image.fromarray(shades.astype(np.uint8)).save(buffer, "PNG", optimize=True)
    height, width = values.shape
    scale = max(-(-PICTURE_PX // max(values.shape)), 1)
    size = f'class="enlarged" width="{scale * width}" height="{scale * height}"'
    return png(buffer.getvalue(), caption, size)


def page(title: str, sections: Iterable[Section]) -> str:
    """Return a whole page."""
    body = "\n".join(
        f"<section>\n<h2>{escape(section.title)}</h2>\n"
        + "\n".join(part.text for part in section.parts)
        + "\n</section>"
        for section in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def write_page(
    path: PathLike,
    title: str,
    sections: Iterable[Section],
    *,
    overwrite: bool = False,
) -> None:
    """Write a whole page, or nothing.

    Raises
    ------
    InputError
        If the file may not be written.
    """
    text = page(title, sections)
    with written_whole(path, overwrite=overwrite) as partial:
        partial.write_text(text, encoding="utf-8")


def _cell(value: object) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def _captioned(content: str, caption: str) -> Markup:
    return Markup(f"<figure>{content}<figcaption>{escape(caption)}</figcaption></figure>")


def _bright(values: Float64Array) -> float:
    """Return the value that is shown white; the highest where hardly any differ from the lowest."""
    bright = float(np.percentile(values, BRIGHTEST))
    return bright if bright > values.min() else float(values.max())
