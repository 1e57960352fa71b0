"""Emitters on uniform fields: found, precise and sure; images of scenes of every kind."""

from itertools import product

from lines import Run, close_lines, found_by
from matplotlib.figure import Figure

import deepstorm
from deepstorm.evaluation.position_errors import position_errors, root_mean_square
from deepstorm.evaluation.uniformity import clumping, pixel_histogram
from deepstorm.localization.bounds import cramer_rao_nm
from deepstorm.paper.findings import Row
from deepstorm.paper.movies import MICROTUBULES, PIXEL_NM, like_the_papers_movie
from deepstorm.simulation.scenes import (
    ClusterScene,
    FilamentScene,
    MixtureScene,
    Scene,
    UniformScene,
)
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations, Reconstruction, histogram_image
from report import TARGETS, Table, row, save_figure

EMITTERS, SIGMA_NM, BRIGHTNESS_SPREAD = 10_000, 120.0, 0.3
# By density: at least and aim of the Jaccard within 100 nm at 3000 photons and background 500.
JACCARD = {1: (0.88, 0.95), 6: (0.55, 0.70)}
LARGEST_ERROR_OVER_BOUND = 1.3
ERRORS = "error [nm] | bound [nm] | error / bound | stated [nm] | error / stated | core error [nm]"
PIXEL_EMITTERS, BINS, LARGEST_DEVIATION_PERCENT = 60_000, 8, 5.0
PIXEL = (
    "network | /µm² | localizations | largest deviation [%] | counting error of a bin [%]"
    " | at most [%]"
)
# The same in every movie, because NMSE falls with the number of emitters.
IMAGE_EMITTERS = 20_000
USUAL_DENSITY_PER_UM2, USUAL_PHOTONS = 4.0, 1450.0
CURVES: dict[str, Scene] = {"filaments": MICROTUBULES, "uniform": UniformScene()}
PARTS = (FilamentScene(filaments=5), ClusterScene(clusters=20), UniformScene())
# Name: scene and density. A density is that of the field; clusters take theirs on little of it.
SCENES: dict[str, tuple[Scene, float]] = {
    "bundles, 60 nm apart": (FilamentScene(filaments=5, spacing_nm=60.0, bend_per_um=0.1), 3.0),
    "crossings": (FilamentScene(filaments=14, bend_per_um=0.05), 5.0),
    "clusters, 60 nm": (ClusterScene(clusters=40, radius_nm=60.0), 1.5),
    "rings, 50 nm": (ClusterScene(clusters=40, radius_nm=50.0, ring=True), 1.5),
    "uniform": (UniformScene(), 5.0),
    "mixture": (MixtureScene(parts=PARTS, weights=(0.5, 0.25, 0.25)), 3.0),
}
IMAGES = "scene | network | /µm² | NMSE [%] | NMSE registered [%] | expected / true emitters"
CLUMPS = "network | /µm² | photons | unevenness in 50 nm | unevenness in 100 nm | at most"


def _ratio(result: Reconstruction, truth: Localizations) -> float:
    """Return the expected emitters of an image over the true ones."""
    return float(result.image.sum()) / len(truth)


def uniform_fields(run: Run) -> list[Table]:
    """Score localizations over density, photons and background."""
    rows: list[Row] = []
    targets: list[Row] = []
    conditions = product((1, 6) if run.quick else (1, 3, 6), (1000, 3000), (20, 500))
    for seed, light in enumerate(conditions):
        settings = _uniform(*light, run.frames(EMITTERS, light[0]))
        for name, result, truth in run.of(settings, seed, localizations=True):
            figures = _scores(found_by(result), truth)
            rows.append(row("network | /µm² | photons | background", name, *light) | figures)
            where = "{} /µm², {} photons, background {}".format(*light)
            if light[1:] == (3000, 500) and light[0] in JACCARD:
                wanted = figures["Jaccard 100 nm"], None, *JACCARD[light[0]]
                targets.append(row(TARGETS, f"Jaccard 100 nm, {where}", name, *wanted))
            if light[0] == 1:
                wanted = figures["error / bound"], None, None, LARGEST_ERROR_OVER_BOUND
                targets.append(row(TARGETS, f"error / bound, {where}", name, *wanted))
    note = (
        "64 × 64 pixels of 100 nm, Poisson noise, sigma 120 nm ± 4 %, relative spread of the "
        f"brightness {BRIGHTNESS_SPREAD:g}, about {EMITTERS} emitters each (a tenth if quick)."
    )
    title = "Localizations on uniform fields"
    return [Table(title, note, rows), Table(f"{title}: targets", "From the table above.", targets)]


def _uniform(density: int, photons: int, background: int, frames: int) -> SimulationSettings:
    """Return a uniform field whose spots are 1.1 to 1.3 pixels wide, Poisson noise."""
    return SimulationSettings.model_validate(
        {
            "frames": frames,
            "density_per_um2": density,
            "scene": UniformScene(),
            "brightness": {"mean_photons": photons, "relative_spread": BRIGHTNESS_SPREAD},
            "psf": {"sigma_nm": SIGMA_NM, "relative_spread": 0.04},
            "background": {"mean_photons": background},
            "camera": {"kind": "ideal"},
        }
    )


def _scores(found: Localizations, truth: Localizations) -> Row:
    figures: Row = {}
    for radius in (100, 50):
        scores = deepstorm.evaluate(found, truth, radius_nm=radius).figures()
        by = f"Jaccard {radius} nm | by chance, {radius} nm"
        figures |= row(by, scores["jaccard"], scores["chance_jaccard"])
    errors = position_errors(found, truth)
    light = truth.select(errors.truth_index).columns()
    bounds = cramer_rao_nm(light["photons"], light["background_photons"], SIGMA_NM, PIXEL_NM)
    bound = root_mean_square(bounds)
    relative = errors.rms_nm / bound if errors.rms_nm is not None else None
    stated = errors.stated_rms_nm, errors.actual_over_stated, errors.core_nm
    return figures | row(ERRORS, errors.rms_nm, bound, relative, *stated)


