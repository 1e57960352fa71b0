"""The paper's Fig. 3: the smallest distance of two horizontal lines that is resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from measuring import (
    PIXEL_NM,
    Run,
    at_the_bound,
    found_by,
    frames_of,
    reconstructed,
    short_name,
)
from pictures import draw_profiles
from report import Row, Table, against_targets

import deepstorm
from deepstorm.arrays import Float32Array
from deepstorm.evaluation.line_pairs import RAYLEIGH_DIP, Dip, smallest_resolved_nm
from deepstorm.paper.stripes import (
    FIELD_UM2,
    FINE_NM,
    PAIRS,
    SIGMA_NM,
    WIDTH_PX,
    drawn_finely,
    stripe_dips,
    stripe_image,
    stripe_settings,
)

SEPARATIONS_NM = (13.0, 15.0, 17.0, 19.0, 22.0, 25.0, 28.0, 31.0, 35.0, 40.0, 50.0, 70.0)
QUICK_SEPARATIONS_NM = (15.0, 31.0)
DENSITIES_PER_UM2 = (1, 3, 5, 7, 9)
QUICK_DENSITIES_PER_UM2 = (1, 9)
# The refiner sharpens an image the more frames there are.
FRAMES, QUICK_FRAMES = 1000, 100
PLAIN_FRAMES = 100
FEWER_FRAMES = (30, 100, 300)
FEWER_FRAMES_DENSITIES_PER_UM2 = (1, 9)
PICTURE = "stripes.png"
TARGETS = {1: {"paper": 19, "at_least": 19, "aim": 15}, 9: {"paper": 31, "at_least": 31, "aim": 25}}


def measure(run: Run) -> list[Table]:
    """Measure the dips of all distances at all densities."""
    separations = QUICK_SEPARATIONS_NM if run.quick else SEPARATIONS_NM
    densities = QUICK_DENSITIES_PER_UM2 if run.quick else DENSITIES_PER_UM2
    frames = QUICK_FRAMES if run.quick else FRAMES
    dips: dict[tuple[str, str, int], list[Dip]] = {}
    details: list[dict[str, Any]] = []
    over_frames: list[Row] = []
    for density in densities:
        movie = deepstorm.simulate(stripe_settings(separations, density, frames), seed=density)
        for name, kind, image, pixel_nm in _images(run, movie, density, separations):
            measured = stripe_dips(image, pixel_nm, separations)
            dips[name, kind, density] = [dip for dip, _ in measured]
            details += [
                {"network": name, "of": kind, "density_per_um2": density, **shape}
                for _, shape in measured
            ]
        if density in FEWER_FRAMES_DENSITIES_PER_UM2 and not run.quick:
            over_frames += _over_frames(run, movie, density, separations)
    if run.pictures is not None:
        draw_profiles(details, run.pictures / PICTURE)
    tables = [
        _resolved_table(dips, separations, frames),
        _dip_table(dips, separations, densities, details),
    ]
    if over_frames:
        note = "As above, images of the first frames of the same movies."
        tables.append(Table("Resolved distance over the number of frames", note, over_frames))
    return tables


def _images(
    run: Run, movie: deepstorm.Simulation, density: int, separations: tuple[float, ...]
) -> Iterator[tuple[str, str, Float32Array, float]]:
    """Yield (source, kind, image, size of its pixels) of the bound and of each network."""
    # What does not sharpen needs no more frames than make its counting error small.
    few = movie.truth.select(movie.truth.frame < PLAIN_FRAMES)
    best = at_the_bound(few, SIGMA_NM, seed=density)
    yield "bound", "image", stripe_image(best, separations), PIXEL_NM / 8
    yield "bound", "localizations", drawn_finely(best, separations), FINE_NM
    for network in run.networks:
        name = short_name(network)
        result = reconstructed(movie, network, localizations=False)
        yield name, "image", result.image, result.pixel_size_nm
        found = found_by(reconstructed(_first(movie, PLAIN_FRAMES), network))
        yield name, "localizations", drawn_finely(found, separations), FINE_NM


def _first(movie: deepstorm.Simulation, frames: int) -> deepstorm.Simulation:
    return replace(movie, frames=frames_of(movie)[:frames])


def _over_frames(
    run: Run, movie: deepstorm.Simulation, density: int, separations: tuple[float, ...]
) -> list[Row]:
    rows: list[Row] = []
    for network in run.networks:
        row: Row = {"network": short_name(network), "/µm²": density}
        for frames in FEWER_FRAMES:
            result = reconstructed(_first(movie, frames), network, localizations=False)
            dips = [dip for dip, _ in stripe_dips(result.image, result.pixel_size_nm, separations)]
            smallest = smallest_resolved_nm(separations, [dip.depth for dip in dips])
            row[f"{frames} frames [nm]"] = smallest
        rows.append(row)
    return rows


def _resolved_table(
    dips: dict[tuple[str, str, int], list[Dip]], separations: tuple[float, ...], frames: int
) -> Table:
    rows = []
    for (name, kind, density), found in dips.items():
        smallest = smallest_resolved_nm(separations, [dip.depth for dip in found])
        figure = f"{kind}, {density} /µm² [nm]"
        targets = TARGETS.get(density, {}) if kind == "image" else {}
        rows.append(against_targets(figure, name, smallest, **targets))
    note = (
        f"Smallest tested distance from which on every larger one, too, shows a dip of at least "
        f"{100 * RAYLEIGH_DIP:.0f} % of the lower peak. Tested: "
        f"{', '.join(f'{separation:g}' for separation in separations)} nm. {frames} frames ("
        f"{PLAIN_FRAMES} for what does not sharpen with them: localizations and bound), 1000 "
        f"photons, 10 background photons, Poisson noise, sigma {SIGMA_NM:g} nm. The image's "
        "profile is blurred by its pixel of 12.5 nm, that of localizations is not; 'bound' is the "
        "truth with the errors of the best possible estimate of emitters that are alone, of any "
        "density."
    )
    return Table("Resolved distance of two lines (the paper's Fig. 3)", note, rows)


def _dip_table(
    dips: dict[tuple[str, str, int], list[Dip]],
    separations: tuple[float, ...],
    densities: tuple[int, ...],
    details: list[dict[str, Any]],
) -> Table:
    rows: list[Row] = []
    for name, kind in dict.fromkeys((name, kind) for name, kind, _ in dips):
        for index, separation in enumerate(separations):
            row: Row = {"network": name, "of": kind, "distance [nm]": separation}
            for density in densities:
                dip = dips[name, kind, density][index]
                row[f"{density} /µm²"] = _cell(dip)
            rows.append(row)
    note = (
        "Dip in % with its counting error and, in brackets, the distance of the peaks in nm; from "
        "the sum over the length of seven pairs at seven phases of the pixel grid. Lines are "
        f"{WIDTH_PX * PIXEL_NM / 1000:g} µm long and {2 * PAIRS} to a field of {FIELD_UM2:.3g} µm²."
    )
    return Table("Dip between two lines", note, rows, {"profiles": details})


def _cell(dip: Dip) -> str:
    depth = f"{100 * dip.depth:.0f} ± {100 * dip.counting_error:.0f}"
    return depth if dip.peak_distance_nm is None else f"{depth} ({dip.peak_distance_nm:.0f})"
