"""Curves over density and light: does one network do for all of them, told of none."""

from __future__ import annotations

from measuring import Run, reconstructed, short_name
from pictures import draw_curves
from report import Row, Table

import deepstorm
from deepstorm.paper.movies import like_the_papers_movie
from deepstorm.simulation.scenes import FilamentScene, Scene, UniformScene

SCENES: dict[str, Scene] = {
    "filaments": FilamentScene(filaments=8, waviness_nm=20.0, wavelength_nm=900.0),
    "uniform": UniformScene(),
}
DENSITIES_PER_UM2 = (1.0, 2.0, 3.0, 5.0, 7.0, 9.0)
PHOTONS = (200.0, 500.0, 1000.0, 2000.0, 5000.0)
USUAL_DENSITY_PER_UM2 = 4.0
USUAL_PHOTONS = 1450.0
# The same in every movie, because NMSE falls with the number of emitters.
EMITTERS = 20_000
PICTURE = "mismatch.png"


def measure(run: Run) -> list[Table]:
    """Measure both curves, and draw them where a folder was named."""
    density = [(value, value, USUAL_PHOTONS) for value in DENSITIES_PER_UM2]
    light = [(value, USUAL_DENSITY_PER_UM2, value) for value in PHOTONS]
    if run.quick:
        density, light = density[::5], light[::4]
    curves = {
        "density [/µm²]": _curve(run, "density [/µm²]", density),
        "signal [photons]": _curve(run, "signal [photons]", light),
    }
    if run.pictures is not None:
        draw_curves(curves, tuple(f"{scene} [%]" for scene in SCENES), run.pictures / PICTURE)
    note = (
        "NMSE in % as it stands; light and camera of the paper's Fig. 4 except for what is named, "
        f"about {EMITTERS} emitters in each movie (a tenth if quick). On the uniform field the "
        "truth is single emitters in single pixels, so that an error of one pixel is a total miss."
    )
    rows = {
        "density [/µm²]": f"NMSE over density, {USUAL_PHOTONS:g} photons",
        "signal [photons]": f"NMSE over signal, {USUAL_DENSITY_PER_UM2:g} emitters/µm²",
    }
    return [Table(title, note, curves[name]) for name, title in rows.items()]


def _curve(run: Run, axis: str, points: list[tuple[float, float, float]]) -> list[Row]:
    """Measure at points of (value on the axis, density, photons)."""
    rows: dict[tuple[str, float], Row] = {}
    for scene, kind in SCENES.items():
        for value, density, photons in points:
            frames = run.frames(EMITTERS, density)
            settings = like_the_papers_movie(kind, density, frames, photons)
            movie = deepstorm.simulate(settings, seed=1)
            for network in run.networks:
                result = reconstructed(movie, network, localizations=False)
                name = short_name(network)
                row = rows.setdefault((name, value), {"network": name, axis: value})
                row[f"{scene} [%]"] = deepstorm.evaluate(result, movie.truth).figures()[
                    "nmse_percent"
                ]
                row[f"{scene}, expected / true"] = float(result.image.sum()) / len(movie.truth)
    return [rows[key] for key in sorted(rows)]
