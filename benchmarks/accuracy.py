"""Measure accuracy on simulated movies with known truth, and print it as tables.

python benchmarks/accuracy.py [--network NAME_OR_FILE ...] [--quick] [--only PART,...] [-o FILE]
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import deepstorm
from deepstorm.evaluation.line_pairs import RAYLEIGH_DIP, Dip, smallest_resolved_nm
from deepstorm.evaluation.position_errors import position_errors, root_mean_square
from deepstorm.evaluation.uniformity import clumping, pixel_histogram
from deepstorm.localization.bounds import at_the_bound, cramer_rao_nm
from deepstorm.models.zoo import open_network
from deepstorm.paper import stripes as paper
from deepstorm.paper.context import short_name
from deepstorm.paper.findings import Measured, Row
from deepstorm.paper.lines import line_positions, width_nm
from deepstorm.paper.movies import FIELD_UM2, frames_for, like_the_papers_movie, simulated
from deepstorm.paper.stripes import FINE_NM, PIXEL_NM, SIGMA_NM
from deepstorm.simulation.scenes import (
    ClusterScene,
    FilamentScene,
    MixtureScene,
    Scene,
    TableScene,
    UniformScene,
)
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations, Reconstruction, histogram_image
from report import TARGETS, Table, finish, measure_parts, names_of, parser_of, row, save_figure

SEPARATIONS_NM = (13.0, 15.0, 17.0, 19.0, 22.0, 25.0, 28.0, 31.0, 35.0, 40.0, 50.0, 70.0)
# The refiner sharpens an image the more frames there are; what does not sharpen needs no more
# frames than make its counting error small.
FRAMES, PLAIN_FRAMES, FEWER_FRAMES = 1000, 100, (30, 100, 300)
# By density: of the paper, at least, aim.
RESOLVED = {1: (19, 19, 15), 9: (31, 31, 25)}
CLOSE_NM = (0.0, 6.0, 9.0, 12.0, 15.0)
# Two lines drawn at another distance than the true one, by more than this, are an invention.
WRONG_BY_NM = 10.0
INVENTIONS = (
    "network | /µm² | true distance [nm] | dip [%] | counting error [%] | distance of peaks [nm]"
    " | invented"
)
ANGLES_DEGREES, LINE_EMITTERS = (4.0, 17.0, 94.0), 2000
# Profiles of one panel are drawn above each other, this far apart in units of the highest.
STEP, PANELS_PER_ROW = 1.1, 4
Profiles = list[dict[str, Any]]
EMITTERS, SPOT_NM, BRIGHTNESS_SPREAD = 10_000, 120.0, 0.3
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
MIXED = (FilamentScene(filaments=5), ClusterScene(clusters=20), UniformScene())
# Name: scene and density. A density is that of the field; clusters take theirs on little of it.
SCENES: dict[str, tuple[Scene, float]] = {
    "bundles, 60 nm apart": (FilamentScene(filaments=5, spacing_nm=60.0, bend_per_um=0.1), 3.0),
    "crossings": (FilamentScene(filaments=14, bend_per_um=0.05), 5.0),
    "clusters, 60 nm": (ClusterScene(clusters=40, radius_nm=60.0), 1.5),
    "rings, 50 nm": (ClusterScene(clusters=40, radius_nm=50.0, ring=True), 1.5),
    "uniform": (UniformScene(), 5.0),
    "mixture": (MixtureScene(parts=MIXED, weights=(0.5, 0.25, 0.25)), 3.0),
}
IMAGES = "scene | network | /µm² | NMSE [%] | NMSE registered [%] | expected / true emitters"
CLUMPS = "network | /µm² | photons | unevenness in 50 nm | unevenness in 100 nm | at most"


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

    def on(self, frames: Any, **told: Any) -> Any:
        """Yield each network's name and what it makes of frames, told only their pixel size."""
        for network in self.networks:
            told |= {"pixel_size_nm": PIXEL_NM, "network": network}
            yield short_name(network), deepstorm.reconstruct(frames, **told)

    def of(self, settings: SimulationSettings, seed: int, **told: Any) -> Any:
        """Simulate a movie; yield each network's name, what it makes of it, and the truth."""
        frames, truth = simulated(settings, seed)
        for name, result in self.on(frames, **({"localizations": False} | told)):
            yield name, result, truth


def found_by(result: Reconstruction) -> Localizations:
    """Return the localizations of a reconstruction that was asked for them."""
    return result.localizations or Localizations.concatenate([])


