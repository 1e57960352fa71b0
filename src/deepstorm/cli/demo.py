"""``deepstorm demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepstorm.cli.options import AsJson, Overwrite
from deepstorm.cli.terminal import print_figures, progress


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the demo's files.")] = Path("demo"),
    frames: Annotated[int, typer.Option(min=1, help="Number of frames.")] = 361,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the microtubules.")] = 3,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Simulate microtubules, reconstruct them, and compare with the truth."""
    from deepstorm.demo import run_demo

    with progress("reconstructing", "frames") as update:
        figures = run_demo(
            folder,
            frames,
            seed,
            overwrite=overwrite,
            on_progress=lambda p: update(p.frames, p.total_frames, ""),
        )
    print_figures(figures, as_json=as_json, title="demo")
