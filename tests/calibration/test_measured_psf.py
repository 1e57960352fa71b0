from __future__ import annotations

import numpy as np
import pytest

from deepstorm.calibration.measured_psf import (
    cell_size_nm,
    find_spots,
    measure_beads,
    measure_sparse,
)
from deepstorm.calibration.spot_density import SpotImages, SpotModel, in_cells
from deepstorm.errors import InputError
from deepstorm.simulation.camera import EmccdCamera
from deepstorm.simulation.pupil import PupilPsf
from deepstorm.simulation.sampled_psf import SampledPsf
from deepstorm.structures import FloatArray, Localizations

PIXEL_NM = 100.0
SIDE = 120
PSF = PupilPsf(astigmatism_waves=0.06, coma_x_waves=0.04, blur_nm=50.0)
Scene = tuple[FloatArray, Localizations]


def sparse_scene(frames: int, photons: float, seed: int = 0) -> Scene:
    """Emitters on a loose grid through an EMCCD."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2) * 23.0 + 14
    places = np.concatenate([grid + rng.uniform(-2, 2, grid.shape) for _ in range(frames)])
    emitters = Localizations(
        np.repeat(np.arange(frames), 25),
        places[:, 0] * PIXEL_NM,
        places[:, 1] * PIXEL_NM,
        photons=rng.gamma(10, photons / 10, len(places)),
    )
    light = PSF.image(emitters, PIXEL_NM, (frames, SIDE, SIDE)) + 20
    return EmccdCamera().expose(light, rng), emitters


def spots_of(image: SampledPsf) -> FloatArray:
    """Emitters at a few positions between pixels."""
    x = np.array([15.5, 15.1, 15.8, 15.3]) * PIXEL_NM
    y = np.array([15.5, 15.3, 15.0, 15.9]) * PIXEL_NM
    four = Localizations(np.arange(4), x, y, photons=np.ones(4))
    # Light far from the emitter counts as background when a PSF is measured.
    return image.image(four, PIXEL_NM, (4, 31, 31))[:, 9:22, 9:22]


def error_of_peak(found: SampledPsf, true: SampledPsf) -> float:
    """Largest difference over the peak, brightness and background fitted."""
    expected, seen = spots_of(true), spots_of(found)
    design = np.stack([seen.ravel(), np.ones(seen.size)], axis=1)
    fitted = design @ np.linalg.lstsq(design, expected.ravel(), rcond=None)[0]
    return float(np.abs(fitted - expected.ravel()).max() / expected.max())


def test_a_known_psf_is_found_again_in_sparse_frames() -> None:
    frames, emitters = sparse_scene(8, 3000)
    rng = np.random.default_rng(1)
    x, y = (c / PIXEL_NM + rng.normal(0, 0.15, len(c)) for c in (emitters.x_nm, emitters.y_nm))
    found = measure_sparse(frames, emitters.frame, x, y)
    assert found.emitters + found.left_out == 200
    assert found.emitters > 150
    image = SampledPsf(found.image, cell_size_nm(PIXEL_NM)).centred()
    assert error_of_peak(image, PSF.sampled()) < 0.03
    assert image.sigma_nm == pytest.approx(PSF.sigma_nm, rel=0.04)
    assert found.signal_to_noise > 40
    assert found.residual < 0.02


def test_spots_are_found_without_a_table() -> None:
    frames, emitters = sparse_scene(2, 2000)
    frame, x, y = find_spots(frames)
    distance = np.hypot(
        x[:, None] - emitters.x_nm / PIXEL_NM, y[:, None] - emitters.y_nm / PIXEL_NM
    )
    distance[frame[:, None] != emitters.frame] = np.inf
    assert len(frame) == len(emitters)
    assert distance.min(axis=1).max() < 0.7
    assert measure_sparse(frames, frame, x, y).emitters > 40


def test_beads_at_several_focuses() -> None:
    rng = np.random.default_rng(2)
    psf = PupilPsf(astigmatism_waves=0.1, blur_nm=50.0, z_spread_nm=150)
    z_nm = np.array([-200.0, 0.0, 200.0])
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 25.0 + 20
    place = grid + rng.uniform(-2, 2, grid.shape)
    emitters = Localizations(
        np.repeat(np.arange(3), 16),
        np.tile(place[:, 0], 3) * PIXEL_NM,
        np.tile(place[:, 1], 3) * PIXEL_NM,
        z_nm=np.repeat(z_nm, 16),
        photons=np.full(48, 20_000.0),
    )
    light = psf.image(emitters, PIXEL_NM, (3, SIDE, SIDE)) + 10
    found = measure_beads(rng.poisson(light), place[:, 0], place[:, 1])
    image = SampledPsf(found.image, cell_size_nm(PIXEL_NM), 200.0)
    assert image.focus == 1
    assert found.emitters == 16
    below, _, above = image.planes
    offset = np.arange(len(below)) + 0.5 - len(below) / 2
    near = np.abs(offset) < 14
    widths = [
        (plane.sum(axis=0)[near] @ offset[near] ** 2)
        - (plane.sum(axis=1)[near] @ offset[near] ** 2)
        for plane in (below, above)
    ]
    # Astigmatism: long along one axis below the focus, along the other above.
    assert widths[0] * widths[1] < 0


def test_too_few_emitters_are_refused() -> None:
    frames, emitters = sparse_scene(1, 2000)
    few = emitters.select(slice(0, 9))
    with pytest.raises(InputError, match=r"9 of 9 emitters are isolated.*at least 10"):
        measure_sparse(frames, few.frame, few.x_nm / PIXEL_NM, few.y_nm / PIXEL_NM)
    with pytest.raises(InputError, match="0 of 2 beads"):
        measure_beads(frames, np.array([50.0, 51.0]), np.array([50.0, 50.0]))


def test_two_emitters_in_one_spot_are_left_out() -> None:
    frames, emitters = sparse_scene(3, 3000)
    x, y = emitters.x_nm / PIXEL_NM, emitters.y_nm / PIXEL_NM
    second = Localizations(
        emitters.frame[:4], emitters.x_nm[:4] + 250, emitters.y_nm[:4], photons=np.full(4, 3000.0)
    )
    # The offset of the camera stays what it was.
    frames = frames + PSF.image(second, PIXEL_NM, frames.shape) * 300 / 145
    found = measure_sparse(frames, emitters.frame, x, y)
    assert 4 <= found.left_out <= 12


@pytest.mark.parametrize("beside_px", [(10.0, 0.0), (-8.0, 8.0), (2.0, -11.5)])
def test_emitters_with_light_of_others_in_their_window_are_left_out(
    beside_px: tuple[float, float],
) -> None:
    rng = np.random.default_rng(3)
    lone = np.array([20.0, 20.0]) + rng.uniform(-1, 1, (12, 2))
    first = np.array([60.0, 60.0]) + rng.uniform(-1, 1, (12, 2))
    x, y = np.concatenate([lone, first, first + beside_px]).T
    frame = np.tile(np.arange(12), 3)
    emitters = Localizations(frame, x * PIXEL_NM, y * PIXEL_NM, photons=np.full(36, 3000.0))
    frames = EmccdCamera().expose(PSF.image(emitters, PIXEL_NM, (12, 80, 80)) + 20, rng)
    found = measure_sparse(frames, frame, x, y)
    assert found.left_out >= 24
    np.testing.assert_array_equal(found.image, measure_sparse(frames, frame[:12], *lone.T).image)


def test_the_model_is_integrated_as_a_measured_psf_is() -> None:
    model = SpotModel(7)
    density = np.exp(-(model.distance**2) / (2 * 1.2**2))
    density /= density.sum()
    x, y = np.array([0.3, 0.77]), np.array([0.6, 0.1])
    side = 2 * model.reach_px + 1
    found = model.light(density, SpotImages(np.zeros((2, side, side)), x, y))
    middle = np.array([x, y]) + model.reach_px
    emitters = Localizations(np.arange(2), *(middle * PIXEL_NM), photons=np.ones(2))
    image = SampledPsf(in_cells(density)[None], cell_size_nm(PIXEL_NM))
    expected = image.image(emitters, PIXEL_NM, (2, side, side))
    np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())
