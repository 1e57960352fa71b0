from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.simulate import simulate, simulation_settings
from deepstorm.errors import InputError
from deepstorm.io.images import write_image
from deepstorm.io.movies.opening import open_movie
from deepstorm.io.tables.localizations import read_localizations, write_localizations
from deepstorm.simulation.image_scene import ImageScene
from deepstorm.simulation.scenes import TableScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations

SMALL = SimulationSettings(frames=70, height_px=16, width_px=24, density_per_um2=2.0)


def test_files_hold_what_memory_holds(tmp_path: Path) -> None:
    movie, truth = tmp_path / "movie.tif", tmp_path / "truth.csv"
    done: list[int] = []
    written = simulate(SMALL, seed=5, movie=movie, truth=truth, on_progress=done.append)
    kept = simulate(SMALL, seed=5)
    assert written.frames is None
    assert kept.frames is not None
    with open_movie(movie) as opened:
        assert opened.pixel_size_nm == pytest.approx(100)
        np.testing.assert_array_equal(opened.read(0, 70), kept.frames)
    table = read_localizations(truth)
    np.testing.assert_array_equal(table.frame, kept.truth.frame)
    np.testing.assert_allclose(table.x_nm, kept.truth.x_nm, atol=0.01)
    assert done[-1] == 70


def test_the_seed_decides() -> None:
    first, same, other = (simulate(SMALL, seed=seed).frames for seed in (1, 1, 2))
    assert first is not None
    assert other is not None
    np.testing.assert_array_equal(first, same)
    assert (first != other).mean() > 0.5


def test_a_table_of_positions_becomes_the_scene(tmp_path: Path) -> None:
    table = tmp_path / "places.csv"
    places = Localizations(np.zeros(2, int), np.array([500.0, 900.0]), np.array([300.0, 800.0]))
    write_localizations(table, places)
    settings = simulation_settings(positions=table, frames=3, density_per_um2=1.5)
    assert isinstance(settings.scene, TableScene)
    assert settings.scene.positions_nm == ((500.0, 300.0), (900.0, 800.0))
    assert (settings.frames, settings.density_per_um2) == (3, 1.5)


def test_settings_come_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('frames = 4\n[camera]\nkind = "scmos"\n[scene]\nkind = "clusters"\n')
    settings = simulation_settings(path)
    assert (settings.frames, settings.camera.kind, settings.scene.kind) == (4, "scmos", "clusters")


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("framez = 4\n")
    with pytest.raises(InputError, match="framez"):
        simulation_settings(path)


def test_nothing_is_simulated_when_an_output_is_in_the_way(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        simulate(SMALL, movie=tmp_path / "movie.tif", truth=truth)
    assert truth.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [truth]


def test_emitters_blink_where_an_image_has_them(tmp_path: Path) -> None:
    image = np.zeros((40, 60), np.float32)
    image[10:13, 50] = 2.0
    path = tmp_path / "image.tif"
    write_image(path, image, 40.0)
    truth = simulate(SMALL.model_copy(update={"scene": ImageScene(path=str(path))})).truth
    assert len(truth) > 50
    assert 2000 <= truth.x_nm.min() < truth.x_nm.max() <= 2040
    assert 400 <= truth.y_nm.min() < truth.y_nm.max() <= 520


def test_an_image_without_pixel_size_is_no_scene(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.ones((4, 4), np.float32))
    scene = ImageScene(path=str(tmp_path / "image.npy"))
    with pytest.raises(InputError, match="how large its pixels are"):
        simulate(SMALL.model_copy(update={"scene": scene}))


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("truth.xls", "not known from its name"),
        ("movie.csv", "same name"),
        ("truth.hdf5", r"truth\.yaml' exists"),
        ("image.csv", "would replace the input"),
    ],
)
def test_a_truth_that_cannot_be_written_is_told_first(
    truth: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "truth.yaml").write_text("mine")
    write_image(tmp_path / "image.tif", np.ones((40, 60), np.float32), 40.0)
    (tmp_path / "image.tif").rename(tmp_path / "image.csv")
    scene = ImageScene(path=str(tmp_path / "image.csv"))
    settings = SMALL.model_copy(update={"scene": scene})
    before = set(tmp_path.iterdir())
    movie = tmp_path / ("movie.csv" if truth == "movie.csv" else "movie.tif")
    with pytest.raises(InputError, match=message):
        simulate(settings, movie=movie, truth=tmp_path / truth, overwrite=truth == "image.csv")
    assert set(tmp_path.iterdir()) == before


def test_a_missing_extra_is_told_before_the_movie_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match="picasso"):
        simulate(SMALL, movie=tmp_path / "movie.tif", truth=tmp_path / "truth.hdf5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("format_name", "name"), [("picasso", "t.hdf5"), ("decode", "t.csv")])
def test_places_are_where_their_own_table_says(format_name: str, name: str, tmp_path: Path) -> None:
    places = Localizations(np.zeros(1, int), np.array([1300.0]), np.array([650.0]))
    table = tmp_path / name
    write_localizations(table, places, format=format_name, pixel_size_nm=130.0)
    scene = simulation_settings(positions=table).scene
    assert isinstance(scene, TableScene)
    assert scene.positions_nm[0] == pytest.approx((1300, 650), abs=0.01)


def test_places_without_a_pixel_size_are_in_the_simulations_own(tmp_path: Path) -> None:
    table = tmp_path / "places.csv"
    table.write_text('"frame","x [px]","y [px]"\n1,5,3\n')
    scene = simulation_settings(positions=table).scene
    assert isinstance(scene, TableScene)
    assert scene.positions_nm == ((500.0, 300.0),)
