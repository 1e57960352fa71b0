from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st

import deepstorm
from deepstorm.cli.app import app
from deepstorm.cli.wording import in_options, options_by_argument

SOURCE = Path(deepstorm.__file__).parent
OPTIONS = options_by_argument(app)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("give `pixel_size_nm=100` (in nm)", "give --pixel-size 100 (in nm)"),
        ("use `device='cpu'`", "use --device cpu"),
        ("use `frames=slice(0, 57)`", "use --frames 0:57"),
        ("choose a part, `region`", "choose a part, --roi"),
        ("or `overwrite=True`", "or --overwrite"),
        ("restart with `resume=False`", "restart with --no-resume"),
        ("`z_step_nm` and `radius_px`", "--z-step and --psf-radius"),
        ("`of_nothing=3` stays", "`of_nothing=3` stays"),
        ("'a`b.tif' and c`d", "'a`b.tif' and c`d"),
    ],
)
def test_arguments_become_options(message: str, said: str) -> None:
    assert in_options(message, OPTIONS) == said


@given(st.text(st.characters(exclude_characters="`")))
def test_other_words_stay(message: str) -> None:
    assert in_options(message, OPTIONS) == message


def test_an_argument_is_the_same_option_of_every_command() -> None:
    spelled: dict[str, set[str]] = {}
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        for parameter in command.params:
            if parameter.opts[0].startswith("-"):
                spelled.setdefault(parameter.name, set()).add(max(parameter.opts, key=len))
    assert {name: options for name, options in spelled.items() if len(options) > 1} == {}


def messages() -> Iterator[tuple[str, str]]:
    """Yield the words of errors that the source raises for people, with the name of the file."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                parts = [part for given in node.exc.args for part in ast.walk(given)]
                words = [part.value for part in parts if isinstance(part, ast.Constant)]
                if getattr(node.exc.func, "id", "").endswith("Error"):
                    yield file.relative_to(SOURCE).as_posix(), "…".join(map(str, words))


def test_every_argument_in_a_message_is_an_option() -> None:
    named = [
        (file, name)
        for file, words in messages()
        for name in re.findall(r"`([a-z_]\w*)(?:=[^`]*)?`", words)
    ]
    assert len(named) > 10
    assert [(file, name) for file, name in named if name not in OPTIONS] == []


def test_messages_below_the_command_line_name_no_option_of_it() -> None:
    named = [
        (file, words)
        for file, words in messages()
        if not file.startswith(("cli/", "paper/", "reconstruction/suitability.py"))
        and re.search(r"(?<![\w-])--[a-z]", words)
    ]
    assert named == []
