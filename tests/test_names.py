"""One class name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import deepstorm

PACKAGE = Path(deepstorm.__file__).parent


def test_no_public_class_name_is_defined_twice() -> None:
    modules: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules[node.name].append(str(path.relative_to(PACKAGE)))
    assert len(modules) > 100
    assert {name: where for name, where in modules.items() if len(where) > 1} == {}
