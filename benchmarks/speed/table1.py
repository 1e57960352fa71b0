"""The paper's Table 1 with this machine beside it."""

from __future__ import annotations

from comparing import Comparison, compared
from entries import DEFAULT, ORIGINAL, PAPER
from report import Row, Table, Value
from running import Run
from whole_command import EXPERIMENTAL, SIMULATED, WARM, experimental_command, timed_commands

PUBLISHED: dict[str, Row] = {
    "Sim., 512 × 512": {
        "CEL0, CPU [s]": 18677,
        "FALCON, CPU / GPU [s]": "1465 / 122",
        "Deep-STORM, CPU / GPU [s]": "123 / 4",
    },
    "Exp., 1024 × 1024": {
        "CEL0, CPU [s]": 175200,
        "FALCON, CPU / GPU [s]": "10177 / 434",
        "Deep-STORM, CPU / GPU [s]": "715 / 27",
    },
}
MOVIES = dict(zip(PUBLISHED, (SIMULATED, EXPERIMENTAL), strict=True))


def measure(run: Run) -> list[Table]:
    """Set times of whole movies beside the published ones."""
    comparison = compared(run)
    commands = _command_seconds(run)
    rows = [
        {"dataset": dataset, **published}
        | _here(comparison, *MOVIES[dataset])
        | {"here: the whole command [s]": commands[dataset]}
        for dataset, published in PUBLISHED.items()
    ]
    note = (
        f"Published: on an i7-8700 and a Titan Xp. Here: {SIMULATED[0]} frames of 64 × 64 and "
        f"{EXPERIMENTAL[0]} of 128 × 128 pixels, simulated, in the fastest runtime of each "
        "network, scaled frames to the summed image; the whole command with the default network "
        "and a warm cache, the first on the movie of the paper's Fig. 4 where that is there. What "
        f"did not fit the budget of {run.budget_s:g} s is not extrapolated."
    )
    return [Table("The paper's Table 1", note, rows)]


def _here(comparison: Comparison, frames: int, side_px: int) -> Row:
    original = next((r for r in comparison.of(side_px) if r.entry == ORIGINAL), None)
    row: Row = {
        "here: Keras, as published [s]": original.movie_s(frames) if original is not None else None
    }
    devices = dict.fromkeys(result.entry.device for result in comparison.of(side_px))
    for device in devices or ("cpu",):
        for network in (PAPER, DEFAULT):
            fastest = comparison.fastest(side_px, network, device)
            seconds = fastest.movie_s(frames) if fastest is not None else None
            row[f"here: {network} network, {device} [s]"] = seconds
    return row


def _command_seconds(run: Run) -> dict[str, Value]:
    """Return the seconds of whole commands; a quick run does not take them on whole movies."""
    if run.quick:
        return dict.fromkeys(PUBLISHED)
    simulated, experimental = PUBLISHED
    return {
        simulated: timed_commands(run)[WARM].median_s,
        experimental: experimental_command(run).median_s,
    }
