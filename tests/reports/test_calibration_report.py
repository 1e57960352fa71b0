from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deepstorm
from deepstorm.calibration.assumption import Examination, KnownValues
from deepstorm.calibration.calibrate import examine_frames
from deepstorm.reports.calibration import calibration_panels, over_the_field, said
from deepstorm.reports.panels import CurvePanel, ImagePanel
from deepstorm.structures import Estimate


@pytest.fixture(scope="module")
def examination() -> Examination:
    settings = deepstorm.SimulationSettings(frames=20, height_px=32, width_px=40)
    simulated = deepstorm.simulate(settings, seed=1).frames
    assert simulated is not None
    frames = simulated.copy()
    frames[:, 5, 7] = 60_000
    return examine_frames(frames, known=KnownValues(pixel_size_nm=80.0))


def test_panels_show_what_was_found(examination: Examination) -> None:
    gain, psf, background, mean, signal = calibration_panels(examination)
    calibration = examination.calibration
    for panel, estimate in (
        (gain, calibration.adu_per_photon),
        (psf, calibration.sigma_px),
        (background, calibration.background_photons),
        (signal, calibration.signal_photons),
    ):
        assert said(estimate) in panel.title
    for curves in (gain, psf, signal):
        assert isinstance(curves, CurvePanel)
    for image in (background, mean):
        assert isinstance(image, ImagePanel)
        assert (image.image.shape, image.pixel_size_nm, image.unit) == ((32, 40), 80.0, "photons")


def test_faulty_pixels_are_marked_in_their_middles(examination: Examination) -> None:
    mean = calibration_panels(examination)[3]
    assert isinstance(mean, ImagePanel)
    assert "1 faulty" in mean.title
    (marks,) = mean.curves
    assert (list(marks.x), list(marks.y)) == ([7.5], [5.5])


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 30), st.integers(0, 30))
def test_tiles_cover_the_field_in_equal_parts(
    rows: int, columns: int, more_rows: int, more_columns: int
) -> None:
    tiles = np.arange(rows * columns, dtype=np.float64).reshape(rows, columns)
    shape = (rows + more_rows, columns + more_columns)
    shown = over_the_field(tiles, shape)
    assert shown.shape == shape
    for y, x in np.ndindex(shape):
        assert shown[y, x] == tiles[y * rows // shape[0], x * columns // shape[1]]


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (1.2345, 0.012, "1.234 ± 0.012"),
        (123.4, 17.0, "123 ± 17"),
        (4.0, 0.0, "4 (given)"),
        (0.0, float("inf"), "0 (not measured)"),
    ],
)
def test_estimates_are_written_to_their_last_digit(
    value: float, uncertainty: float, text: str
) -> None:
    assert said(Estimate(value, uncertainty)) == text
