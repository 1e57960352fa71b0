"""Measure accuracy on movies with known truth, and print it as tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import deepstorm
from deepstorm.evaluation.line_pairs import RAYLEIGH_DIP, smallest_resolved_nm
from deepstorm.evaluation.position_errors import position_errors, root_mean_square
from deepstorm.evaluation.uniformity import clumping, pixel_histogram
from deepstorm.localization.bounds import at_the_bound, cramer_rao_nm
from deepstorm.models.zoo import open_network
from deepstorm.paper import stripes as paper
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.fig4 import Figure4Settings, line_widths
from deepstorm.paper.findings import Measured, Row
from deepstorm.paper.movies import MICROTUBULES, frames_for
from deepstorm.reports.panels import Curve, CurvePanel
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations, Reconstruction, histogram_image
from movies import (
    FINE_NM,
    PIXEL_NM,
    UNIFORM,
    Counts,
    conditions,
    exposed,
    published,
    published_movie,
)
from report import Table, draw, measure_parts, row, run

# A figure beside the paper's, the least that is wanted and what is aimed at.
TARGETS = "figure | network | measured | paper | at least | aim"
NO_TARGETS = (None, None, None)
PUBLISHED = {
    "NMSE unregistered [%]": ("nmse_percent", 48.75, 30.8, 24.0),
    "NMSE registered [%]": ("registered_nmse_percent", 30.8, None, None),
    "registered by x [nm]": ("registered_dx_nm", -6.25, None, None),
    "registered by y [nm]": ("registered_dy_nm", -6.25, None, None),
}
EXPECTED = "expected / true emitters"
SEPARATIONS_NM = (13.0, 15.0, 17.0, 19.0, 22.0, 25.0, 28.0, 31.0, 35.0, 40.0, 50.0, 70.0)
# The refiner sharpens an image the more frames there are; what does not sharpen needs fewer.
FRAMES, PLAIN_FRAMES, FEWER_FRAMES = 1000, 100, (30, 100, 300)
RESOLVED = {1: (19, 19, 15), 9: (31, 31, 25)}
CLOSE_NM = (0.0, 6.0, 9.0, 12.0, 15.0)
WRONG_BY_NM = 10.0  # from which on two lines at another distance are an invention
INVENTIONS = "network | /µm² | true [nm] | dip [%] | counting error [%] | of peaks [nm] | invented"
STEP, SHOWN_NM = 1.1, 100.0  # between profiles of a panel, over the highest; and to each side
EMITTERS, SPOT_NM, BRIGHTNESS_SPREAD = 10_000, 120.0, 0.3
LIGHTS = tuple(product((1000, 3000), (20, 500)))
# Paper, at least and aim of figures, by density, photons and background.
TARGETED = {("error / bound", 1, *light): (None, None, 1.3) for light in LIGHTS}
TARGETED["Jaccard 100 nm", 1, 3000, 500] = (None, 0.88, 0.95)
TARGETED["Jaccard 100 nm", 6, 3000, 500] = (None, 0.55, 0.70)
FIELD = "network | /µm² | photons | background"
ERRORS = "error [nm] | bound [nm] | error / bound | stated [nm] | error / stated | core error [nm]"
PIXEL_EMITTERS, BINS, LARGEST_DEVIATION_PERCENT = 60_000, 8, 5.0
PIXEL = "network | /µm² | localizations | largest deviation [%] | counting error [%] | at most [%]"
# The same in every movie, because NMSE falls with the number of emitters.
IMAGE_EMITTERS = 20_000
MISMATCHED = {"filaments": MICROTUBULES, "uniform": UNIFORM}
USUAL_DENSITY_PER_UM2, USUAL_PHOTONS = 4.0, 1450.0
OVER = {
    "density [/µm²]": (1.0, 2.0, 3.0, 5.0, 7.0, 9.0),
    "signal [photons]": (200.0, 500.0, 1000.0, 2000.0, 5000.0),
}
# Name: scene and density. A density is that of the field; clusters take theirs on little of it.
CLUSTERS = {"kind": "clusters", "clusters": 40}
MIXED = ({"kind": "filaments", "filaments": 5}, CLUSTERS | {"clusters": 20}, UNIFORM)
BUNDLES = {"filaments": 5, "spacing_nm": 60.0, "bend_per_um": 0.1}
SCENES = {
    "bundles, 60 nm apart": ({"kind": "filaments", **BUNDLES}, 3.0),
    "crossings": ({"kind": "filaments", "filaments": 14, "bend_per_um": 0.05}, 5.0),
    "clusters, 60 nm": (CLUSTERS | {"radius_nm": 60.0}, 1.5),
    "rings, 50 nm": (CLUSTERS | {"radius_nm": 50.0, "ring": True}, 1.5),
    "uniform": (UNIFORM, 5.0),
    "mixture": ({"kind": "mixture", "parts": MIXED, "weights": (0.5, 0.25, 0.25)}, 3.0),
}
IMAGES = f"scene | network | /µm² | NMSE [%] | NMSE registered [%] | {EXPECTED}"
CLUMPS = "network | /µm² | photons | unevenness in 50 nm | unevenness in 100 nm | at most"
ABOUT = f"About {IMAGE_EMITTERS} emitters each (a tenth if quick)"
KNOWN = ("network", "of", "density_per_um2", "separation_nm")


@dataclass(frozen=True)
class Run:
    """What was asked for: names or files of networks, and a folder for pictures, if any."""

    networks: tuple[str, ...]
    quick: bool
    pictures: Path | None = None

    def frames(self, emitters: int, density_per_um2: float) -> int:
        """Return how many frames of 64 × 64 pixels hold so many emitters, a tenth if quick."""
        wanted, least = (emitters / 10, 5) if self.quick else (emitters, 20)
        return frames_for(wanted, density_per_um2, least)

    def on(self, frames: Counts, **told: Any) -> Iterator[tuple[str, Reconstruction]]:
        """Yield each network's name and what it makes of frames, told only their pixel size."""
        for network in self.networks:
            told |= {"pixel_size_nm": PIXEL_NM, "network": network}
            yield short_name(network), deepstorm.reconstruct(frames, **told)

    def of(
        self, settings: SimulationSettings, seed: int, *, localizations: bool = False
    ) -> Iterator[tuple[str, Reconstruction, Localizations]]:
        """Simulate a movie; yield each network's name, what it makes of it, and the truth."""
        frames, movie = exposed(settings, seed)
        for name, result in self.on(frames, localizations=localizations):
            yield name, result, movie.truth


