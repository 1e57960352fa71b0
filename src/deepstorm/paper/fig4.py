"""Fig. 4 and 5: the dense simulated microtubules of the 2013 challenge."""

from __future__ import annotations

import numpy as np

from deepstorm.api.reconstruct import reconstruct
from deepstorm.arrays import Int64Array
from deepstorm.config import Settings
from deepstorm.evaluation.images import blurred_nmse, registered_nmse
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.drawing import cropped, merged, outlined, pictured
from deepstorm.paper.fields import Shown, field_pictures, title_of
from deepstorm.paper.findings import Finding, Measured, Picture, Row, Table
from deepstorm.paper.lines import SIDE_NM, line_positions, width_nm
from deepstorm.paper.methods import CEL0, DECONVOLUTION, FALCON, FINE, FIT, Imaged, all_methods
from deepstorm.paper.movies import (
    FIELD_UM2,
    FIG4_SOURCES,
    PIXEL_NM,
    Specimen,
    frames_for,
    like_the_papers_movie,
    simulated,
    simulated_microtubules,
)
from deepstorm.reports.panels import ImagePanel
from deepstorm.simulation.scenes import TableScene
from deepstorm.structures import Localizations, histogram_image

PUBLISHED = "the paper's image"
# NMSE as the paper prints it, and that of its method's histogram at the best Gaussian.
PRINTED = {CEL0: 72.0, FALCON: 61.0, PUBLISHED: 37.0}
PRINTED_BLURRED = {CEL0: 69.0}
FINE_NM = PIXEL_NM / FINE
# On average 4 emitters are on per µm of the eight filaments of the movie.
LINE_EMITTERS_PER_UM = 4.0


class Figure4Settings(Settings):
    """How much of the movie the slow methods see, and how the line is measured."""

    simulated_frames: int = 361
    slow_frames: int | None = None
    deconvolution_iterations: int = 3000
    angles_degrees: tuple[float, ...] = (4.0, 17.0, 94.0)
    line_emitters: int = 2000
    least_line_frames: int = 20


QUICK = Figure4Settings(
    slow_frames=12,
    deconvolution_iterations=1000,
    angles_degrees=(17.0,),
    line_emitters=400,
    least_line_frames=10,
)


class Figure4:
    """Reconstructions of one movie by every method, against its truth."""

    name = "fig4"
    title = "Fig. 4 and 5: simulated microtubules by every method"
    sources = FIG4_SOURCES

    def settings(self, quick: bool) -> Figure4Settings:
        """Return the settings of a quick or of a full run."""
        return QUICK if quick else Figure4Settings()

    def run(self, context: Context) -> Finding:
        """Reconstruct and score."""
        chosen = self.settings(context.quick)
        specimen = simulated_microtubules(context, chosen.simulated_frames)
        images = all_methods(
            specimen.frames,
            PIXEL_NM,
            context,
            slow_frames=chosen.slow_frames,
            iterations=chosen.deconvolution_iterations,
            label=self.name,
        )
        if specimen.published is not None:
            every = images[0].frames
            images.append(Imaged(PUBLISHED, specimen.published, every, float("nan")))
        rows, figures = _scored(images, specimen, short_name(context.ours))
        lines, widths = _line_table(context, chosen)
        pictures = (
            *field_pictures(
                _with_truth(images, specimen), specimen, "The whole field by every method."
            ),
            _merges(images, specimen),
        )
        return Finding((_table(rows, specimen), lines), pictures, figures | widths)


def _truth(specimen: Specimen, frames: Int64Array) -> Localizations:
    """Return the true emitters of some frames."""
    if specimen.truth is None:
        raise ValueError("this movie has no truth")
    return specimen.truth.select(np.isin(specimen.truth.frame, frames))


def _scored(
    images: list[Imaged], specimen: Specimen, ours: str
) -> tuple[list[Row], dict[str, Measured]]:
    rows: list[Row] = []
    figures: dict[str, Measured] = {}
    for imaged in images:
        truth = _truth(specimen, imaged.frames)
        row = _row(imaged, truth, len(specimen.frames))
        rows.append(row)
        # Another movie's error is not to be compared with the paper's.
        if len(imaged.frames) < len(specimen.frames) or not specimen.is_published:
            continue
        for heading, name in (("NMSE [%]", "NMSE"), ("registered [%]", "NMSE registered")):
            value = row[heading]
            measured = Measured(value if isinstance(value, float) else None)
            figures[f"{name}, {imaged.method}"] = measured
            if imaged.method == ours:
                figures[name] = measured
    return rows, figures