def stripes(run: Run) -> list[Table]:
    """Measure the dips of all distances at all densities."""
    distances = (15.0, 31.0) if run.quick else SEPARATIONS_NM
    frames = 100 if run.quick else FRAMES
    dips: dict[tuple[str, str, int], list[Dip]] = {}
    profiles: Profiles = []
    over_frames: dict[tuple[str, int], Row] = {}
    for density in (1, 9) if run.quick else (1, 3, 5, 7, 9):
        counts, truth = simulated(paper.stripe_settings(distances, density, frames), density)
        for name, kind, image, pixel_nm in _images(run, counts, truth, density, distances):
            measured = paper.stripe_dips(image, pixel_nm, distances)
            dips[name, kind, density] = [dip for dip, _ in measured]
            known = {"network": name, "of": kind, "density_per_um2": density}
            profiles += [known | profile for _, profile in measured]
        for few in FEWER_FRAMES if density in RESOLVED and not run.quick else ():
            for name, result in run.on(counts[:few], localizations=False):
                found = paper.stripe_dips(result.image, PIXEL_NM / 8, distances)
                cells = over_frames.setdefault(
                    (name, density), row("network | /µm²", name, density)
                )
                depths = [dip.depth for dip, _ in found]
                cells[f"{few} frames [nm]"] = smallest_resolved_nm(distances, depths)
    draw_profiles(run, profiles, "stripes.png")
    resolved: list[Row] = []
    shown: dict[tuple[str, str, float], Row] = {}
    for (name, kind, density), found in dips.items():
        smallest = smallest_resolved_nm(distances, [dip.depth for dip in found])
        targets = RESOLVED.get(density) if kind == "image" else None
        figure = f"{kind}, {density} /µm² [nm]"
        resolved.append(row(TARGETS, figure, name, smallest, *(targets or [None] * 3)))
        for distance, dip in zip(distances, found, strict=True):
            cell = f"{100 * dip.depth:.0f} ± {100 * dip.counting_error:.0f}"
            if dip.peak_distance_nm is not None:
                cell += f" ({dip.peak_distance_nm:.0f})"
            cells = row("network | of | distance [nm]", name, kind, distance)
            shown.setdefault((name, kind, distance), cells)[f"{density} /µm²"] = cell
    note = f"{frames} frames; {PLAIN_FRAMES} for localizations and bound. Tested: {distances} nm."
    tables = [Table("Resolved distance of two lines (the paper's Fig. 3)", note, resolved)]
    note = "Dip in % with its counting error and, in brackets, the distance of the peaks in nm."
    details = {"profiles": profiles}
    tables.append(Table("Dip between two lines", note, list(shown.values()), details))
    if over_frames:
        title, note = (
            "Resolved distance over the number of frames",
            "Of the same movies' first ones.",
        )
        tables.append(Table(title, note, list(over_frames.values())))
    return tables


def _images(run, counts, truth, density, distances):
    """Yield (source, kind, image, size of its pixels) of the bound and of each network."""
    few, rng = truth.select(truth.frame < PLAIN_FRAMES), np.random.default_rng(density)
    best = at_the_bound(few, SIGMA_NM, PIXEL_NM, rng)
    yield "bound", "image", paper.stripe_image(best, distances), PIXEL_NM / 8
    yield "bound", "localizations", paper.drawn_finely(best, distances), FINE_NM
    whole = run.on(counts, localizations=False)
    for (name, result), (_, plain) in zip(whole, run.on(counts[:PLAIN_FRAMES]), strict=True):
        yield name, "image", result.image, PIXEL_NM / 8
        yield name, "localizations", paper.drawn_finely(found_by(plain), distances), FINE_NM


def close_lines(run: Run) -> Table:
    """Tell whether lines below the resolution are split, and at a wrong distance."""
    rows: list[Row] = []
    profiles: Profiles = []
    distances = CLOSE_NM[:2] if run.quick else CLOSE_NM
    for density in (1, 5, 9):
        settings = paper.stripe_settings(distances, density, 100 if run.quick else 1000)
        for name, result, _ in run.of(settings, 30 + density):
            for dip, profile in paper.stripe_dips(result.image, PIXEL_NM / 8, distances):
                true, seen = profile["separation_nm"], dip.peak_distance_nm
                wrong = seen is not None and abs(seen - true) > WRONG_BY_NM
                invented = "yes" if wrong and dip.depth >= RAYLEIGH_DIP else "no"
                depth = 100 * dip.depth, 100 * dip.counting_error
                rows.append(row(INVENTIONS, name, density, true, *depth, seen, invented))
                known = {"network": name, "of": "image", "density_per_um2": density}
                profiles.append(known | profile)
    draw_profiles(run, profiles, "close_lines.png")
    note = f"Invented: peaks as Rayleigh has them, at a distance off by over {WRONG_BY_NM:g} nm."
    return Table("Two lines below the resolution", note, rows, {"profiles": profiles})


