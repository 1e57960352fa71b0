from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from deepstorm.config import validated
from deepstorm.errors import InputError
from deepstorm.simulation.measured import MeasuredPsf
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.pupil import PupilPsf
from deepstorm.simulation.sampled_psf import SampledPsf
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations


def gaussian(sigma: float, side: int = 60, shift: float = 0.0) -> np.ndarray:
    x = np.arange(side) + 0.5 - side / 2
    return np.exp(-((x[:, None]) ** 2 + (x - shift) ** 2) / (2 * sigma**2))


STACK = np.stack([gaussian(sigma) / sigma**2 for sigma in (6, 5, 4, 5, 6)])


def test_a_sampled_gaussian_is_like_the_analytic_one() -> None:
    emitters = Localizations(
        np.zeros(3, np.int64),
        np.array([1512.0, 830.0, 40.0]),
        np.array([1177.0, 2000.0, 1501.0]),
        photons=np.array([1000.0, 500.0, 800.0]),
        sigma_nm=np.full(3, 120.0),
    )
    # A fine pixel has the mean of the density, which widens it by a twelfth.
    sampled = SampledPsf(gaussian(np.sqrt(4.8**2 + 1 / 12), 100)[None], 25.0)
    assert sampled.sigma_nm == pytest.approx(120, rel=0.01)
    found = sampled.image(emitters, 100.0, (1, 24, 28))
    expected = GaussianPsf(sigma_nm=120.0).image(emitters, 100.0, (1, 24, 28))
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())


def test_an_emitter_out_of_focus_is_imaged_by_the_planes_around_it() -> None:
    psf = SampledPsf(STACK, 25.0, 50.0)
    assert psf.focus == 2
    x = np.full(3, 1500.0)
    z_nm = np.array([50.0, 75.0, 1e6])
    found = psf.image(
        Localizations(np.arange(3), x, x, z_nm=z_nm, photons=np.ones(3)), 100.0, (3, 30, 30)
    )
    planes = [
        SampledPsf(plane[None], 25.0).image(
            Localizations(np.zeros(1, np.int64), x[:1], x[:1], photons=np.ones(1)),
            100.0,
            (1, 30, 30),
        )[0]
        for plane in STACK
    ]
    np.testing.assert_allclose(found[0], planes[3], atol=1e-9)
    np.testing.assert_allclose(found[1], (planes[3] + planes[4]) / 2, atol=1e-9)
    np.testing.assert_allclose(found[2], planes[4], atol=1e-9)


def test_centring_moves_the_core_to_the_middle() -> None:
    shifted = SampledPsf(gaussian(5, shift=3.3)[None], 25.0).centred()
    x = np.arange(60) + 0.5 - 30
    assert shifted.planes[0].sum(axis=0) @ x == pytest.approx(0, abs=0.01)


def test_the_plane_at_zero_can_be_given() -> None:
    sharpest = SampledPsf(STACK, 25.0, 50.0)
    lower = SampledPsf(STACK, 25.0, 50.0, zero_plane=1).centred()
    middle = np.array([1500.0])

    def seen(psf: SampledPsf, z_nm: float) -> np.ndarray:
        one = Localizations(
            np.zeros(1, np.int64), middle, middle, z_nm=np.array([z_nm]), photons=np.ones(1)
        )
        return psf.image(one, 100.0, (1, 30, 30))

    np.testing.assert_allclose(seen(lower, 50.0), seen(sharpest, 0.0), atol=1e-4)
    assert lower.sigma_nm == pytest.approx(5 * 25, rel=0.01)
    with pytest.raises(InputError, match=r"plane 5 .* 0 to 4"):
        SampledPsf(STACK, 25.0, 50.0, zero_plane=5)


@pytest.mark.parametrize(
    ("planes", "step", "message"),
    [
        (np.ones((2, 8, 8)), None, "2 planes.*distance"),
        (np.zeros((1, 8, 8)), None, "holds no light"),
        (np.full((1, 8, 8), np.nan), None, "NaN"),
        (np.ones((8, 8)), None, "expected"),
    ],
)
def test_what_is_no_psf_is_refused(planes: np.ndarray, step: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SampledPsf(planes, 25.0, step)


def test_a_movie_through_a_measured_psf() -> None:
    psf = MeasuredPsf(path="psf.tif", z_spread_nm=60).with_image(SampledPsf(STACK, 25.0, 50.0))
    settings = SimulationSettings(frames=3, height_px=20, width_px=24, psf=psf)
    movie = simulate_movie(settings, np.random.default_rng(0))
    assert next(movie.frames()).shape == (3, 20, 24)
    assert movie.truth.z_nm is not None
    assert movie.truth.z_nm.std() > 20
    assert settings.model_dump()["psf"] == {
        "kind": "measured",
        "path": "psf.tif",
        "z_spread_nm": 60.0,
    }


def test_a_psf_that_was_not_read_says_so() -> None:
    settings = SimulationSettings(psf=MeasuredPsf(path="psf.tif"))
    with pytest.raises(InputError, match="has not been read"):
        simulate_movie(settings, np.random.default_rng(0))


def test_a_spread_along_z_needs_planes() -> None:
    with pytest.raises(InputError, match="single plane"):
        MeasuredPsf(path="p.tif", z_spread_nm=50).with_image(SampledPsf(STACK[:1], 25.0))


def test_an_image_of_too_many_pixels_is_refused() -> None:
    psf = MeasuredPsf(path="p.tif").with_image(SampledPsf(STACK, 5000.0, 50.0))
    with pytest.raises(ValidationError, match="camera pixels from its centre"):
        SimulationSettings(psf=psf)


@pytest.mark.parametrize(
    ("psf", "message"),
    [
        ({"kind": "pupil", "coma": 1}, "'psf.coma': Extra"),
        ({"kind": "vectorial"}, "'psf': the kind 'vectorial' of PSF is not known"),
        ({"sigma_nm": -1}, "'psf.sigma_nm': "),
        ({"kind": "measured"}, "'psf.path': Field required"),
    ],
)
def test_mistakes_in_settings_are_named(psf: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        validated(SimulationSettings, {"psf": psf}, "the test")


def test_kinds_survive_a_round_trip() -> None:
    for psf in (GaussianPsf(), PupilPsf(coma_x_waves=0.05), MeasuredPsf(path="p.tif")):
        settings = SimulationSettings(psf=psf)
        assert SimulationSettings.model_validate(settings.model_dump()) == settings