def subpixel(run: Run) -> list[Table]:
    """Histogram localizations of uniform fields within the camera pixel."""
    rows, details = [], {}
    for density in (1.0, 5.0):
        frames = run.frames(PIXEL_EMITTERS, density)
        settings = like_the_papers_movie(UniformScene(), density, frames)
        for name, result, _ in run.of(settings, round(density), localizations=True):
            found = found_by(result)
            shares = pixel_histogram(found, PIXEL_NM, BINS)
            figures = 100 * shares.largest_deviation, 100 * shares.counting_error
            cells = name, density, len(found), *figures, LARGEST_DEVIATION_PERCENT
            rows.append(row(PIXEL, *cells))
            kept = {"x_share": shares.x_share.tolist(), "y_share": shares.y_share.tolist()}
            details[f"{name}, {density:g}/µm²"] = kept
    note = f"{BINS} bins along x and y; counting makes the largest of 16 deviate by 2.2 errors."
    return [Table("Localizations within the camera pixel", note, rows, {"histograms": details})]


def mismatch(run: Run) -> list[Table]:
    """Measure curves over density and over light: does one network do for all, told of none."""
    density = [(value, value, USUAL_PHOTONS) for value in (1.0, 2.0, 3.0, 5.0, 7.0, 9.0)]
    photons = (200.0, 500.0, 1000.0, 2000.0, 5000.0)
    light = [(value, USUAL_DENSITY_PER_UM2, value) for value in photons]
    if run.quick:
        density, light = density[::5], light[::4]
    curves = {
        "density [/µm²]": _curve(run, "density [/µm²]", density),
        "signal [photons]": _curve(run, "signal [photons]", light),
    }
    if run.pictures is not None:
        _draw_curves(run, curves)
    note = f"As it stands; about {IMAGE_EMITTERS} emitters in each movie (a tenth if quick)."
    over = f"density, {USUAL_PHOTONS:g} photons", f"signal, {USUAL_DENSITY_PER_UM2:g} emitters/µm²"
    found = zip(over, curves.values(), strict=True)
    return [Table(f"NMSE over {what}", note, rows) for what, rows in found]


def _curve(run: Run, axis: str, points: list[tuple[float, float, float]]) -> list[Row]:
    """Measure at points of (value on the axis, density, photons)."""
    rows: dict[tuple[str, float], Row] = {}
    for (kind, scene), (value, density, photons) in product(CURVES.items(), points):
        frames = run.frames(IMAGE_EMITTERS, density)
        settings = like_the_papers_movie(scene, density, frames, photons)
        for name, result, truth in run.of(settings, 1):
            cells = rows.setdefault((name, value), {"network": name, axis: value})
            cells[f"{kind} [%]"] = deepstorm.evaluate(result, truth).figures()["nmse_percent"]
            cells[f"{kind}, expected / true"] = _ratio(result, truth)
    return [rows[key] for key in sorted(rows)]


def _draw_curves(run: Run, curves: dict[str, list[Row]]) -> None:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True)
    for panel, (axis, rows) in zip(panels, curves.items(), strict=True):
        for name in dict.fromkeys(cells["network"] for cells in rows):
            own = [cells for cells in rows if cells["network"] == name]
            for kind, line in zip(CURVES, ("-o", "--s"), strict=True):
                x, y = ([cells[key] for cells in own] for key in (axis, f"{kind} [%]"))
                panel.plot(x, y, line, label=f"{name}, {kind}")
        panel.set(xlabel=axis, ylim=(0, 105))
        panel.grid(alpha=0.3)
    panels[1].set_xscale("log")
    panels[1].set_xticks(x, [f"{place:g}" for place in x])
    panels[1].set_xticks([], minor=True)
    panels[0].set_ylabel("NMSE [%]")
    panels[0].legend(fontsize="small")
    save_figure(figure, run.pictures / "mismatch.png")


def structures(run: Run) -> list[Table]:
    """Measure images of scenes, lines below the resolution, and clumps on uniform fields."""
    images, clumps = [], []
    for kind, (scene, density) in SCENES.items():
        frames = run.frames(IMAGE_EMITTERS, density)
        for name, result, truth in run.of(like_the_papers_movie(scene, density, frames), 5):
            found = deepstorm.evaluate(result, truth).figures()
            errors = found["nmse_percent"], found["registered_nmse_percent"]
            images.append(row(IMAGES, kind, name, density, *errors, _ratio(result, truth)))
    for density, photons in ((2.0, 1450.0), (6.0, 1450.0), (6.0, 400.0)):
        frames = run.frames(IMAGE_EMITTERS, density)
        settings = like_the_papers_movie(UniformScene(), density, frames, photons)
        for name, result, truth in run.of(settings, 9):
            pixel_nm = result.pixel_size_nm
            exact = histogram_image(truth, result.image.shape, pixel_nm)
            uneven = (clumping(result.image, exact, pixel_nm, box) for box in (50.0, 100.0))
            clumps.append(row(CLUMPS, name, density, photons, *uneven, 1))
    seen = f"About {IMAGE_EMITTERS} emitters each (a tenth if quick); scenes do not compare."
    note = "Coefficient of variation of the counts in boxes, of the image over that of the truth."
    return [
        Table("Images of scenes of every kind", seen, images),
        close_lines(run),
        Table("Clumps on uniform fields", note, clumps),
    ]
