"""Fig. 3 and its supplement: which distance of two lines is resolved, over density and signal."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deepstorm.api.reconstruct import reconstruct
from deepstorm.arrays import Float32Array
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.evaluation.line_pairs import RAYLEIGH_DIP, smallest_resolved_nm
from deepstorm.localization.bounds import at_the_bound
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.drawing import pictured
from deepstorm.paper.findings import Finding, Measured, Picture, Row, Table
from deepstorm.paper.movies import simulated
from deepstorm.paper.stripes import (
    FIELD_UM2,
    FINE_NM,
    PAIRS,
    PIXEL_NM,
    SIGMA_NM,
    drawn_finely,
    stripe_dips,
    stripe_image,
    stripe_settings,
)
from deepstorm.reports.panels import Curve, CurvePanel, ImagePanel, Panel
from deepstorm.simulation.scenes import StripeScene
from deepstorm.structures import Localizations, histogram_image

BOUND = "bound"
IMAGE, TABLE = "image", "localizations"
NONE = "not resolved"
PUBLISHED_NM = {1.0: 19.0, 9.0: 31.0}
USUAL_PHOTONS = 1000.0
SHOWN_SEPARATIONS_NM = (250.0, 150.0, 100.0, 70.0, 50.0, 31.0, 19.0)
SHOWN_SIDE_PX = 32


class Figure3Settings(Settings):
    """Which distances, densities and signals are tried, and how many frames make an image.

    A refined image is the sharper the more frames there are. Localizations, and images of networks
    without a refiner, are not: they are of the first ``plain_frames``.
    """

    separations_nm: tuple[float, ...] = (
        15.0, 17.0, 19.0, 22.0, 25.0, 28.0, 31.0, 40.0, 50.0, 70.0
    )  # fmt: skip
    densities_per_um2: tuple[float, ...] = (1.0, 3.0, 6.0, 9.0)
    photons: tuple[float, ...] = (250.0, 500.0, 3000.0)
    photons_density_per_um2: float = 1.0
    frames: int = 1000
    plain_frames: int = 50
    seeds: int = 2
    shown_frames: int = 1000


QUICK = Figure3Settings(
    separations_nm=(19.0, 31.0, 50.0, 70.0),
    densities_per_um2=(1.0, 9.0),
    photons=(500.0, 2000.0),
    frames=200,
    plain_frames=30,
    seeds=1,
    shown_frames=100,
)

Condition = tuple[float, float]


@dataclass
class Dips:
    """Depths of the dips, by source, kind, and (density, photons); one list for each seed."""

    depths: dict[tuple[str, str, Condition], list[list[float]]] = field(default_factory=dict)

    def resolved(
        self, separations_nm: tuple[float, ...]
    ) -> dict[tuple[str, str, Condition], Measured]:
        """Return the smallest resolved distance of each, over the seeds."""
        return {
            key: Measured.of([smallest_resolved_nm(separations_nm, one) for one in seeds], NONE)
            for key, seeds in self.depths.items()
        }


class Figure3:
    """Two lines at decreasing distance, over density and over signal."""

    name = "fig3"
    title = "Fig. 3: resolution against emitter density and signal"
    sources: tuple[str, ...] = ()

    def settings(self, quick: bool) -> Figure3Settings:
        """Return the settings of a quick or of a full run."""
        return QUICK if quick else Figure3Settings()

    def run(self, context: Context) -> Finding:
        """Measure the dips of all distances in all conditions."""
        chosen = self.settings(context.quick)
        over_density = [(density, USUAL_PHOTONS) for density in chosen.densities_per_um2]
        over_signal = [(chosen.photons_density_per_um2, photons) for photons in chosen.photons]
        dips = Dips()
        for condition in dict.fromkeys(over_density + over_signal):
            for seed in range(chosen.seeds):
                context.say(f"fig3: {condition[0]:g} /µm², {condition[1]:g} photons, seed {seed}")
                _measure(context, chosen, condition, seed, dips)
        resolved = dips.resolved(chosen.separations_nm)
        signal_axis = sorted({*over_signal, (chosen.photons_density_per_um2, USUAL_PHOTONS)})
        signal_axis = [condition for condition in signal_axis if condition in _conditions(dips)]
        tables = (
            _resolved_table(resolved, over_density, chosen),
            _signal_table(resolved, signal_axis),
        )
        pictures = (
            _curves(resolved, over_density, signal_axis),
            _stripes(context, chosen),
        )
        ours = short_name(context.ours)
        figures = {
            f"{short_name(network)}, {kind}, {density:g}/µm²": resolved[
                short_name(network), kind, (density, USUAL_PHOTONS)
            ]
            for network in context.networks
            for kind in (IMAGE, TABLE)
            for density in chosen.densities_per_um2
        }
        figures |= {
            f"{kind}, {density:g}/µm²": resolved[ours, kind, (density, USUAL_PHOTONS)]
            for kind in (IMAGE, TABLE)
            for density in chosen.densities_per_um2
        }
        return Finding(tables, pictures, figures)


def _conditions(dips: Dips) -> set[Condition]:
    return {condition for _, _, condition in dips.depths}


def _measure(
    context: Context, chosen: Figure3Settings, condition: Condition, seed: int, dips: Dips
) -> None:
    """Simulate one movie and measure the dips in the images of all sources."""
    density, photons = condition
    separations = chosen.separations_nm
    settings = stripe_settings(separations, density, chosen.frames, photons)
    counts, truth = simulated(settings, seed=100 * seed + round(density))
    first = truth.select(truth.frame < chosen.plain_frames)
    best = at_the_bound(first, SIGMA_NM, PIXEL_NM, np.random.default_rng(seed))
    _add(dips, BOUND, condition, stripe_image(best, separations), best, separations)
    for network in context.networks:
        plain = reconstruct(counts[: chosen.plain_frames], pixel_size_nm=PIXEL_NM, network=network)
        table = plain.localizations or Localizations.concatenate([])
        image = plain.image
        if network == context.ours:
            image = reconstruct(
                counts, pixel_size_nm=PIXEL_NM, network=network, localizations=False
            ).image
        _add(dips, short_name(network), condition, image, table, separations)


def _add(
    dips: Dips,
    source: str,
    condition: Condition,
    image: Float32Array,
    table: Localizations,
    separations: tuple[float, ...],
) -> None:
    fine = drawn_finely(table, separations)
    for kind, pixels, pixel_nm in ((IMAGE, image, PIXEL_NM / 8), (TABLE, fine, FINE_NM)):
        depths = _depths(pixels, pixel_nm, separations)
        dips.depths.setdefault((source, kind, condition), []).append(depths)


def _depths(pixels: Float32Array, pixel_nm: float, separations: tuple[float, ...]) -> list[float]:
    """Return the dips; none where nothing was found near a pair of lines."""
    try:
        return [dip.depth for dip, _ in stripe_dips(pixels, pixel_nm, separations)]
    except InputError:
        return [0.0] * len(separations)


def _resolved_table(
    resolved: dict[tuple[str, str, Condition], Measured],
    conditions: list[Condition],
    chosen: Figure3Settings,
) -> Table:
    rows: list[Row] = [
        {"of": "paper, image"}
        | {f"{density:g} /µm² [nm]": PUBLISHED_NM.get(density) for density, _ in conditions}
    ]
    for source, kind in dict.fromkeys((source, kind) for source, kind, _ in resolved):
        row: Row = {"of": f"{source}, {kind}"}
        for condition in conditions:
            row[f"{condition[0]:g} /µm² [nm]"] = resolved[source, kind, condition].shown()
        rows.append(row)
    tested = ", ".join(f"{separation:g}" for separation in chosen.separations_nm)
    note = (
        "Smallest tested distance from which on every larger one, too, shows a dip of at least "
        f"{100 * RAYLEIGH_DIP:.0f} % of the lower peak in the sum along the lines; not resolved "
        f"where a seed shows none at the largest. Tested: {tested} nm. 1000 photons, 10 "
        f"background photons, Poisson noise; {chosen.frames} frames for the image of the first "
        "network, whose refiner sharpens it more the more frames there are, "
        f"{chosen.plain_frames} for all else; mean and standard deviation of {chosen.seeds} "
        f"seed(s). The density is that of the field, with {2 * PAIRS} lines to {FIELD_UM2:.1f} "
        "µm²; the paper says neither how many share its field nor how many frames it summed, "
        "and trained a network for each density, which these were not. Bound: the truth with "
        "the errors of the best possible estimate of emitters that are alone."
    )
    return Table("Resolved distance of two lines, by density", note, rows)


def _signal_table(
    resolved: dict[tuple[str, str, Condition], Measured], conditions: list[Condition]
) -> Table:
    rows: list[Row] = []
    for source, kind in dict.fromkeys((source, kind) for source, kind, _ in resolved):
        row: Row = {"of": f"{source}, {kind}"}
        for condition in conditions:
            row[f"{condition[1]:g} photons [nm]"] = resolved[source, kind, condition].shown()
        rows.append(row)
    note = (
        f"As above, at {conditions[0][0]:g} emitters/µm² and 10 background photons. The paper "
        "shows this in its supplement."
    )
    return Table("Resolved distance of two lines, by signal", note, rows)


def _curves(
    resolved: dict[tuple[str, str, Condition], Measured],
    over_density: list[Condition],
    over_signal: list[Condition],
) -> Picture:
    """Draw the resolved distance over density and over signal."""
    panels = []
    axes = ((over_density, 0, "density [/µm²]"), (over_signal, 1, "signal [photons]"))
    for conditions, index, label in axes:
        lines = [
            Curve(
                [condition[index] for condition in conditions],
                [resolved[source, kind, condition].value for condition in conditions],
                f"{source}, {kind}",
                "-o" if kind == IMAGE else "--s",
            )
            for source, kind in dict.fromkeys((source, kind) for source, kind, _ in resolved)
        ]
        if index == 0:
            lines.append(
                Curve(list(PUBLISHED_NM), list(PUBLISHED_NM.values()), "paper, image", "*", "black")
            )
        ticks = tuple(condition[index] for condition in conditions)
        title = "smallest resolved distance"
        scale = "x" if index == 1 else ""
        panels.append(CurvePanel(title, label, "distance [nm]", tuple(lines), scale, ticks))
    caption = (
        "Smallest resolved distance of two lines against the density of emitters and against "
        "their signal; where a point is missing, not even the largest tested distance is "
        "resolved."
    )
    return pictured("resolution", caption, panels, 2, width_inch=5.0)


def _stripes(context: Context, chosen: Figure3Settings) -> Picture:
    """Draw the paper's figure: lines, single frames, truth, reconstruction, summed profile."""
    panels: list[Panel] = []
    for density in (chosen.densities_per_um2[0], chosen.densities_per_um2[-1]):
        settings = stripe_settings((1.0,), density, chosen.shown_frames).model_copy(
            update={
                "height_px": SHOWN_SIDE_PX,
                "width_px": SHOWN_SIDE_PX,
                "scene": StripeScene(separations_nm=SHOWN_SEPARATIONS_NM),
            }
        )
        counts, truth = simulated(settings, seed=7)
        side = 8 * SHOWN_SIDE_PX
        fine = PIXEL_NM / 8
        exact = histogram_image(truth, (side, side), fine)
        images = {
            short_name(network): reconstruct(
                counts, pixel_size_nm=PIXEL_NM, network=network, localizations=False
            ).image
            for network in context.networks
        }
        panels += [
            ImagePanel(f"{density:g} /µm²: all light", counts.sum(0), PIXEL_NM, colormap="gray"),
            ImagePanel("a single frame", counts[0], PIXEL_NM, colormap="gray"),
            ImagePanel("truth", exact, fine),
            *(ImagePanel(name, image, fine) for name, image in images.items()),
            _profiles({"truth": exact} | images),
        ]
    lines = ", ".join(f"{separation:g}" for separation in SHOWN_SEPARATIONS_NM)
    caption = f"Pairs of lines {lines} nm apart, from top to bottom, and the sums along them."
    return pictured("stripes", caption, panels, 4 + len(context.networks))


def _profiles(images: dict[str, Float32Array]) -> CurvePanel:
    lines = []
    for name, image in images.items():
        sums = image.sum(axis=1, dtype=np.float64)
        y_nm = (np.arange(len(sums)) + 0.5) * PIXEL_NM / 8
        lines.append(Curve(y_nm, sums / sums.max(), name))
    return CurvePanel("sum along the lines", "y [nm]", "of the highest", tuple(lines))
