"""What benchmarks hand back: tables for people, and the same and more as JSON for programs."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from deepstorm.api.reconstruct import package_versions
from deepstorm.errors import InputError
from deepstorm.files import check_writable, written_whole
from deepstorm.paper import findings
from deepstorm.paper.findings import Row, Value, shown

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TARGETS = "figure | network | measured | paper | at least | aim"


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


def data_folder() -> Path:
    """Return the folder of published movies: ``../shared/data``, or that of DEEPSTORM_DATA."""
    return Path(os.environ.get("DEEPSTORM_DATA", DATA))


def published(name: str) -> Path | None:
    """Return a file of the movie of the paper's Fig. 4, where it is there."""
    path = data_folder() / "fig4-microtubules" / name
    return path if path.is_file() else None


def parser_of(name: str, text: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help begins with a script's own words."""
    formatter = argparse.RawTextHelpFormatter
    return argparse.ArgumentParser(prog=name, description=text, formatter_class=formatter)


def names_of(known: Iterable[str], what: str = "part") -> Callable[[str], list[str]]:
    """Return what reads names, separated by commas, and refuses others."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := ", ".join(name for name in names if name not in known):
            there = ", ".join(known)
            raise argparse.ArgumentTypeError(f"no {what} is called {unknown}; there are {there}")
        return names

    return read


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


def finish(script: str, measure: Callable[[], dict[str, Any]], output: Path | None) -> None:
    """Measure; where an output was named, try it before and write JSON to it in the end."""
    try:
        if output is not None:
            check_writable(output, overwrite=True)
        record = {"versions": package_versions()} | measure()
        record["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        if output is not None:
            with written_whole(output, overwrite=True) as partial:
                partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except InputError as error:
        sys.exit(f"{script}: {error}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, replaced if there."""
    with written_whole(path, overwrite=True) as partial:
        figure.savefig(partial, format="png", dpi=110)
