from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import deepstorm
from deepstorm.api.measured_psf import measure_psf, with_psf_read
from deepstorm.errors import InputError
from deepstorm.simulation.measured import MeasuredPsf
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import TableScene
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations

PLACES = tuple(
    (1200.0 + 2300 * i + 37 * j, 1300.0 + 2300 * j + 51 * i) for i in range(4) for j in range(4)
)
SETTINGS = SimulationSettings(
    frames=4,
    height_px=96,
    width_px=96,
    density_per_um2=0.15,
    scene=TableScene(positions_nm=PLACES, scatter_nm=30),
    psf=GaussianPsf(sigma_nm=120, relative_spread=0),
    brightness={"mean_photons": 4000},
)


@pytest.fixture(scope="module")
def sparse() -> tuple[np.ndarray, Localizations]:
    simulation = deepstorm.simulate(SETTINGS, seed=3)
    assert simulation.frames is not None
    return simulation.frames, simulation.truth


def test_a_measured_psf_goes_into_a_simulation(
    sparse: tuple[np.ndarray, Localizations], tmp_path: Path
) -> None:
    frames, truth = sparse
    path = tmp_path / "psf.tif"
    optics = measure_psf(frames, path, positions=truth, pixel_size_nm=100)
    assert optics.psf.sigma_nm == pytest.approx(120, rel=0.05)
    assert optics.table()["emitters"] == optics.measurement.emitters >= 10
    settings = with_psf_read(SimulationSettings(frames=2, psf=MeasuredPsf(path=str(path))))
    assert settings.psf.sigma_nm == pytest.approx(optics.psf.sigma_nm, rel=0.01)
    movie = simulate_movie(settings, np.random.default_rng(0))
    assert next(movie.frames()).shape == (2, 64, 64)
    assert with_psf_read(settings) is settings
    with pytest.raises(InputError, match="exists"):
        measure_psf(frames, path, positions=truth, pixel_size_nm=100)


def test_a_part_of_the_movie(sparse: tuple[np.ndarray, Localizations]) -> None:
    frames, truth = sparse
    part = deepstorm.Region(5, 3, 90, 92)
    some = measure_psf(
        frames, positions=truth, pixel_size_nm=100, frames=slice(1, 4), region=part, radius_px=6
    )
    assert some.measurement.residual < 0.05
    assert some.measurement.emitters >= 10


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"pixel_size_nm": None}, "how large its pixels are"),
        ({"pixel_size_nm": 0.5}, "not credible"),
        ({"radius_px": 2}, "radius"),
        ({"z_step_nm": -1.0}, "apart"),
    ],
)
def test_mistakes_are_told(
    sparse: tuple[np.ndarray, Localizations], mistake: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        measure_psf(sparse[0], **({"pixel_size_nm": 100} | mistake))  # type: ignore[arg-type]


def test_a_psf_of_far_too_large_pixels_is_refused(tmp_path: Path) -> None:
    from deepstorm.io.psf_images import write_psf

    write_psf(tmp_path / "psf.tif", np.ones((1, 60, 60)), 9_000.0)
    settings = SimulationSettings(psf=MeasuredPsf(path=str(tmp_path / "psf.tif")))
    with pytest.raises(InputError, match="camera pixels from its centre"):
        with_psf_read(settings)


def test_neither_movie_nor_positions_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    path.write_text("raw")
    for movie, positions in ((path, None), (np.zeros((2, 8, 8)), path)):
        with pytest.raises(InputError, match="would replace the input"):
            measure_psf(movie, path, positions=positions, overwrite=True)


def test_frames_may_count_from_the_end(sparse: tuple[np.ndarray, Localizations]) -> None:
    frames, truth = sparse
    last, same = (
        measure_psf(frames, positions=truth, pixel_size_nm=100, frames=chosen)
        for chosen in (slice(-3, None), slice(1, 4))
    )
    assert last.table() == same.table()


def test_a_stack_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm.api.measured_psf.MOST_VALUES", 4 * 32 * 32)
    stack = np.ones((5, 32, 32))
    with pytest.raises(InputError, match=r"5 planes of 32 × 32 pixels, too many .*`region`"):
        measure_psf(stack, pixel_size_nm=100, z_step_nm=100)
