"""A calibration on one page: the curves and maps that its values were read from."""

from __future__ import annotations

import math

import numpy as np

from deepstorm.arrays import Float64Array, PathLike
from deepstorm.calibration.assumption import Examination
from deepstorm.reports.panels import Curve, CurvePanel, ImagePanel, panels_figure, write_figure
from deepstorm.structures import Estimate


def draw_calibration(
    path: PathLike, examination: Examination, title: str, *, overwrite: bool = False
) -> None:
    """Write a PNG picture of what a calibration found, and of what it was read from.

    Raises
    ------
    InputError
        If the file may not be written.
    """
    figure = panels_figure(calibration_panels(examination), 3, width_inch=3.6, title=title)
    write_figure(path, figure, overwrite=overwrite)


def calibration_panels(examination: Examination) -> list[CurvePanel | ImagePanel]:
    """Return camera, PSF, background, mean frame with its faulty pixels, and course."""
    calibration = examination.calibration
    mean, raw, variance = examination.transfer_adu.T
    line = calibration.adu_per_photon.value * (mean - calibration.zero_adu.value)
    y, x = np.nonzero(calibration.hot_pixels | calibration.dead_pixels)
    faulty = Curve(x + 0.5, y + 0.5, style="s", colour="red")
    look = (calibration.pixel_size_nm, "viridis", "photons")
    seen = examination.mean_photons
    background = over_the_field(examination.background, seen.shape)
    return [
        CurvePanel(
            f"{said(calibration.adu_per_photon)} counts per photon",
            "mean [counts]",
            "variance of the noise [counts²]",
            (
                Curve(mean, raw, "measured", "o"),
                Curve(mean, variance, "minus leaked light", "o"),
                Curve(mean, line, f"line from {said(calibration.zero_adu)} counts"),
            ),
        ),
        CurvePanel(
            f"PSF sigma {said(calibration.sigma_px)} px",
            "spatial frequency [rad/px]",
            "power of fluctuations [photons²]",
            (
                Curve(examination.frequency, examination.power, "measured", "o"),
                Curve(examination.frequency, examination.model, "fit"),
            ),
            logarithmic="y",
        ),
        ImagePanel(f"background {said(calibration.background_photons)} photons", background, *look),
        ImagePanel(f"mean of the frames, {len(x)} faulty pixels", seen, *look, (faulty,)),
        CurvePanel(
            f"signal {said(calibration.signal_photons)} photons",
            "frame",
            "mean of a frame [photons/px]",
            (Curve(examination.frame_numbers, examination.course_photons),),
        ),
    ]


def over_the_field(tiles: Float64Array, shape: tuple[int, ...]) -> Float64Array:
    """Return the value of its tile for every pixel of the field, (y, x)."""
    rows, columns = (
        np.arange(side) * count // side for side, count in zip(shape, tiles.shape, strict=True)
    )
    return tiles[np.ix_(rows, columns)]


def said(estimate: Estimate) -> str:
    """Write an estimate with its uncertainty, to as many digits as that warrants."""
    value, error = estimate.value, estimate.uncertainty
    if error == 0:
        return f"{value:.4g} (given)"
    if not math.isfinite(error):
        return f"{value:.2g} (not measured)"
    digits = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f}"
