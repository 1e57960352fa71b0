"""How the source is laid out: no circles, nothing too long, no drawer for odds and ends."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import deepstorm

PACKAGE = Path(deepstorm.__file__).parent
MOST_LINES, MOST_FUNCTION_LINES = 400, 60
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> dict[str, Path]:
    """Return the files of the package, by their places in it."""
    return {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}


def modules() -> dict[str, ast.Module]:
    """Return what each module says, by its dotted name."""
    trees = {}
    for place, path in sources().items():
        name = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        whole = "deepstorm" if name == "__init__" else f"deepstorm.{name}"
        trees[whole] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield module and name of all imports: those inside functions and for types alone, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the package"
            yield from ((node.module or "", alias.name) for alias in node.names)


def graph(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return which modules each one imports."""
    found: dict[str, set[str]] = {}
    for name, tree in trees.items():
        both = ((f"{module}.{member}", module) for module, member in imported(tree))
        found[name] = {next((each for each in pair if each in trees), "") for pair in both} - {""}
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    found = graph(modules())
    assert sum(map(len, found.values())) > 500
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        pytest.fail("a circle of imports: " + " <- ".join(error.args[1]))


@pytest.mark.parametrize(
    "back",
    [
        "from room.a import x",
        "import room.a",
        "def f():\n    from room import a",
        "if TYPE_CHECKING:\n    from room.a import x",
    ],
)
def test_circles_of_every_kind_are_seen(back: str) -> None:
    trees = {"room": "", "room.a": "from room.b import y", "room.b": back}
    with pytest.raises(CycleError):
        TopologicalSorter(graph({n: ast.parse(t) for n, t in trees.items()})).prepare()


def test_no_file_is_too_long() -> None:
    lengths = {place: path.read_bytes().count(b"\n") for place, path in sources().items()}
    assert {place for place, lines in lengths.items() if lines > MOST_LINES} == set()


def lines_of(function: Function) -> int:
    """Count the lines of a function without its docstring."""
    whole = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return whole
    docstring = function.body[0]
    return whole - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{place}: {node.name}": lines_of(node)
        for place, path in sources().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, Function)
    }
    too_long = {name for name, lines in lengths.items() if lines > MOST_FUNCTION_LINES}
    assert too_long == set()


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    parts = {part for place in sources() for part in place.removesuffix(".py").split("/")}
    assert not parts & DRAWERS


# A folder with one function that everybody comes in by: people import it from there.
WITH_A_DOOR = {"io/movies/__init__.py"}


def test_folders_only_say_what_they_are() -> None:
    for place, path in sources().items():
        if place.endswith("/__init__.py"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1 + (place in WITH_A_DOOR), place
            assert ast.get_docstring(ast.Module(body, [])), place
