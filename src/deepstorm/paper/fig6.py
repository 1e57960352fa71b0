"""Fig. 6: the real dense microtubules."""

from __future__ import annotations

import numpy as np

from deepstorm.arrays import Float32Array, Float64Array
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.evaluation.resolution import fwhm_nm, line_profile
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.drawing import pictured
from deepstorm.paper.fields import Shown, field_pictures, title_of
from deepstorm.paper.findings import Finding, Measured, Picture, Row, Table
from deepstorm.paper.methods import CEL0, FINE, Imaged, all_methods
from deepstorm.paper.movies import FIG6_SOURCES, PIXEL_NM, Specimen, real_microtubules
from deepstorm.reports.panels import Curve, CurvePanel

FINE_NM = PIXEL_NM / FINE
# Over which the profile is averaged, along the filament.
PROFILE_WIDTH_NM = 100.0
WIDEFIELD = "sum of the frames"


class Figure6Settings(Settings):
    """How much of the movie the slow methods see."""

    simulated_frames: int = 500
    slow_frames: int | None = None
    deconvolution_iterations: int = 3000


QUICK = Figure6Settings(simulated_frames=120, slow_frames=100, deconvolution_iterations=1000)


class Figure6:
    """Reconstructions of a real movie, which has no truth."""

    name = "fig6"
    title = "Fig. 6: real dense microtubules"
    sources = FIG6_SOURCES

    def settings(self, quick: bool) -> Figure6Settings:
        """Return the settings of a quick or of a full run."""
        return QUICK if quick else Figure6Settings()

    def run(self, context: Context) -> Finding:
        """Reconstruct, and measure the width of one filament."""
        chosen = self.settings(context.quick)
        specimen = real_microtubules(context, chosen.simulated_frames)
        images = all_methods(
            specimen.frames,
            PIXEL_NM,
            context,
            slow_frames=chosen.slow_frames,
            iterations=chosen.deconvolution_iterations,
            label=self.name,
        )
        shown: Shown = [(WIDEFIELD, specimen.frames.sum(axis=0, dtype=np.float32), PIXEL_NM)]
        shown += [(title_of(imaged, specimen), imaged.image, FINE_NM) for imaged in images]
        profiles = {name: _profile(image, pixel_nm, specimen) for name, image, pixel_nm in shown}
        widths = {name: _width(*profile) for name, profile in profiles.items()}
        pictures = (
            *field_pictures(
                shown, specimen, "The whole field; yellow: the profile.", specimen.line_nm
            ),
            _profiles(profiles),
        )
        width = Measured.of([widths[short_name(context.ours)]], "no peak")
        figures = {"FWHM": width} if specimen.is_published else {}
        return Finding((_table(images, widths, specimen),), pictures, figures)


Profile = tuple[Float64Array, Float64Array]


def _profile(image: Float32Array, pixel_nm: float, specimen: Specimen) -> Profile:
    start, end = specimen.line_nm
    return line_profile(image, start, end, PROFILE_WIDTH_NM, pixel_nm)


def _width(distance_nm: Float64Array, intensity: Float64Array) -> float | None:
    try:
        return fwhm_nm(distance_nm, intensity)
    except InputError:
        return None


def _table(images: list[Imaged], widths: dict[str, float | None], specimen: Specimen) -> Table:
    printed = {CEL0: 61, WIDEFIELD: None}
    rows: list[Row] = [{"method": WIDEFIELD, "FWHM [nm]": widths[WIDEFIELD]}]
    rows += [
        {
            "method": imaged.method,
            "frames": f"{len(imaged.frames)} of {len(specimen.frames)}",
            "FWHM [nm]": widths[title_of(imaged, specimen)],
            "printed [nm]": printed.get(imaged.method),
            "emitters": round(imaged.emitters) if imaged.emitters is not None else None,
            "seconds": imaged.seconds,
        }
        for imaged in images
    ]
    rows.append({"method": "the paper's network, published", "printed [nm]": 67})
    note = (
        f"{specimen.origin} FWHM of the filament that the line crosses, averaged over "
        f"{PROFILE_WIDTH_NM:g} nm along it; the paper's is of another filament. A small width "
        "alone is no merit: a broken line of single localizations may be narrower than the truth."
    )
    return Table("Width of a real filament", note, rows)


def _profiles(profiles: dict[str, Profile]) -> Picture:
    lines = []
    for name, (distance_nm, intensity) in profiles.items():
        height = intensity - intensity.min()
        scaled = height / max(float(height.max()), 1e-12)
        colour = "black" if name == WIDEFIELD else None
        lines.append(Curve(distance_nm, scaled, name, colour=colour))
    panel = CurvePanel("across the filament", "distance [nm]", "of the highest", tuple(lines))
    return pictured("profile", "Profiles along the yellow line.", [panel], 1, width_inch=6.0)