def line_width(run: Run) -> list[Table]:
    """Measure the width of a line without any of its own at several angles and densities."""
    widths: dict[tuple[str, float], list[float | None]] = {}
    angles = ANGLES_DEGREES[:1] if run.quick else ANGLES_DEGREES
    for per_um in (0.5, 4.0):
        for angle in angles:
            places = line_positions(angle)
            density = per_um * len(places) * 2e-3 / FIELD_UM2
            scene, frames = TableScene(positions_nm=places), run.frames(LINE_EMITTERS, density)
            settings = like_the_papers_movie(scene, density, frames)
            for name, result, truth in run.of(settings, round(angle)):
                exact = histogram_image(truth, result.image.shape, PIXEL_NM / 8)
                for source, image in ((name, result.image), ("truth", exact)):
                    found = widths.setdefault((source, per_um), [])
                    found.append(width_nm(image, PIXEL_NM / 8, angle))
    rows = []
    for (name, per_um), found in widths.items():
        targets = (24, 24, 18) if name != "truth" else [None] * 3
        figure, mean = f"FWHM, {per_um:g} emitters/µm [nm]", Measured.of(found).value
        rows.append(row(TARGETS, figure, name, mean, *targets))
    note = f"Mean over {angles}° to the grid; 'truth': what pixels alone make of true positions."
    details = {f"{name}, {per_um:g}/µm": found for (name, per_um), found in widths.items()}
    return [Table("Width of a line", note, rows, {"by_angle_nm": details})]


def draw_profiles(run: Run, profiles: Profiles, name: str) -> None:
    """Draw profiles across line pairs: one panel per result, the true lines marked on each."""
    if run.pictures is None:
        return
    panels: dict[str, Profiles] = {}
    for profile in profiles:
        title = f"{profile['network']}\n{profile['of']}, {profile['density_per_um2']} /µm²"
        panels.setdefault(title, []).append(profile)
    columns = min(len(panels), PANELS_PER_ROW)
    rows, tallest = -(-len(panels) // columns), max(map(len, panels.values()))
    figure = Figure(figsize=(2.4 * columns, rows * (1.2 + 0.4 * tallest)), layout="constrained")
    for place, (title, own) in enumerate(panels.items(), 1):
        panel = figure.add_subplot(rows, columns, place)
        panel.set(xlim=(-100, 100), yticks=[], xlabel="offset [nm]")
        panel.set_title(title, fontsize="small")
        for index, profile in enumerate(own):
            base, half = index * STEP, profile["separation_nm"] / 2
            heights = np.array(profile["intensity"]) / max(profile["intensity"])
            panel.plot(profile["offset_nm"], base + heights, lw=1)
            panel.plot([-half, half], [base] * 2, "k|", ms=7)
            panel.text(-97, base + 0.12, f"{2 * half:g} nm", fontsize="small")
    save_figure(figure, run.pictures / name)


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
            nmse = deepstorm.evaluate(result, truth).figures()["nmse_percent"]
            figures |= row("NMSE [%] | expected / true emitters", nmse, _ratio(result, truth))
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


def _uniform(density, photons, background, frames):
    """Return a uniform field whose spots are 1.1 to 1.3 pixels wide, Poisson noise."""
    told = {"frames": frames, "density_per_um2": density, "scene": UniformScene()}
    told["brightness"] = {"mean_photons": photons, "relative_spread": BRIGHTNESS_SPREAD}
    told["psf"] = {"sigma_nm": SPOT_NM, "relative_spread": 0.04}
    told |= {"background": {"mean_photons": background}, "camera": {"kind": "ideal"}}
    return SimulationSettings.model_validate(told)


def _scores(found: Localizations, truth: Localizations) -> Row:
    figures: Row = {}
    for radius in (100, 50):
        scores = deepstorm.evaluate(found, truth, radius_nm=radius).figures()
        by = f"Jaccard {radius} nm | by chance, {radius} nm"
        figures |= row(by, scores["jaccard"], scores["chance_jaccard"])
    errors = position_errors(found, truth)
    light = truth.select(errors.truth_index).columns()
    bounds = cramer_rao_nm(light["photons"], light["background_photons"], SPOT_NM, PIXEL_NM)
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


PARTS = {
    "stripes": stripes,
    "line": line_width,
    "uniform": uniform_fields,
    "subpixel": subpixel,
    "structures": structures,
}


def measure(run: Run, names: list[str]) -> dict[str, Any]:
    """Run parts; unknown networks are refused before any work is done."""
    checksums = {name: open_network(name).checksum for name in run.networks}
    parts = measure_parts({name: partial(PARTS[name], run) for name in names})
    return {"networks": checksums, "quick": run.quick, "parts": parts}


if __name__ == "__main__":
    parser = parser_of("accuracy", __doc__)
    add = parser.add_argument
    add("--network", nargs="+", default=["native"], metavar="NAME_OR_FILE")
    add("--quick", action="store_true", help="a few seconds a part; do not quote")
    known = {"type": names_of(PARTS), "default": list(PARTS), "help": ", ".join(PARTS)}
    add("--only", metavar="PART,...", **known)
    add("-o", "--output", type=Path, help="JSON, replaced if there; pictures go to its folder")
    chosen = parser.parse_args()
    pictures = chosen.output.absolute().parent if chosen.output is not None else None
    asked = Run(tuple(chosen.network), chosen.quick, pictures)
    finish("accuracy", partial(measure, asked, chosen.only), chosen.output)
