"""The movie of the paper's Fig. 4, nothing given but the pixel size."""

from __future__ import annotations

import os
from pathlib import Path

from measuring import PIXEL_NM, Run, found_by, short_name
from report import Row, Table, against_targets

import deepstorm
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.structures import Localizations, Reconstruction

NAME = "fig4-microtubules"
QUICK_FRAMES = 24


def folder() -> Path:
    """Return where the movie is looked for."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("DEEPSTORM_DATA", default)) / NAME


def measure(run: Run) -> list[Table]:
    """Score image and localizations, or say why not."""
    title = "Movie of the paper's Fig. 4"
    if not (folder() / "movie.tif").is_file():
        return [Table(title, f"Skipped: it is not in {folder()}; set DEEPSTORM_DATA.", [])]
    frames = slice(0, QUICK_FRAMES) if run.quick else None
    truth = read_localizations(folder() / "truth.csv", pixel_size_nm=PIXEL_NM)
    if frames is not None:
        truth = truth.select(truth.frame < QUICK_FRAMES)
    rows = []
    for network in run.networks:
        result = deepstorm.reconstruct(
            folder() / "movie.tif", pixel_size_nm=PIXEL_NM, network=network, frames=frames
        )
        rows += _rows(result, truth, short_name(network))
    note = (
        f"{len(truth)} emitters. Registered: the truth moved to where the error is least; the "
        "paper's image needs that. By chance: against the true emitters of other frames."
    )
    if run.quick:
        note += f" The first {QUICK_FRAMES} frames alone: NMSE is not that of the whole movie."
    return [Table(title, note, rows)]


def _rows(result: Reconstruction, truth: Localizations, network: str) -> list[Row]:
    image = deepstorm.evaluate(result, truth).figures()
    rows = [
        against_targets(
            "NMSE as it stands [%]",
            network,
            image["nmse_percent"],
            paper=48.75,
            at_least=30.8,
            aim=24.0,
        ),
        against_targets(
            "NMSE registered [%]", network, image["registered_nmse_percent"], paper=30.8
        ),
        against_targets("registered by x [nm]", network, image["registered_dx_nm"], paper=-6.25),
        against_targets("registered by y [nm]", network, image["registered_dy_nm"], paper=-6.25),
        against_targets(
            "expected over true emitters", network, float(result.image.sum()) / len(truth)
        ),
    ]
    for radius_nm in (50, 100):
        table = deepstorm.evaluate(found_by(result), truth, radius_nm=radius_nm).figures()
        rows += [
            against_targets(f"Jaccard {radius_nm} nm", network, table["jaccard"]),
            against_targets(f"Jaccard {radius_nm} nm by chance", network, table["chance_jaccard"]),
        ]
    return rows
