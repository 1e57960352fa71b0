"""Super-resolution images from dense blinking movies by a convolutional network (Deep-STORM).

The verbs — :func:`simulate`, :func:`calibrate`, :func:`train`, :func:`adapt`, :func:`fine_tune`,
:func:`reconstruct`, :func:`evaluate` — take paths or arrays and return records. The public names
are those of ``__init__.pyi``. They are loaded when they are first used, so that importing the
package costs nothing.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

_LIST = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {name: home for home, name in re.findall(r"^from (\S+) import (\w+) as", _LIST, re.M)}

__all__ = sorted(_HOMES)  # type checkers read the list itself


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepstorm' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
