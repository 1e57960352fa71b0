"""``deepstorm models``."""

from __future__ import annotations

import json

import typer

from deepstorm.cli.options import AsJson
from deepstorm.cli.terminal import results


def models(as_json: AsJson = False) -> None:
    """List the bundled networks, what each was trained for and how well it does."""
    from rich.table import Table

    from deepstorm.models.zoo import DEFAULT_NETWORK, embedded_cards

    cards = embedded_cards()
    if as_json:
        typer.echo(json.dumps({name: card.model_dump() for name, card in cards.items()}, indent=2))
        return
    table = Table(title="bundled networks", show_lines=True)
    for heading in ("name", "architecture", "trained for", "scores"):
        table.add_column(heading, overflow="fold")
    for name, card in cards.items():
        ranges = [f"{key} {_span(*limits)}" for key, limits in card.validity.items()]
        scores = [f"{key} {value:.4g}" for key, value in card.scores.items()]
        shown = f"{name}\n(default)" if name == DEFAULT_NETWORK else name
        kind = f"{card.network.kind}, {card.network.upsampling} ×"
        table.add_row(shown, kind, "\n".join(ranges), "\n".join(scores))
    results.print(table)


def _span(low: float, high: float) -> str:
    """Write a range, or the one value that it has."""
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
