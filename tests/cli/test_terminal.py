from __future__ import annotations

import pytest
from rich.console import Console

from deepstorm.cli import terminal


def test_a_bar_is_drawn_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        console = Console(force_terminal=is_terminal, width=100, record=True)
        with console.capture() as captured:
            monkeypatch.setattr(terminal, "messages", console)
            with terminal.progress("reconstructing", "frames") as update:
                update(30, 60, "")
        assert ("frames/s" in captured.get()) == is_terminal


def test_names_with_brackets_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=100, record=True)
    monkeypatch.setattr(terminal, "results", console)
    with console.capture() as captured:
        terminal.print_table({"width [nm]": "scan[cell].tif", "end[/x]": 1.0}, "scan[/cell].tif")
    for text in ("width [nm]", "scan[cell].tif", "end[/x]", "scan[/cell].tif"):
        assert text in captured.get()
