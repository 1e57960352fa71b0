from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.outputs import Outputs
from deepstorm.api.reconstruct import reconstruct
from deepstorm.api.simulate import simulate
from deepstorm.errors import InputError
from deepstorm.io.movies.opening import open_movie
from deepstorm.reconstruction.windows import Windows
from deepstorm.simulation.simulator import SimulationSettings

DENSE = SimulationSettings(frames=8, height_px=16, width_px=24, density_per_um2=2.0)


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    simulate(DENSE, seed=1, movie=path)
    return path


def test_a_time_lapse_is_written_and_returned_alike(movie: Path, tmp_path: Path) -> None:
    outputs = Outputs.beside(tmp_path / "image.tif", time_lapse=True)
    result = reconstruct(movie, outputs=outputs, windows=Windows(4, 2))
    assert outputs.time_lapse == tmp_path / "image_windows.tif"
    assert result.time_lapse is None
    with open_movie(outputs.time_lapse) as written:
        assert written.shape == (3, 128, 192)
        assert written.pixel_size_nm == pytest.approx(12.5)
        images = written.read(0, 3)
    in_memory = reconstruct(movie, windows=Windows(4, 2)).time_lapse
    assert in_memory is not None
    np.testing.assert_allclose(in_memory, images, rtol=1e-5, atol=1e-6)
    disjoint = images[0].sum(dtype=float) + images[2].sum(dtype=float)
    assert disjoint == pytest.approx(result.image.sum(dtype=float), rel=1e-4)
    record = json.loads(outputs.record.read_text())
    assert record["settings"]["windows"] == {"frames": 4, "step": 2}


def test_windows_and_their_file_go_together(movie: Path, tmp_path: Path) -> None:
    without = Outputs.beside(tmp_path / "image.tif")
    with pytest.raises(InputError, match="give both"):
        reconstruct(movie, outputs=without, windows=Windows(4, 2))
    with pytest.raises(InputError, match="give both"):
        reconstruct(movie, outputs=replace(without, time_lapse=tmp_path / "lapse.tif"))
    with pytest.raises(InputError, match=r"end its name in \.tif"):
        reconstruct(
            movie,
            outputs=replace(without, time_lapse=tmp_path / "lapse.png"),
            windows=Windows(4, 2),
        )
    assert list(tmp_path.iterdir()) == []


def test_a_window_longer_than_the_movie_leaves_nothing_behind(movie: Path, tmp_path: Path) -> None:
    outputs = Outputs.beside(tmp_path / "image.tif", time_lapse=True)
    with pytest.raises(InputError, match="the movie has 8 frames, fewer than a window of 9"):
        reconstruct(movie, outputs=outputs, windows=Windows(9, 1))
    assert list(tmp_path.iterdir()) == []


def test_no_time_lapse_without_windows(movie: Path) -> None:
    result = reconstruct(movie, frames=slice(0, 2))
    assert result.time_lapse is None
    assert result.record["settings"]["windows"] is None
