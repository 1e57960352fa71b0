from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.localization.spot_model import (
    elongation_slopes,
    expected_light,
    light_and_slopes,
)
from deepstorm.simulation.psf import render_emitters

WIDTH = 9
STEP = 1e-5

parameter_rows = st.tuples(
    st.floats(2.0, 7.0),
    st.floats(2.0, 7.0),
    st.floats(10.0, 1e4),
    st.floats(0.0, 100.0),
    st.floats(0.6, 3.0),
)


@settings(max_examples=40, deadline=None)
@given(row=parameter_rows)
def test_slopes_are_those_of_the_light(row):
    parameters = np.array([row])
    light, slopes = light_and_slopes(parameters, WIDTH)

    np.testing.assert_allclose(light, expected_light(parameters, WIDTH), rtol=1e-12)
    for index in range(5):
        step = STEP * np.eye(5)[index] * max(row[index], 1.0)
        higher, lower = (expected_light(parameters + sign * step, WIDTH) for sign in (1, -1))
        numeric = (higher - lower) / (2 * step[index])
        np.testing.assert_allclose(slopes[:, index], numeric, atol=1e-5 * row[2] * STEP**0.2)


def test_the_light_is_that_of_the_simulator():
    parameters = np.array([[4.3, 5.1, 800.0, 3.0, 1.2], [3.8, 4.6, 90.0, 0.0, 0.9]])
    rendered = render_emitters(
        np.arange(2),
        parameters[:, 0],
        parameters[:, 1],
        parameters[:, 2],
        parameters[:, 4],
        (2, WIDTH, WIDTH),
    )

    light = expected_light(parameters, WIDTH).reshape(2, WIDTH, WIDTH)

    np.testing.assert_allclose(light, rendered + parameters[:, 3, None, None], atol=1e-3)


def test_elongation_slopes_are_those_of_a_stretched_spot():
    row = np.array([[10.4, 10.7, 1000.0, 0.0, 1.5]])
    along, across = elongation_slopes(row, 21).reshape(2, 21, 21)
    y, x = np.mgrid[:21, :21] + 0.5

    for slope, weight in ((along, (x - 10.4) ** 2 - (y - 10.7) ** 2), (across, None)):
        moment = weight if weight is not None else (x - 10.4) * (y - 10.7)
        # Variance moves by the slope's own unit: +1 along x and -1 along y, or 1 between them.
        expected = 2 * 1000 if weight is not None else 1000
        np.testing.assert_allclose((slope * moment).sum(), expected, rtol=1e-3)
        np.testing.assert_allclose(slope.sum(), 0, atol=1e-3)
