"""What benchmarks hand back: tables for people, and the same and more as JSON for programs."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from children.workers import WorkerError
from deepstorm.api.reconstruct import package_versions
from deepstorm.errors import InputError
from deepstorm.files import check_writable, written_whole
from deepstorm.paper import findings
from deepstorm.paper.findings import Row, Value, shown
from deepstorm.reports.panels import CurvePanel, panels_figure, write_figure


@dataclass(frozen=True)
class Table(findings.Table):
    """A table with details that only programs read, such as whole profiles; ready for JSON."""

    details: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return title, note and a Markdown table."""
        rows = [[shown(each.get(heading)) for heading in self.headings] for each in self.rows]
        lines = map(_line, (self.headings, ["---"] * len(self.headings), *rows))
        return f"### {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def row(headings: str, *values: Value) -> Row:
    """Return a row under headings that are written ``one | another``."""
    return dict(zip(headings.split(" | "), values, strict=True))


def print_rows(rows: Iterable[Row]) -> list[Row]:
    """Print rows as they are measured, under the keys of the first one, and return them."""
    printed: list[Row] = []
    for each in rows:
        if not printed:
            print(f"\n{_line(each)}\n{_line(['---'] * len(each))}")
        print(_line(map(shown, each.values())), flush=True)
        printed.append(each)
    return printed


def measure_parts(parts: Mapping[str, Callable[[], Sequence[Table]]]) -> dict[str, Any]:
    """Run parts, print the tables of each as it is done, and return what JSON keeps of them."""
    kept: dict[str, Any] = {}
    for name, measure in parts.items():
        began = time.perf_counter()
        tables = measure()
        taken_s = time.perf_counter() - began
        print(f"## {name} ({taken_s:.0f} s)\n\n" + "\n".join(t.markdown() for t in tables))
        sys.stdout.flush()
        kept[name] = {"seconds": taken_s, "tables": [asdict(table) for table in tables]}
    return kept


def draw(
    folder: Path | None, name: str, panels: Sequence[CurvePanel], columns: int, width_inch: float
) -> None:
    """Draw panels, a row of so many at a time, if there is a folder; a file there is replaced."""
    if folder is not None:
        figure = panels_figure(panels, columns, width_inch=width_inch)
        write_figure(folder / name, figure, overwrite=True)


def run(
    text: str | None,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    options: Mapping[str, tuple[Any, str]],
) -> argparse.Namespace:
    """Read the command line, measure, write what that returns to JSON; return what was asked for.

    Each option comes with how it is read and words of help. ``False`` makes a switch of it, a list
    some names of the list, by default all; a type or a function reads what is given, a dict is for
    argparse, everything else is the default. ``pictures`` is the folder for these, or ``None``.
    """
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=text, formatter_class=form)
    for name, (kind, words) in options.items():
        parser.add_argument(name, help=words, **_reading(kind))
    words = "JSON, replaced if there; pictures go to its folder"
    parser.add_argument("-o", "--output", type=Path, help=words)
    try:
        chosen = parser.parse_args()
        chosen.pictures = None
        if chosen.output is not None:
            check_writable(chosen.output, overwrite=True)
            chosen.pictures = chosen.output.absolute().parent
        record = {"versions": package_versions()} | measure(chosen)
        record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        if chosen.output is not None:
            with written_whole(chosen.output, overwrite=True) as partial:
                partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except (InputError, WorkerError) as error:
        sys.exit(f"{parser.prog}: {error}")
    return chosen


def _reading(kind: Any) -> dict[str, Any]:
    """Return how argparse reads an option."""
    if isinstance(kind, dict):
        return kind
    if kind is False:
        return {"action": "store_true"}
    if isinstance(kind, list):
        return {"nargs": "+", "choices": kind, "default": kind}
    return {"type": kind} if callable(kind) else {"type": type(kind), "default": kind}
