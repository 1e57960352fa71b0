from __future__ import annotations

import numpy as np
import pytest

from deepstorm.errors import InputError
from deepstorm.localization.noise import CameraNoise
from deepstorm.simulation.camera import EmccdCamera
from deepstorm.structures import Calibration, Estimate


def calibration(**known):
    line = EmccdCamera().noise_line()
    nothing = Estimate(0.0, 1.0)
    return Calibration(
        adu_per_photon=Estimate(line[1], 0.1),
        zero_adu=Estimate(line[0], 0.1),
        sigma_px=Estimate(1.1, 0.1),
        background_photons=nothing,
        background_unevenness=nothing,
        signal_photons=nothing,
        density_per_px=nothing,
        drift_px=nothing,
        hot_pixels=np.zeros((4, 4), bool),
        dead_pixels=np.zeros((4, 4), bool),
        frames=10,
        **known,
    )


def test_a_camera_without_read_noise_counts_photons():
    noise = CameraNoise(90.0, 4.0)

    assert noise.to_photons(np.array([[[90.0, 94.0]]])).tolist() == [[[0.0, 1.0]]]
    assert noise.excess_factor == 1
    assert noise.own_light((1, 2)).tolist() == [[0.0, 0.0]]


def test_a_calibration_without_the_gain_counts_effective_photons():
    noise = CameraNoise.from_calibration(calibration())

    zero, slope = EmccdCamera().noise_line()
    assert (noise.zero_adu, noise.adu_per_photon) == (zero, slope)
    assert noise.excess_factor == 1


def test_a_calibration_with_gain_and_offset_tells_the_camera_apart():
    camera = EmccdCamera()
    effective_read = camera.read_noise_e / camera.em_gain / 2
    noise = CameraNoise.from_calibration(
        calibration(
            excess_noise_factor=Estimate(2.0, 0.0),
            read_noise_photons=Estimate(effective_read, 0.0),
        )
    )

    assert noise.zero_adu == pytest.approx(camera.offset_adu)
    assert noise.adu_per_photon == pytest.approx(camera.em_gain / camera.electrons_per_adu)
    assert noise.read_variance == pytest.approx((camera.read_noise_e / camera.em_gain) ** 2)


@pytest.mark.parametrize("kind", ["ideal", "emccd", "scmos"])
def test_effective_photons_vary_as_their_mean(exposed, kind):
    light = np.full((4000, 6, 6), 9.0)
    frames, noise = exposed(kind, light, 5)

    own = noise.own_light((6, 6))
    effective = noise.to_photons(frames) / noise.excess_factor + own

    np.testing.assert_allclose(noise.to_photons(frames).mean(axis=0), 9.0, rtol=0.05)
    # Rounding counts to integers adds 1/12 adu², and a variance of 4000 is known to 3 %.
    np.testing.assert_allclose(
        effective.var(axis=0).mean(), effective.mean(axis=0).mean(), rtol=0.02
    )


def test_the_fourth_cumulant_is_that_of_the_camera(exposed):
    frames, noise = exposed("emccd", np.full((400, 50, 50), 5.0), 1)
    deviation = noise.to_photons(frames) / 2
    deviation -= deviation.mean()
    cumulant = (deviation**4).mean() - 3 * (deviation**2).mean() ** 2

    assert cumulant == pytest.approx(noise.fourth_cumulant * 2.5, rel=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"adu_per_photon": 0.0}, "adu_per_photon"),
        ({"adu_per_photon": float("inf")}, "adu_per_photon must be finite"),
        ({"read_variance": np.array([[1.0, -1.0]])}, "read_variance"),
        ({"read_variance": np.array([[1.0, np.inf]])}, "read_variance must be finite"),
        ({"excess_factor": 0.5}, "excess factor"),
        ({"excess_factor": float("inf")}, "excess factor is inf"),
        ({"zero_adu": float("nan")}, "zero_adu"),
    ],
)
def test_what_no_camera_has_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        CameraNoise(**values)


def test_maps_of_another_size_are_refused():
    with pytest.raises(InputError, match="cut the map"):
        CameraNoise(read_variance=np.ones((5, 6))).check_field((6, 5))
