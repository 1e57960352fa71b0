from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.calibrate import calibrate
from deepstorm.api.evened_movie import EvenedMovie
from deepstorm.api.known_values import known_values
from deepstorm.api.reconstruct import reconstruct
from deepstorm.api.simulate import simulate
from deepstorm.arrays import AnyArray
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.camera_maps import CameraMaps
from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.selection import Region
from deepstorm.simulation.camera import ScmosCamera
from deepstorm.simulation.simulator import SimulationSettings

SIDE = 48


def uneven_sensor(rng: np.random.Generator) -> tuple[AnyArray, AnyArray, AnyArray, AnyArray]:
    """Return an even movie, the same by a sensor of uneven pixels, and that sensor's maps."""
    settings = SimulationSettings(
        frames=40, height_px=SIDE, width_px=SIDE, density_per_um2=1, camera=ScmosCamera()
    )
    even = simulate(settings, seed=int(rng.integers(1000))).frames
    assert even is not None
    offset = 100 + rng.normal(0, 12, (SIDE, SIDE))
    gain = 2.2 * np.exp(rng.normal(0, 0.08, (SIDE, SIDE)))
    recorded = (even - 100.0) * gain / 2.2 + offset
    return even, np.clip(np.round(recorded), 0, 65535).astype(np.uint16), offset, gain


@pytest.mark.parametrize("seed", range(3))
def test_maps_make_a_sensor_even(seed: int) -> None:
    even, uneven, offset, gain = uneven_sensor(np.random.default_rng(seed))
    corrected = CameraMaps(offset, gain).even(uneven)
    level = np.median(offset) - 100
    np.testing.assert_allclose(corrected, even + level, atol=4)
    assert np.abs(uneven - even.astype(float)).max() > 20


def test_a_movie_with_maps_counts_and_calibrates_like_an_even_one(tmp_path: Path) -> None:
    even, uneven, offset, gain = uneven_sensor(np.random.default_rng(5))
    for name, image in (("offset", offset), ("gain", gain)):
        np.save(tmp_path / f"{name}.npy", image)
    known = known_values(offset_map=tmp_path / "offset.npy", gain_map=tmp_path / "gain.npy")
    found = [
        reconstruct(uneven, pixel_size_nm=100, known=known).record["expected_emitters"],
        reconstruct(uneven, pixel_size_nm=100).record["expected_emitters"],
    ]
    expected = reconstruct(even, pixel_size_nm=100).record["expected_emitters"]
    assert found[0] == pytest.approx(expected, rel=0.03)
    assert abs(found[1] - expected) > abs(found[0] - expected)
    gains = [calibrate(f, known=k).adu_per_photon.value for f, k in ((uneven, known), (even, None))]
    assert gains[0] == pytest.approx(gains[1], rel=0.05)


def test_noisy_pixels_are_filled_in() -> None:
    variance = np.full((9, 9), 4.0)
    variance[4, 5] = 400
    frames = np.full((2, 9, 9), 100, np.uint16)
    frames[:, 4, 5] = 900
    assert (CameraMaps(variance_adu2=variance).even(frames) == 100).all()


def test_a_region_takes_its_part_of_the_maps() -> None:
    _, uneven, offset, gain = uneven_sensor(np.random.default_rng(6))
    maps = CameraMaps(offset, gain)
    region = Region(8, 4, 32, 40)
    whole = EvenedMovie(open_movie(uneven), maps)
    there = pickle.loads(pickle.dumps(whole))  # noqa: S301
    np.testing.assert_array_equal(there.read(3, 5), whole.read(3, 5))
    result = reconstruct(uneven, pixel_size_nm=100, known=KnownValues(maps=maps), region=region)
    mean = whole.read(0, 40)[:, 4:44, 8:40].mean(axis=0)
    np.testing.assert_allclose(result.widefield, mean, rtol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gain": np.zeros((4, 4))}, "gains above 0"),
        ({"variance_adu2": np.full((4, 4), -1.0)}, "at least 0"),
        ({"offset_adu": np.full((4, 4), np.nan)}, "finite"),
        ({"offset_adu": np.zeros((4, 4)), "gain": np.ones((4, 5))}, "different sizes"),
    ],
)
def test_maps_that_cannot_be_used(changed: dict[str, AnyArray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CameraMaps(**changed)


def test_maps_of_another_sensor() -> None:
    maps = CameraMaps(gain=np.ones((4, 5)))
    with pytest.raises(InputError, match=r"5 × 4 pixels.* has 8 × 8"):
        reconstruct(np.ones((2, 8, 8)), pixel_size_nm=100, known=KnownValues(maps=maps))


def test_no_maps_are_none() -> None:
    assert known_values().maps is None
