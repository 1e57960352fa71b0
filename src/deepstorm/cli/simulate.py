"""``deepstorm simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepstorm.cli.options import AsJson, Overwrite
from deepstorm.cli.terminal import print_figures, progress


def simulate(
    movie: Annotated[Path, typer.Argument(help="Movie to write (TIFF).")],
    settings: Annotated[
        Path | None, typer.Option("--settings", help="TOML file; without it, microtubules.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Table of true emitters.  [MOVIE_truth.csv]")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Number of frames.")] = None,
    density: Annotated[
        float | None, typer.Option(min=0, help="Emitters per µm² and frame.")
    ] = None,
    positions: Annotated[
        Path | None, typer.Option(help="Table of positions at which emitters blink.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same movie.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a blinking movie with known truth."""
    from deepstorm.api.simulate import simulate as run
    from deepstorm.api.simulate import simulation_settings
    from deepstorm.files import check_named, check_outputs, stem_of

    table = truth or check_named(movie).with_name(f"{stem_of(movie)}_truth.csv")
    check_outputs([movie, table], overwrite=overwrite, inputs=[settings, positions])
    chosen = simulation_settings(
        settings, frames=frames, density_per_um2=density, positions=positions
    )
    with progress("simulating", "frames") as update:
        result = run(
            chosen,
            seed=seed,
            movie=movie,
            truth=table,
            overwrite=overwrite,
            on_progress=lambda done: update(done, chosen.frames, ""),
        )
    figures = {
        "frames": chosen.frames,
        "emitters": len(result.truth),
        "movie": str(movie),
        "truth": str(table),
    }
    print_figures(figures, as_json=as_json, title="simulated")
