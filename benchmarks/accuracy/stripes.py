"""The paper's Fig. 3: the smallest distance of two horizontal lines that is resolved."""

from __future__ import annotations

from typing import Any

from measuring import (
    FIELD_UM2,
    PIXEL_NM,
    SIDE_PX,
    Run,
    at_the_bound,
    found_by,
    reconstructed,
    short_name,
)
from pictures import draw_profiles
from report import Row, Table, against_targets

import deepstorm
from deepstorm.evaluation.line_pairs import RAYLEIGH_DIP, Dip, smallest_resolved_nm
from deepstorm.paper.stripes import (
    FINE_NM,
    PAIRS,
    SIGMA_NM,
    drawn_finely,
    stripe_dips,
    stripe_settings,
)
from deepstorm.structures import histogram_image

SEPARATIONS_NM = (13.0, 15.0, 17.0, 19.0, 22.0, 25.0, 28.0, 31.0, 35.0, 40.0, 50.0, 70.0)
QUICK_SEPARATIONS_NM = (15.0, 31.0)
DENSITIES_PER_UM2 = (1, 3, 5, 7, 9)
QUICK_DENSITIES_PER_UM2 = (1, 9)
EMITTERS = 6000
PICTURE = "stripes.png"
TARGETS = {1: {"paper": 19, "at_least": 19, "aim": 15}, 9: {"paper": 31, "at_least": 31, "aim": 25}}


def measure(run: Run) -> list[Table]:
    """Measure the dips of all distances at all densities."""
    separations = QUICK_SEPARATIONS_NM if run.quick else SEPARATIONS_NM
    densities = QUICK_DENSITIES_PER_UM2 if run.quick else DENSITIES_PER_UM2
    dips: dict[tuple[str, str, int], list[Dip]] = {}
    details: list[dict[str, Any]] = []
    for density in densities:
        frames = run.frames(EMITTERS, density, least=30)
        movie = deepstorm.simulate(stripe_settings(separations, density, frames), seed=density)
        best = at_the_bound(movie.truth, SIGMA_NM, seed=density)
        image_nm = PIXEL_NM / 8
        shape = (8 * SIDE_PX * len(separations), 8 * SIDE_PX)
        images = [
            ("bound", "image", histogram_image(best, shape, image_nm), image_nm),
            ("bound", "localizations", drawn_finely(best, separations), FINE_NM),
        ]
        for network in run.networks:
            result = reconstructed(movie, network)
            fine = drawn_finely(found_by(result), separations)
            name = short_name(network)
            images += [
                (name, "image", result.image, result.pixel_size_nm),
                (name, "localizations", fine, FINE_NM),
            ]
        for name, kind, image, pixel_nm in images:
            measured = stripe_dips(image, pixel_nm, separations)
            dips[name, kind, density] = [dip for dip, _ in measured]
            details += [
                {"network": name, "of": kind, "density_per_um2": density, **shape}
                for _, shape in measured
            ]
    if run.pictures is not None:
        draw_profiles(details, run.pictures / PICTURE)
    return [
        _resolved_table(dips, separations),
        _dip_table(dips, separations, densities, details),
    ]


def _resolved_table(
    dips: dict[tuple[str, str, int], list[Dip]], separations: tuple[float, ...]
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
        f"{', '.join(f'{separation:g}' for separation in separations)} nm. 1000 photons, 10 "
        f"background photons, Poisson noise, sigma {SIGMA_NM:g} nm. The image's profile is blurred "
        f"by its pixel of 12.5 nm, that of localizations is not; 'bound' is the truth with the "
        "errors of the best possible estimate of emitters that are alone, of any density."
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
        "the sum over the length of seven pairs at seven phases of the pixel grid, at least about "
        f"{EMITTERS} emitters per profile (a tenth if quick). Lines are "
        f"{SIDE_PX * PIXEL_NM / 1000:g} µm long and {2 * PAIRS} to a field of {FIELD_UM2:.3g} µm²."
    )
    return Table("Dip between two lines", note, rows, {"profiles": details})


def _cell(dip: Dip) -> str:
    depth = f"{100 * dip.depth:.0f} ± {100 * dip.counting_error:.0f}"
    return depth if dip.peak_distance_nm is None else f"{depth} ({dip.peak_distance_nm:.0f})"