def _row(imaged: Imaged, truth: Localizations, total: int) -> Row:
    height, width = imaged.image.shape
    registered = registered_nmse(imaged.image, truth, FINE_NM)
    blurred = blurred_nmse(imaged.image, histogram_image(truth, (height, width), FINE_NM))
    found = imaged.emitters / len(truth) if imaged.emitters is not None else None
    return {
        "method": imaged.method,
        "frames": f"{len(imaged.frames)} of {total}",
        "NMSE [%]": registered.unregistered_nmse_percent,
        "registered [%]": registered.nmse_percent,
        "shifted by x, y [nm]": f"{registered.dx_nm:.1f}, {registered.dy_nm:.1f}",
        "best Gaussian [%]": blurred.nmse_percent,
        "its sigma [nm]": blurred.sigma_px * FINE_NM,
        "printed [%]": PRINTED.get(imaged.method),
        "printed, blurred [%]": PRINTED_BLURRED.get(imaged.method),
        "found / true": found,
        "seconds": imaged.seconds if np.isfinite(imaged.seconds) else None,
    }


def _table(rows: list[Row], specimen: Specimen) -> Table:
    note = (
        f"{specimen.origin} NMSE on the grid of 12.5 nm after the best scale. Registered: the "
        "truth shifted to where the error is lowest, which the paper's image needs and which "
        "partly explains its 37 %. Best Gaussian: the image blurred so that the error is "
        "lowest. Rows of fewer frames than the movie has are compared with the truth of those "
        "frames; NMSE falls with the number of frames, so they can only be compared with each "
        "other. CEL0 and FALCON are this package's own implementations with default settings; "
        "single-emitter fits are not made for this density. Richardson–Lucy deconvolves the "
        "mean frame and uses no blinking: what is not below it does not show that single "
        "frames were resolved."
    )
    return Table("Error of each method", note, rows)


def line_widths(
    context: Context, chosen: Figure4Settings, per_um: float = LINE_EMITTERS_PER_UM
) -> dict[str, list[float | None]]:
    """Measure how wide a line without width appears, at each angle, by network and of the truth."""
    widths: dict[str, list[float | None]] = {}
    for angle in chosen.angles_degrees:
        context.say(f"fig4: line at {angle:g}°")
        places = line_positions(angle)
        density = per_um * len(places) * 2e-3 / FIELD_UM2
        frames = frames_for(chosen.line_emitters, density, chosen.least_line_frames)
        settings = like_the_papers_movie(TableScene(positions_nm=places), density, frames)
        counts, truth = simulated(settings, seed=round(angle))
        side = round(SIDE_NM / FINE_NM)
        exact = histogram_image(truth, (side, side), FINE_NM)
        widths.setdefault("truth", []).append(width_nm(exact, FINE_NM, angle))
        for network in context.networks:
            result = reconstruct(
                counts, pixel_size_nm=PIXEL_NM, network=network, localizations=False
            )
            found = width_nm(result.image, result.pixel_size_nm, angle)
            widths.setdefault(short_name(network), []).append(found)
    return widths


def _line_table(context: Context, chosen: Figure4Settings) -> tuple[Table, dict[str, Measured]]:
    """Return the mean widths of a line over the angles."""
    widths = line_widths(context, chosen)
    figures = {name: Measured.of(found, "no peak") for name, found in widths.items()}
    rows: list[Row] = [{"of": "paper", "FWHM [nm]": 24}]
    rows += [{"of": name, "FWHM [nm]": found.shown()} for name, found in figures.items()]
    note = (
        "A straight line without width at "
        f"{', '.join(f'{a:g}°' for a in chosen.angles_degrees)} to the grid, "
        f"{LINE_EMITTERS_PER_UM:g} emitters on per µm, light and camera of the movie above. "
        "Truth: what pixels and interpolation alone make of it."
    )
    named = {f"line width, {name}": found for name, found in figures.items()}
    named["line width"] = figures[short_name(context.ours)]
    return Table("Width of a line", note, rows), named


def _with_truth(images: list[Imaged], specimen: Specimen) -> Shown:
    """Return what was seen, the truth, and what every method made of it."""
    exact = histogram_image(_truth(specimen, images[0].frames), specimen.fine_shape, FINE_NM)
    return [
        ("sum of the frames", specimen.frames.sum(axis=0), PIXEL_NM),
        ("truth", exact, FINE_NM),
        *((title_of(imaged, specimen), imaged.image, FINE_NM) for imaged in images),
    ]


def _merges(images: list[Imaged], specimen: Specimen) -> Picture:
    """Draw the paper's Fig. 5."""
    panels: list[ImagePanel] = []
    region = specimen.regions[0]
    for imaged in images:
        if imaged.method in (DECONVOLUTION, FIT):
            continue
        truth = histogram_image(_truth(specimen, imaged.frames), specimen.fine_shape, FINE_NM)
        both = merged(truth, imaged.image)
        title = title_of(imaged, specimen)
        panels += [
            ImagePanel(title, both, FINE_NM, curves=(outlined(region, FINE_NM),)),
            ImagePanel("", cropped(both, FINE_NM, region), FINE_NM),
        ]
    caption = "Truth in red, reconstruction in green, yellow where they agree (Fig. 5)."
    return pictured("merged", caption, panels, 4)