def image_errors(result: Reconstruction, truth: Localizations) -> tuple[Any, Any, float]:
    """Return the NMSE of an image, unregistered and registered, and expected over true emitters."""
    found = deepstorm.evaluate(result, truth).figures()
    ratio = float(result.image.sum()) / len(truth)
    return found["nmse_percent"], found["registered_nmse_percent"], ratio


def jaccards(result: Reconstruction, truth: Localizations) -> Row:
    """Return the Jaccard index of localizations, and what it is by chance."""
    figures: Row = {}
    for radius in (100, 50):
        scores = deepstorm.evaluate(result.localizations, truth, radius_nm=radius).figures()
        by = f"Jaccard {radius} nm | by chance, {radius} nm"
        figures |= row(by, scores["jaccard"], scores["chance_jaccard"])
    return figures


def fig4(run: Run) -> list[Table]:
    """Score image and localizations of the published movie, or say why not."""
    title = "Movie of the paper's Fig. 4"
    if published("movie.tif") is None:
        return [Table(title, "Skipped: it is not there; set DEEPSTORM_DATA.", [])]
    frames, truth = published_movie(24 if run.quick else None)
    rows = []
    for name, result in run.on(frames):
        figures = deepstorm.evaluate(result, truth).figures()
        for figure, (key, *targets) in PUBLISHED.items():
            rows.append(row(TARGETS, figure, name, figures[key], *targets))
        others = {EXPECTED: image_errors(result, truth)[2]} | jaccards(result, truth)
        rows += [row(TARGETS, figure, name, each, *NO_TARGETS) for figure, each in others.items()]
    note = f"{len(frames)} frames, {len(truth)} emitters; NMSE falls with the number of frames."
    return [Table(title, note, rows)]


