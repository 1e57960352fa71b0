from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import j1

from deepstorm.simulation.pupil import PupilPsf
from deepstorm.simulation.sampled_psf import SampledPsf
from deepstorm.structures import FloatArray, Localizations

FINE_NM = 10.0
SIDE = 240


def fine_image(psf: PupilPsf, z_nm: float = 0.0, fine_nm: float = FINE_NM) -> FloatArray:
    """The light of an emitter in the middle of fine pixels."""
    middle = np.array([SIDE / 2 * fine_nm])
    one = Localizations(
        np.zeros(1, np.int64), middle, middle, z_nm=np.array([z_nm]), photons=np.ones(1)
    )
    return np.asarray(psf.image(one, fine_nm, (1, SIDE, SIDE))[0])


@pytest.mark.parametrize(("aperture", "wavelength_nm"), [(1.45, 670.0), (1.2, 580.0)])
def test_without_aberrations_it_is_the_airy_pattern(aperture: float, wavelength_nm: float) -> None:
    psf = PupilPsf(numerical_aperture=aperture, wavelength_nm=wavelength_nm)
    image = fine_image(psf)
    r_nm = (np.arange(60) + 0.5) * FINE_NM
    v = 2 * np.pi * aperture / wavelength_nm * np.hypot(r_nm, FINE_NM / 2)
    airy = (2 * j1(v) / v) ** 2
    row = image[SIDE // 2, SIDE // 2 : SIDE // 2 + 60]
    np.testing.assert_allclose(row / row[0], airy / airy[0], atol=0.01)
    first_zero_nm = r_nm[np.argmin(row[: int(0.8 * wavelength_nm / aperture / FINE_NM)])]
    assert first_zero_nm == pytest.approx(0.61 * wavelength_nm / aperture, abs=FINE_NM)
    # B. Zhang et al., Appl. Opt. 46, 1819 (2007): least squares give 0.21 λ/NA.
    assert psf.sigma_nm == pytest.approx(0.21 * wavelength_nm / aperture, rel=0.03)


def test_even_aberrations_leave_the_image_as_it_is_when_turned_around() -> None:
    image = fine_image(PupilPsf(astigmatism_waves=0.08, spherical_waves=0.05, defocus_nm=150))
    np.testing.assert_allclose(image, image[::-1, ::-1], atol=2e-3 * image.max())


def test_coma_draws_a_tail_along_its_axis_and_its_sign_turns_it() -> None:
    along, against = (
        fine_image(PupilPsf(coma_x_waves=0.07)),
        fine_image(PupilPsf(coma_x_waves=-0.07)),
    )
    np.testing.assert_allclose(along, against[:, ::-1], atol=2e-3 * along.max())
    np.testing.assert_allclose(along, along[::-1], atol=2e-3 * along.max())
    np.testing.assert_allclose(
        along.T, fine_image(PupilPsf(coma_y_waves=0.07)), atol=2e-3 * along.max()
    )
    offset = np.arange(SIDE) + 0.5 - SIDE / 2
    assert along.sum(axis=0) @ offset * FINE_NM > 5.0


def test_astigmatism_turns_by_a_right_angle_across_the_focus() -> None:
    psf = PupilPsf(astigmatism_waves=0.1, z_spread_nm=120)
    below, above = fine_image(psf, -200.0, 40.0), fine_image(psf, 200.0, 40.0)
    np.testing.assert_allclose(below, above.T, atol=0.01 * above.max())
    offset = np.arange(SIDE) + 0.5 - SIDE / 2
    near = np.exp(-(offset**2) / (2 * 5**2))
    core = above * near[:, None] * near
    widths = core.sum(axis=0) @ offset**2, core.sum(axis=1) @ offset**2
    assert max(widths) > 1.2 * min(widths)


def test_aberrations_and_defocus_lower_the_peak_as_marechal_says() -> None:
    plain = fine_image(PupilPsf()).max()
    for name in ("astigmatism_waves", "oblique_astigmatism_waves", "spherical_waves"):
        strehl = fine_image(PupilPsf.model_validate({name: 0.05})).max() / plain
        assert strehl == pytest.approx(np.exp(-((2 * np.pi * 0.05) ** 2)), rel=0.03)


def test_blur_and_halo_widen() -> None:
    plain, blurred = PupilPsf(), PupilPsf(blur_nm=60)
    assert blurred.sigma_nm == pytest.approx(np.hypot(plain.sigma_nm, 60), rel=0.03)
    assert fine_image(PupilPsf(halo_share=0.3)).max() == pytest.approx(
        0.7 * fine_image(plain).max(), rel=0.1
    )


def test_emitters_spread_along_z() -> None:
    psf = PupilPsf(z_spread_nm=80)
    z_nm = psf.sample(4000, np.random.default_rng(0))["z_nm"]
    assert z_nm.std() == pytest.approx(80, rel=0.05)
    assert isinstance(psf.sampled(), SampledPsf)
    assert psf.sampled() is PupilPsf(z_spread_nm=80).sampled()


@pytest.mark.parametrize(
    "values",
    [
        {"defocus_nm": 300.0},
        {"defocus_nm": -300.0, "spherical_waves": 0.05},
        {"astigmatism_waves": 0.2},
    ],
)
def test_a_spread_along_z_is_around_the_nominal_defocus(values: dict[str, float]) -> None:
    flat, spread = (PupilPsf.model_validate(values | {"z_spread_nm": z}) for z in (0.0, 100.0))
    expected, found = (fine_image(psf, 0.0, 20.0) for psf in (flat, spread))
    # The wider image holds a little more of the light that is far out.
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=0.01)
    assert spread.sigma_nm == pytest.approx(flat.sigma_nm, rel=0.01)


@pytest.mark.parametrize(
    "values",
    [
        {"numerical_aperture": 1.55},
        {"wavelength_nm": 0},
        {"coma_waves": 0.1},
        {"coma_x_waves": -0.6},
        {"defocus_nm": 3000},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PupilPsf.model_validate(values)
