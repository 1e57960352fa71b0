"""The documentation says what is so: its settings, links, commands, tables and Python hold."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import tomllib
from pathlib import Path
from typing import Any

import annotated_types
import pytest
import typer.main
from pydantic.fields import FieldInfo

import deepstorm
from deepstorm.cli.app import app
from deepstorm.config import Settings, read_settings
from deepstorm.models.building import build
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.training.network import TrainingSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
KINDS: dict[str, type[Settings]] = {
    "# simulation": SimulationSettings,
    "# training": TrainingSettings,
}
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, at any indentation."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def all_blocks(language: str) -> list[Any]:
    """Return the blocks of every page as parameters that are named after their page."""
    return [
        pytest.param(block, id=f"{page.stem}-{index}")
        for page in PAGES
        for index, block in enumerate(blocks(page, language))
    ]


def without_code(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)


def anchors(page: Path) -> set[str]:
    """Return the names that headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", all_blocks("toml"))
def test_settings_can_be_used(block: str, tmp_path: Path) -> None:
    kind = block.splitlines()[0].strip()
    assert kind in KINDS, f"a TOML block begins with one of {list(KINDS)}, not with {kind!r}"
    path = tmp_path / "settings.toml"
    path.write_text(block, encoding="utf-8")
    settings = read_settings(KINDS[kind], path)
    if isinstance(settings, SimulationSettings):
        short = settings.model_copy(update={"frames": 2})
        movie = deepstorm.simulate(short)
        assert movie.frames is not None
        assert movie.frames.shape == (2, settings.height_px, settings.width_px)
    if isinstance(settings, TrainingSettings):
        assert settings.examples.side_px % build(settings.network).divisor == 0


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", without_code(page))
    assert links
    for target, anchor in links:
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        assert not anchor or anchor in anchors(file), f"{page.name}: no heading #{anchor}"


@pytest.mark.parametrize("block", all_blocks("console"))
def test_commands_are_understood(block: str) -> None:
    commands = re.findall(r"^\$ deepstorm (.*)$", block, flags=re.MULTILINE)
    assert commands, "a console block shows a deepstorm command"
    group = typer.main.get_command(app)
    for words in map(shlex.split, commands):
        # Parsing alone, without the work: contexts are made, commands are not invoked.
        command = group if words[0].startswith("-") else group.commands[words[0]]  # type: ignore[attr-defined]
        command.make_context("deepstorm", words if command is group else words[1:])


@pytest.mark.parametrize(
    ("verb", "page"),
    [
        ("reconstruct", "reconstruct"),
        ("simulate", "simulate"),
        ("calibrate", "calibrate"),
        ("train", "train"),
        ("adapt", "train"),
        ("fine-tune", "train"),
        ("evaluate", "evaluate"),
    ],
)
def test_every_option_is_described(verb: str, page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    parameters = typer.main.get_command(app).commands[verb].params  # type: ignore[attr-defined]
    options = [max(p.opts, key=len) for p in parameters if p.opts[0].startswith("-")]
    assert len(options) > 3
    assert [option for option in options if f"`{option}" not in text] == []


@pytest.mark.parametrize("block", all_blocks("python"))
def test_python_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = SimulationSettings(frames=8)
    deepstorm.simulate(short, movie="movie.tif", truth="movie_truth.csv")
    script = tmp_path / "block.py"
    script.write_text(block, encoding="utf-8")
    runpy.run_path(str(script))


def settings_tables() -> list[Any]:
    """Return (dotted name of the settings, rows as cells by heading) for every marked table."""
    pattern = r"^<!-- settings: (\S+) -->\n\n((?:\|.*\n)+)"
    found = []
    for page in PAGES:
        for name, table in re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE):
            head, _, *rows = [
                [cell.strip() for cell in line.strip().strip("|").split("|")]
                for line in table.splitlines()
            ]
            cells = [dict(zip(head, row, strict=True)) for row in rows]
            found.append(pytest.param(name, cells, id=name.rpartition(".")[2]))
    return found


def limits(field: FieldInfo) -> list[float]:
    """Return the numbers that bound a field, in the order in which a table gives them."""
    order = ("ge", "gt", "le", "lt", "multiple_of")
    kinds = (annotated_types.Ge, annotated_types.Gt, annotated_types.Le, annotated_types.Lt)
    known = {
        name: float(getattr(entry, name))
        for entry in field.metadata
        for name in order
        if isinstance(entry, (*kinds, annotated_types.MultipleOf)) and hasattr(entry, name)
    }
    return [known[name] for name in order if name in known]


def simple_fields(kind: type[Settings], prefix: str = "") -> dict[str, FieldInfo]:
    """Return the fields that a table lists: not the alternatives, which have their own."""
    found: dict[str, FieldInfo] = {}
    for key, field in kind.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, Settings):
            found |= {} if nested is SimulationSettings else simple_fields(nested, f"{key}.")
        elif key != "kind" and not isinstance(field.default, Settings):
            found[prefix + key] = field
    return found


@pytest.mark.parametrize(("name", "rows"), settings_tables())
def test_tables_of_settings_are_true(name: str, rows: list[dict[str, str]]) -> None:
    module, _, kind = name.rpartition(".")
    simple = simple_fields(getattr(importlib.import_module(module), kind))
    described = {row["setting"].strip("`"): row for row in rows}
    assert list(described) == list(simple)
    for key, field in simple.items():
        row = described[key]
        if row["default"] == "required":
            assert field.is_required()
        elif row["default"] == "none":
            assert field.default is None
        else:
            shown = tomllib.loads(f"value = {row['default'].strip('`')}")["value"]
            assert shown == (list(field.default) if isinstance(shown, list) else field.default)
        if bounds := limits(field):
            numbers = [float(number) for number in re.findall(NUMBER, row["range"])]
            assert numbers == pytest.approx(bounds, rel=0.01), f"range of {key}"
            metadata = {type(entry) for entry in field.metadata}
            assert ("above" in row["range"]) == (annotated_types.Gt in metadata), key
            assert ("below" in row["range"]) == (annotated_types.Lt in metadata), key