def stripes(run: Run) -> list[Table]:
    """Measure the dips of all distances at all densities."""
    distances = (15.0, 31.0) if run.quick else SEPARATIONS_NM
    frames = 100 if run.quick else FRAMES
    profiles, resolved = [], []
    for density in (1, 9) if run.quick else (1, 3, 5, 7, 9):
        counts, movie = exposed(paper.stripe_settings(distances, density, frames), density)
        images = _images(run, counts, movie.truth, density, distances)
        profiles += _profiles(images, distances, density)
    draw_profiles(run, profiles, "stripes.png")
    depths: dict[tuple[str, str, int], list[float]] = {}
    dips: dict[tuple[str, str, float], Row] = {}
    for each in profiles:
        *source, density, distance = (each[name] for name in KNOWN)
        depths.setdefault((*source, density), []).append(each["depth"])
        cell = f"{100 * each['depth']:.0f} ± {100 * each['counting_error']:.0f}"
        if each["peak_distance_nm"] is not None:
            cell += f" ({each['peak_distance_nm']:.0f})"
        known = row("network | of | distance [nm]", *source, distance)
        dips.setdefault((*source, distance), known)[f"{density} /µm²"] = cell
    for (name, kind, density), found in depths.items():
        smallest = smallest_resolved_nm(distances, found)
        targets = RESOLVED.get(density, NO_TARGETS) if kind == "image" else NO_TARGETS
        resolved.append(row(TARGETS, f"{kind}, {density} /µm² [nm]", name, smallest, *targets))
    title = "Resolved distance of two lines (the paper's Fig. 3)"
    note = f"{frames} frames; {PLAIN_FRAMES} for localizations and bound. Tested: {distances} nm."
    shown = "Dip in % with its counting error and, in brackets, the distance of the peaks in nm."
    by_distance = Table("Dip between two lines", shown, [*dips.values()], {"profiles": profiles})
    return [Table(title, note, resolved), by_distance]


def _images(run, counts, truth, density, distances):
    """Yield (source, kind, image, size of its pixels) of the bound and of each network."""
    few, rng = truth.select(truth.frame < PLAIN_FRAMES), np.random.default_rng(density)
    best = at_the_bound(few, paper.SIGMA_NM, PIXEL_NM, rng)
    yield "bound", "image", paper.stripe_image(best, distances), FINE_NM
    yield "bound", "localizations", paper.drawn_finely(best, distances), paper.FINE_NM
    for name, result in run.on(counts, localizations=False):
        yield name, "image", result.image, FINE_NM
    for name, result in run.on(counts[:PLAIN_FRAMES]):
        drawn = paper.drawn_finely(result.localizations, distances)
        yield name, "localizations", drawn, paper.FINE_NM
    for frames in FEWER_FRAMES if density in RESOLVED and not run.quick else ():
        for name, result in run.on(counts[:frames], localizations=False):
            yield name, f"image of {frames} frames", result.image, FINE_NM


def _profiles(images, distances, density):
    """Return dips and profiles across the pairs of lines in images, ready for JSON."""
    return [
        {"network": name, "of": kind, "density_per_um2": density} | profile
        for name, kind, image, pixel_nm in images
        for _, profile in paper.stripe_dips(image, pixel_nm, distances)
    ]


def close_lines(run: Run) -> Table:
    """Tell whether lines below the resolution are split, and at a wrong distance."""
    rows, profiles = [], []
    distances = CLOSE_NM[:2] if run.quick else CLOSE_NM
    for density in (1, 5, 9):
        settings = paper.stripe_settings(distances, density, 100 if run.quick else FRAMES)
        found = run.of(settings, 30 + density)
        images = ((name, "image", result.image, FINE_NM) for name, result, _ in found)
        profiles += _profiles(images, distances, density)
    for each in profiles:
        name, _, density, true = (each[name] for name in KNOWN)
        depth, seen = each["depth"], each["peak_distance_nm"]
        wrong = seen is not None and abs(seen - true) > WRONG_BY_NM
        invented = "yes" if wrong and depth >= RAYLEIGH_DIP else "no"
        cells = 100 * depth, 100 * each["counting_error"], seen, invented
        rows.append(row(INVENTIONS, name, density, true, *cells))
    draw_profiles(run, profiles, "close_lines.png")
    note = f"Invented: peaks as Rayleigh has them, at a distance off by over {WRONG_BY_NM:g} nm."
    return Table("Two lines below the resolution", note, rows, {"profiles": profiles})


