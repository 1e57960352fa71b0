"""Images of every kind of scene, and whether structure is invented where there is none."""

from __future__ import annotations

from typing import Any

from measuring import Run, reconstructed, short_name
from pictures import draw_profiles
from report import Row, Table
from stripes import stripe_dips, stripe_settings

import deepstorm
from deepstorm.evaluation.line_pairs import RAYLEIGH_DIP, Dip
from deepstorm.evaluation.uniformity import clumping
from deepstorm.paper.movies import like_the_papers_movie
from deepstorm.simulation.mixture_scene import MixtureScene
from deepstorm.simulation.scenes import (
    ClusterScene,
    FilamentScene,
    Scene,
    UniformScene,
)
from deepstorm.structures import histogram_image

# Name: scene and density. A density is that of the field; clusters take theirs on little of it.
SCENES: dict[str, tuple[Scene, float]] = {
    "bundles, 60 nm apart": (FilamentScene(filaments=5, spacing_nm=60.0, bend_per_um=0.1), 3.0),
    "crossings": (FilamentScene(filaments=14, bend_per_um=0.05), 5.0),
    "clusters, 60 nm": (ClusterScene(clusters=40, radius_nm=60.0), 1.5),
    "rings, 50 nm": (ClusterScene(clusters=40, radius_nm=50.0, ring=True), 1.5),
    "uniform": (UniformScene(), 5.0),
    "mixture": (
        MixtureScene(
            parts=(FilamentScene(filaments=5), ClusterScene(clusters=20), UniformScene()),
            weights=(0.5, 0.25, 0.25),
        ),
        3.0,
    ),
}
EMITTERS = 20_000
CLOSE_NM = (0.0, 6.0, 9.0, 12.0, 15.0)
CLOSE_DENSITIES_PER_UM2 = (1, 5, 9)
CLOSE_FRAMES, QUICK_CLOSE_FRAMES = 1000, 100
PICTURE = "close_lines.png"
# Two lines drawn at another distance than the true one, by more than this, are an invention.
WRONG_BY_NM = 10.0
FIELDS = ((2.0, 1450.0), (6.0, 1450.0), (6.0, 400.0))
BOXES_NM = (50.0, 100.0)


def measure(run: Run) -> list[Table]:
    """Measure all three."""
    return [_images(run), _close_lines(run), _uniform_fields(run)]


def _images(run: Run) -> Table:
    rows: list[Row] = []
    for name, (scene, density) in SCENES.items():
        settings = like_the_papers_movie(scene, density, run.frames(EMITTERS, density))
        movie = deepstorm.simulate(settings, seed=5)
        for network in run.networks:
            result = reconstructed(movie, network, localizations=False)
            figures = deepstorm.evaluate(result, movie.truth).figures()
            rows.append(
                {
                    "scene": name,
                    "network": short_name(network),
                    "/µm²": density,
                    "NMSE [%]": figures["nmse_percent"],
                    "NMSE registered [%]": figures["registered_nmse_percent"],
                    "expected / true emitters": float(result.image.sum()) / len(movie.truth),
                }
            )
    note = (
        f"Light and camera of the paper's Fig. 4, about {EMITTERS} emitters each (a tenth if "
        "quick). Figures of different scenes do not compare: an NMSE depends on how many emitters "
        "share a pixel."
    )
    return Table("Images of scenes of every kind", note, rows)


def _close_lines(run: Run) -> Table:
    rows: list[Row] = []
    details: list[dict[str, Any]] = []
    distances = CLOSE_NM[:2] if run.quick else CLOSE_NM
    for density in CLOSE_DENSITIES_PER_UM2:
        frames = QUICK_CLOSE_FRAMES if run.quick else CLOSE_FRAMES
        movie = deepstorm.simulate(stripe_settings(distances, density, frames), seed=30 + density)
        for network in run.networks:
            result = reconstructed(movie, network, localizations=False)
            name = short_name(network)
            for dip, profile in stripe_dips(result.image, result.pixel_size_nm, distances):
                rows.append(_invention(name, density, profile["separation_nm"], dip))
                known = {"network": name, "of": "image", "density_per_um2": density}
                details.append(known | profile)
    if run.pictures is not None:
        draw_profiles(details, run.pictures / PICTURE)
    note = (
        "Pairs of lines at distances below the resolution, conditions of the paper's Fig. 3. "
        f"Invented: a dip of at least {100 * RAYLEIGH_DIP:.0f} % between peaks whose distance is "
        f"off by more than {WRONG_BY_NM:g} nm."
    )
    return Table("Two lines below the resolution", note, rows, {"profiles": details})


def _invention(network: str, density: int, separation_nm: float, dip: Dip) -> Row:
    distance = dip.peak_distance_nm
    wrong = distance is not None and abs(distance - separation_nm) > WRONG_BY_NM
    return {
        "network": network,
        "/µm²": density,
        "true distance [nm]": separation_nm,
        "dip [%]": 100 * dip.depth,
        "counting error [%]": 100 * dip.counting_error,
        "distance of peaks [nm]": distance,
        "invented": "yes" if wrong and dip.depth >= RAYLEIGH_DIP else "no",
    }


def _uniform_fields(run: Run) -> Table:
    rows: list[Row] = []
    for density, photons in FIELDS:
        frames = run.frames(EMITTERS, density)
        settings = like_the_papers_movie(UniformScene(), density, frames, photons)
        movie = deepstorm.simulate(settings, seed=9)
        for network in run.networks:
            result = reconstructed(movie, network, localizations=False)
            shape = (result.image.shape[0], result.image.shape[1])
            truth = histogram_image(movie.truth, shape, result.pixel_size_nm)
            row: Row = {"network": short_name(network), "/µm²": density, "photons": photons}
            for box_nm in BOXES_NM:
                figure = clumping(result.image, truth, result.pixel_size_nm, box_nm)
                row[f"unevenness in {box_nm:g} nm"] = figure
            rows.append(row | {"at most": 1})
    note = (
        "Coefficient of variation of the counts in boxes of that side, of the image over that of "
        "the truth: above 1, emitters are drawn together."
    )
    return Table("Clumps on uniform fields", note, rows)
