"""How near each row comes to what the machine can compute at all."""

from __future__ import annotations

from functools import cache
from typing import Any

from comparing import Comparison, Result, compared
from entries import DEFAULT, KERAS, OURS, PAPER, UNFOLDED, network_of
from report import Row, Table
from running import Run
from workers import Worker

NETWORKS = (PAPER, DEFAULT)
Rates = dict[str, dict[str, dict[str, Any]]]
Arithmetic = dict[tuple[str, int], dict[str, float]]


def measure(run: Run) -> list[Table]:
    """Measure the roof, count the arithmetic, and put both beside the speeds."""
    comparison = compared(run)
    devices = list(dict.fromkeys(result.entry.device for result in comparison.results))
    rates = highest_rates(run, tuple(devices))
    counts = arithmetic(run)
    return [_roof_table(rates), _count_table(counts), _share_table(comparison, rates, counts)]


@cache
def highest_rates(run: Run, devices: tuple[str, ...]) -> Rates:
    """Return the best rates by device and precision."""
    with Worker(OURS) as worker:
        seconds = 0.3 if run.quick else 1.5
        return {device: worker.ask("roof", device=device, seconds=seconds) for device in devices}


@cache
def arithmetic(run: Run) -> Arithmetic:
    """Return 10⁹ multiplications per frame by network and side, ``folded`` and ``unfolded``."""
    with Worker(OURS) as worker:
        return {
            (network, side): worker.ask(
                "arithmetic", network=network_of(run, network), side_px=side
            )
            for network in NETWORKS
            for side in run.sides_px
        }


def _roof_table(rates: Rates) -> Table:
    rows: list[Row] = [
        {
            "device": device,
            "precision": precision,
            "GMAC/s": best["gigamacs_per_s"],
            "library": best["library"],
            "matrix side": best["side"],
        }
        for device, by_precision in rates.items()
        for precision, best in by_precision.items()
    ]
    note = (
        "Products of square matrices, the best of several sizes, libraries and runs. A GMAC is 10⁹ "
        "multiplications with addition, two floating-point operations each."
    )
    return Table("The roof of this machine", note, rows)


def _count_table(counts: Arithmetic) -> Table:
    rows: list[Row] = []
    for (network, side), count in counts.items():
        folded, unfolded = count["folded"], count["unfolded"]
        rows.append(
            {
                "network": network,
                "frame": f"{side} × {side}",
                "folded [GMAC]": folded,
                "unfolded [GMAC]": unfolded,
                "left out [%]": 100 * (1 - folded / unfolded),
            }
        )
    note = (
        "Of the network's convolutions, for one frame, counted by hooks while it runs. Unfolded, "
        "pixels are repeated and then convolved, as the paper does; folded, as here, nothing is "
        "computed twice, and the result is the same."
    )
    return Table("Arithmetic", note, rows)


def _share_table(comparison: Comparison, rates: Rates, counts: Arithmetic) -> Table:
    rows = [
        _share_row(result, rates, counts)
        for result in comparison.results
        if result.frames_per_s is not None
    ]
    note = (
        "Multiplications that a network needs as it is given to the runtime, times frames/s, over "
        "the roof of the same precision. More than 100 % says that the machine was busier while "
        "the roof was measured."
    )
    return Table("Share of the roof", note, rows)


def _share_row(result: Result, rates: Rates, counts: Arithmetic) -> Row:
    entry = result.entry
    form = "unfolded" if entry.engine in (KERAS, UNFOLDED) else "folded"
    count = counts[entry.network, result.side_px][form]
    reached = count * (result.frames_per_s or 0)
    roof = rates[entry.device].get(entry.precision, {}).get("gigamacs_per_s")
    return {
        "network": entry.network,
        "runtime": entry.runtime,
        "precision": entry.precision,
        "frame": f"{result.side_px} × {result.side_px}",
        "GMAC/frame": count,
        "GMAC/s": reached,
        "of the roof [%]": None if roof is None else 100 * reached / roof,
    }