def draw_profiles(run: Run, profiles: list[dict[str, Any]], name: str) -> None:
    """Draw profiles across line pairs: one panel per result, the true lines marked on each."""
    panels: dict[str, list[Curve]] = {}
    for profile in profiles:
        *source, distance = (profile[name] for name in KNOWN)
        curves, half = panels.setdefault("{}, {}, {} /µm²".format(*source), []), distance / 2
        base, offset = STEP * len(curves) / 2, np.array(profile["offset_nm"])
        near = np.abs(offset) <= SHOWN_NM
        heights = base + np.array(profile["intensity"]) / max(profile["intensity"])
        curves.append(Curve(offset[near], heights[near], f"{distance:g} nm"))
        curves.append(Curve([-half, half], [base] * 2, style="|", colour="black"))
    height = max(len(curves) for curves in panels.values()) / 10 + 0.4
    drawn = [CurvePanel(t, "offset [nm]", "", tuple(c), "", (), height) for t, c in panels.items()]
    draw(run.pictures, name, drawn, 4, 3.0)


def line(run: Run) -> list[Table]:
    """Measure the width of a line without any of its own at several angles and densities."""
    context, usual = Context(networks=run.networks), Figure4Settings()
    few = {"angles_degrees": usual.angles_degrees[:1], "line_emitters": usual.line_emitters // 10}
    settings, rows, details = usual.model_copy(update=few if run.quick else {}), [], {}
    for per_um in (0.5, 4.0):
        for name, found in line_widths(context, settings, per_um).items():
            targets = (24, 24, 18) if name != "truth" else NO_TARGETS
            cells = f"FWHM, {per_um:g} emitters/µm [nm]", name, Measured.of(found).value
            rows.append(row(TARGETS, *cells, *targets))
            details[f"{name}, {per_um:g}/µm"] = found
    note = f"Mean over angles of {settings.angles_degrees}°; 'truth': what pixels alone make of it."
    return [Table("Width of a line", note, rows, {"by_angle_nm": details})]


def uniform(run: Run) -> list[Table]:
    """Score localizations over density, photons and background."""
    rows, targets = [], []
    for seed, (density, light) in enumerate(product((1, 6) if run.quick else (1, 3, 6), LIGHTS)):
        settings = _uniform(density, *light, run.frames(EMITTERS, density))
        for name, result, truth in run.of(settings, seed, localizations=True):
            figures = jaccards(result, truth) | _errors(result.localizations, truth)
            nmse, _, ratio = image_errors(result, truth)
            figures |= row(f"NMSE [%] | {EXPECTED}", nmse, ratio)
            rows.append(row(FIELD, name, density, *light) | figures)
            where = "{} /µm², {} photons, background {}".format(density, *light)
            for (figure, *targeted), wanted in TARGETED.items():
                if targeted == [density, *light]:
                    cells = f"{figure}, {where}", name, figures[figure], *wanted
                    targets.append(row(TARGETS, *cells))
    note = (
        "64 × 64 pixels of 100 nm, Poisson noise, sigma 120 nm ± 4 %, relative spread of the "
        f"brightness {BRIGHTNESS_SPREAD:g}, about {EMITTERS} emitters each (a tenth if quick)."
    )
    title = "Localizations on uniform fields"
    return [Table(title, note, rows), Table(f"{title}: targets", "From the table above.", targets)]


def _uniform(density, photons, background, frames):
    """Return a uniform field whose spots are 1.1 to 1.3 pixels wide, Poisson noise."""
    return conditions(
        UNIFORM,
        density,
        frames,
        brightness={"mean_photons": photons, "relative_spread": BRIGHTNESS_SPREAD},
        psf={"sigma_nm": SPOT_NM, "relative_spread": 0.04},
        background={"mean_photons": background},
        camera={"kind": "ideal"},
    )


def _errors(found: Localizations, truth: Localizations) -> Row:
    errors = position_errors(found, truth)
    light = truth.select(errors.truth_index).columns()
    bounds = cramer_rao_nm(light["photons"], light["background_photons"], SPOT_NM, PIXEL_NM)
    bound = root_mean_square(bounds)
    relative = errors.rms_nm / bound if errors.rms_nm is not None else None
    stated = errors.stated_rms_nm, errors.actual_over_stated, errors.core_nm
    return row(ERRORS, errors.rms_nm, bound, relative, *stated)


def mismatch(run: Run) -> list[Table]:
    """Measure images over density and over light: does one network do for all, told of none."""
    tables, panels = [], []
    for axis, every in OVER.items():
        values, over_light = every[:: len(every) - 1] if run.quick else every, "photons" in axis
        points: dict[tuple[str, float], Row] = {}
        for (scene, kind), value in product(MISMATCHED.items(), values):
            light = (USUAL_DENSITY_PER_UM2, value) if over_light else (value, USUAL_PHOTONS)
            settings = conditions(kind, light[0], run.frames(IMAGE_EMITTERS, light[0]), light[1])
            for name, result, truth in run.of(settings, 1):
                nmse, _, ratio = image_errors(result, truth)
                cells = points.setdefault((name, value), row(f"network | {axis}", name, value))
                cells |= row(f"{scene} [%] | {scene}, expected / true", nmse, ratio)
        note = f"NMSE in %. {ABOUT}; {USUAL_DENSITY_PER_UM2:g} /µm², {USUAL_PHOTONS:g} photons."
        tables.append(Table(f"NMSE over {axis}", note, [points[key] for key in sorted(points)]))
        curves = tuple(
            Curve(values, [points[n, v][f"{scene} [%]"] for v in values], f"{n}, {scene}", style)
            for n in dict.fromkeys(name for name, _ in points)
            for scene, style in zip(MISMATCHED, ("-o", "--s"), strict=True)
        )
        panels.append(CurvePanel("", axis, "NMSE [%]", curves, "x" * over_light, values))
    draw(run.pictures, "mismatch.png", panels, 2, 4.5)
    return tables


def subpixel(run: Run) -> list[Table]:
    """Histogram localizations of uniform fields within the camera pixel."""
    rows, details = [], {}
    for density in (1.0, 5.0):
        settings = conditions(UNIFORM, density, run.frames(PIXEL_EMITTERS, density))
        for name, result, _ in run.of(settings, round(density), localizations=True):
            found = result.localizations
            shares = pixel_histogram(found, PIXEL_NM, BINS)
            figures = 100 * shares.largest_deviation, 100 * shares.counting_error
            cells = name, density, len(found), *figures, LARGEST_DEVIATION_PERCENT
            rows.append(row(PIXEL, *cells))
            kept = {"x_share": shares.x_share.tolist(), "y_share": shares.y_share.tolist()}
            details[f"{name}, {density:g}/µm²"] = kept
    note = f"{BINS} bins along x and y; counting makes the largest of 16 deviate by 2.2 errors."
    return [Table("Localizations within the camera pixel", note, rows, {"histograms": details})]


def structures(run: Run) -> list[Table]:
    """Measure images of scenes, lines below the resolution, and clumps on uniform fields."""
    images, clumps = [], []
    for kind, (scene, density) in SCENES.items():
        settings = conditions(scene, density, run.frames(IMAGE_EMITTERS, density))
        for name, result, truth in run.of(settings, 5):
            images.append(row(IMAGES, kind, name, density, *image_errors(result, truth)))
    for density, photons in ((2.0, 1450.0), (6.0, 1450.0), (6.0, 400.0)):
        frames = run.frames(IMAGE_EMITTERS, density)
        for name, result, truth in run.of(conditions(UNIFORM, density, frames, photons), 9):
            exact = histogram_image(truth, result.image.shape, FINE_NM)
            uneven = (clumping(result.image, exact, FINE_NM, box) for box in (50.0, 100.0))
            clumps.append(row(CLUMPS, name, density, photons, *uneven, 1))
    note = "Coefficient of variation of the counts in boxes, of the image over that of the truth."
    return [
        Table("Images of scenes of every kind", f"{ABOUT}; scenes do not compare.", images),
        close_lines(run),
        Table("Clumps on uniform fields", note, clumps),
    ]


MEASURES = (fig4, stripes, line, uniform, mismatch, subpixel, structures)
PARTS = {measure.__name__: measure for measure in MEASURES}
OPTIONS = {
    "--network": ({"nargs": "+", "default": ["native"]}, "names or files"),
    "--quick": (False, "a few seconds a part; do not quote"),
    "--only": (list(PARTS), "parts"),
}


def measure(chosen: Any) -> dict[str, Any]:
    """Run parts; unknown networks are refused before any work is done."""
    checksums = {name: open_network(name).checksum for name in chosen.network}
    asked = Run(tuple(chosen.network), chosen.quick, chosen.pictures)
    parts = measure_parts({name: partial(PARTS[name], asked) for name in chosen.only})
    return {"networks": checksums, "quick": chosen.quick, "parts": parts}


if __name__ == "__main__":
    run(__doc__, measure, OPTIONS)
