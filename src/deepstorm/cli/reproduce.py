"""``deepstorm reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstorm.cli.options import AsJson
from deepstorm.cli.terminal import messages, print_json, print_table

if TYPE_CHECKING:
    from deepstorm.paper.findings import Row


def reproduce(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            help="fig2, fig3, fig4, fig6, fig7, table1, robustness, routing, claims, or all.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for results and the page.")
    ] = Path("reproduction"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A few minutes, to see that it works; do not quote.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of published movies; what it lacks is simulated.  [DEEPSTORM_DATA]"
        ),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="Networks to measure, ours first.  [native, deepstorm-paper]"),
    ] = None,
    original: Annotated[
        Path | None,
        typer.Option(metavar="PYTHON", help="A Python with TensorFlow: times the original."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Run parts again even if done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Reproduce every figure and table of the paper, next to its numbers."""
    from deepstorm.paper.context import OURS, PAPERS, Context
    from deepstorm.paper.movies import data_folder
    from deepstorm.paper.reproduce import CLAIMS, PAGE
    from deepstorm.paper.reproduce import reproduce as run

    context = Context(
        quick=quick,
        data=data_folder(data),
        networks=tuple(network) if network else (OURS, PAPERS),
        original=original,
        say=lambda text: messages.print(text, highlight=False, markup=False, soft_wrap=True),
    )
    findings = run(parts or ["all"], output, context, again=again)
    claims = findings[CLAIMS].tables[0].rows
    shown = {str(row["claim"]): _ours(row) for row in claims}
    page = {"page": str(output / PAGE)}
    if as_json:
        print_json({"claims": claims} | page)
    else:
        print_table(shown | page, "ours (the paper's)")


def _ours(row: Row) -> str:
    """Return our figure with the verdict on it."""
    from deepstorm.paper.findings import shown

    if row["ours"] is None:
        return str(row["verdict"])
    return f"{shown(row['ours'])} ({shown(row['paper'])}): {row['verdict']}"
