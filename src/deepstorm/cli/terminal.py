"""What is seen on a terminal: figures, bars, warnings and errors."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

# Done, of all (None where that is not known), note.
Update = Callable[[int, int | None, str], None]

results = Console()
messages = Console(stderr=True)


def print_figures(values: dict[str, Any], *, as_json: bool, title: str) -> None:
    """Print figures as a table, or as JSON for programs."""
    if as_json:
        print_json(values)
    else:
        print_table(values, title)


def print_json(values: dict[str, Any]) -> None:
    """Print JSON, with null for what it has no number for."""
    typer.echo(json.dumps(_finite(values), indent=2, allow_nan=False))


def print_table(values: dict[str, Any], title: str) -> None:
    """Print names and values in two columns, as they stand: brackets are no markup."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a path is of no use when its end is cut off
    for name, value in values.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(escape(name), escape(shown))
    results.print(table)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replace what JSON has no number for, such as the infinite PSNR of a perfect image."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def warn(message: str) -> None:
    """Print a warning."""
    _print_message("[yellow]warning:[/]", message)


def fail(message: str, code: int) -> NoReturn:
    """Print an error and end with an exit code."""
    _print_message("[bold red]error:[/]", message)
    sys.exit(code)


def _print_message(kind: str, message: str) -> None:
    from rich.markup import escape

    messages.print(f"{kind} {escape(message)}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress(label: str, unit: str) -> Iterator[Update]:
    """Show a bar with rate and time left on a terminal; be quiet elsewhere.

    Yields a function of (done, total, note).
    """
    with bars((label, unit)) as (update,):
        yield update


@contextlib.contextmanager
def bars(*phases: tuple[str, str]) -> Iterator[list[Update]]:
    """Show a bar for each phase, (label, unit); see :func:`progress`.

    One of several is shown from its first update on, since it may have none.
    """
    from rich import progress as rich_progress

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[unit]}"),
        rich_progress.TextColumn("{task.fields[note]}"),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    quiet = not messages.is_terminal
    with rich_progress.Progress(
        *columns, console=messages, transient=True, disable=quiet
    ) as display:
        shown = len(phases) == 1
        yield [_updates(display, label, unit, shown=shown) for label, unit in phases]


def _updates(display: Progress, label: str, unit: str, *, shown: bool) -> Update:
    """Add a bar, which is hidden until it is updated unless ``shown``; return what updates it."""
    index = display.add_task(label, total=None, start=shown, visible=shown, note="", unit=unit)
    task = display.tasks[index]

    def update(done: int, total: int | None, note: str = "") -> None:
        if not task.started:
            display.start_task(index)
        rate = f"{done / task.elapsed:.1f} {unit}/s" if task.elapsed else ""
        display.update(index, completed=done, total=total, visible=True, note=f"{rate} {note}")

    return update
