"""Width of a simulated line without any width of its own."""

from __future__ import annotations

import numpy as np
from measuring import FIELD_UM2, PIXEL_NM, SIDE_PX, Run, reconstructed, short_name
from report import Table, Value, against_targets

import deepstorm
from deepstorm.paper.lines import ALONG_NM, line_positions, width_nm
from deepstorm.paper.movies import like_the_papers_movie
from deepstorm.simulation.scenes import TableScene
from deepstorm.structures import Localizations, histogram_image

ANGLES_DEGREES = (4.0, 17.0, 94.0)
# On average 4 emitters are on per µm of the eight filaments of the paper's Fig. 4.
PER_UM = (0.5, 4.0)
EMITTERS = 2000


def measure(run: Run) -> list[Table]:
    """Measure the width at several angles and densities."""
    widths: dict[tuple[str, float], list[float | None]] = {}
    angles = ANGLES_DEGREES[:1] if run.quick else ANGLES_DEGREES
    for per_um in PER_UM:
        for angle in angles:
            places = line_positions(angle)
            density = per_um * len(places) * 2e-3 / FIELD_UM2
            frames = run.frames(EMITTERS, density)
            settings = like_the_papers_movie(TableScene(positions_nm=places), density, frames)
            movie = deepstorm.simulate(settings, seed=round(angle))
            for network in run.networks:
                result = reconstructed(movie, network, localizations=False)
                width = width_nm(result.image, result.pixel_size_nm, angle)
                widths.setdefault((short_name(network), per_um), []).append(width)
            exact = width_nm(_truth_image(movie.truth), PIXEL_NM / 8, angle)
            widths.setdefault(("truth", per_um), []).append(exact)
    rows = [
        against_targets(
            f"FWHM, {per_um:g} emitters/µm [nm]",
            name,
            _mean(found),
            **({"paper": 24, "at_least": 24, "aim": 18} if name != "truth" else {}),
        )
        for (name, per_um), found in widths.items()
    ]
    note = (
        f"Straight line of no width at {', '.join(f'{angle:g}°' for angle in angles)} to the grid, "
        "mean over these; light and camera of the paper's Fig. 4, where 4 emitters are on per µm "
        f"of filament. Profile over {ALONG_NM:g} nm of the line. 'truth': the histogram of the "
        "true positions, what pixels and interpolation alone make of it."
    )
    details = {f"{name}, {per_um:g}/µm": found for (name, per_um), found in widths.items()}
    return [Table("Width of a line", note, rows, {"by_angle_nm": details})]


def _truth_image(truth: Localizations) -> np.typing.NDArray[np.float32]:
    return histogram_image(truth, (8 * SIDE_PX, 8 * SIDE_PX), PIXEL_NM / 8)


def _mean(values: list[float | None]) -> Value:
    """Return the mean; ``None`` where any of them could not be measured."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
