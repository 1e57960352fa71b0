from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.outputs import Outputs
from deepstorm.api.reconstruct import check_validity, reconstruct
from deepstorm.api.simulate import simulate
from deepstorm.calibration.assumption import KnownValues
from deepstorm.errors import InputError
from deepstorm.files import file_checksum
from deepstorm.io.images import read_image
from deepstorm.io.movies.selection import Region
from deepstorm.io.tables.localizations import read_localizations
from deepstorm.models.zoo import find_network
from deepstorm.simulation.scenes import TableScene
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations

DENSE = SimulationSettings(frames=6, height_px=24, width_px=32, density_per_um2=2.0)


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("movie") / "movie.tif"
    simulate(DENSE, seed=1, movie=path)
    return path


def test_all_outputs_appear_and_agree(movie: Path, tmp_path: Path) -> None:
    outputs = Outputs.beside(tmp_path / "image.tif")
    result = reconstruct(movie, outputs=outputs)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "image.csv",
        "image.json",
        "image.png",
        "image.tif",
    ]
    image, pixel_size_nm = read_image(outputs.image)
    np.testing.assert_array_equal(image, result.image)
    assert image.shape == (24 * 8, 32 * 8)
    assert pixel_size_nm == pytest.approx(12.5)
    record = json.loads(outputs.record.read_text())
    assert record == result.record
    assert record["network"]["sha256"] == file_checksum(find_network())
    assert record["input"]["bytes"] == movie.stat().st_size
    assert record["versions"]["torch"]
    assert record["expected_emitters"] == pytest.approx(result.image.sum(), rel=1e-4)
    assert_whole_table_kept(read_localizations(outputs.localizations), movie)


def assert_whole_table_kept(table: Localizations, movie: Path) -> None:
    """Every column of a run is in its table."""
    in_memory = reconstruct(movie).localizations
    assert in_memory is not None
    assert len(table) == len(in_memory) > 0
    assert in_memory.columns().keys() == {
        "frame",
        "x_nm",
        "y_nm",
        "photons",
        "sigma_nm",
        "background_photons",
        "uncertainty_nm",
        "confidence",
    }
    assert table.columns().keys() == in_memory.columns().keys()
    for name, values in in_memory.columns().items():
        np.testing.assert_allclose(table.columns()[name], values, rtol=1e-5, atol=0.01)


def test_picassos_table_holds_the_same_places(movie: Path, tmp_path: Path) -> None:
    outputs = replace(
        Outputs.beside(tmp_path / "image.tif"), localizations=tmp_path / "locs.hdf5", preview=None
    )
    reconstruct(movie, outputs=outputs)
    assert_whole_table_kept(read_localizations(tmp_path / "locs.hdf5"), movie)
    assert not (tmp_path / "image.png").exists()


def test_a_path_and_an_array_give_the_same(movie: Path) -> None:
    frames = simulate(DENSE, seed=1).frames
    assert frames is not None
    from_path = reconstruct(movie)
    from_array = reconstruct(frames, pixel_size_nm=100, localizations=False)
    np.testing.assert_array_equal(from_path.image, from_array.image)
    assert from_array.localizations is None


def test_one_emitter_lands_where_it_is() -> None:
    """The origin is the outer corner of the top-left pixel, from the emitter to the outputs."""
    x_nm, y_nm = 1234.0, 871.0
    scene = TableScene(positions_nm=((x_nm, y_nm),))
    settings = SimulationSettings.model_validate(
        {
            "frames": 40,
            "height_px": 20,
            "width_px": 28,
            "scene": scene,
            "density_per_um2": 1 / 5.6,
            "brightness": {"mean_photons": 5000, "relative_spread": 0.1},
            "camera": {"kind": "scmos"},
        }
    )
    simulated = simulate(settings, seed=0)
    assert simulated.frames is not None
    result = reconstruct(simulated.frames, pixel_size_nm=100)
    assert result.localizations is not None
    near = result.localizations.select(result.localizations.confidence > 0.5)
    assert len(near) >= 10
    assert np.median(near.x_nm) == pytest.approx(x_nm, abs=3)
    assert np.median(near.y_nm) == pytest.approx(y_nm, abs=3)
    rows, columns = np.indices(result.image.shape) + 0.5
    weight = np.where(result.image > 0.05 * result.image.max(), result.image, 0)
    assert (columns * weight).sum() / weight.sum() * 12.5 == pytest.approx(x_nm, abs=3)
    assert (rows * weight).sum() / weight.sum() * 12.5 == pytest.approx(y_nm, abs=3)


def test_frames_and_region(movie: Path) -> None:
    frames = simulate(DENSE, seed=1).frames
    assert frames is not None
    chosen = reconstruct(movie, frames=slice(2, 5), region=Region(x=8, y=4, width=16, height=12))
    cut = reconstruct(frames[2:5, 4:16, 8:24], pixel_size_nm=100)
    np.testing.assert_array_equal(chosen.image, cut.image)
    assert chosen.record["settings"]["region"] == {"x": 8, "y": 4, "width": 16, "height": 12}


def test_a_coarser_image_keeps_the_sum(movie: Path) -> None:
    fine, coarse = reconstruct(movie), reconstruct(movie, upsampling=2)
    assert coarse.image.shape == (48, 64)
    assert coarse.pixel_size_nm == 50
    assert coarse.image.sum() == pytest.approx(fine.image.sum(), rel=1e-4)


def test_progress_reaches_the_end(movie: Path) -> None:
    seen: list[tuple[int, int]] = []
    reconstruct(movie, on_progress=lambda p: seen.append((p.frames, p.total_frames)))
    assert seen[-1] == (6, 6)


def test_existing_outputs_are_kept_unless_allowed(movie: Path, tmp_path: Path) -> None:
    outputs = Outputs.beside(tmp_path / "image.tif")
    outputs.record.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        reconstruct(movie, outputs=outputs)
    assert [path.name for path in tmp_path.iterdir()] == ["image.json"]
    reconstruct(movie, outputs=outputs, overwrite=True)
    assert json.loads(outputs.record.read_text())["frames"] == 6


def test_outputs_must_differ(movie: Path, tmp_path: Path) -> None:
    outputs = Outputs.beside(tmp_path / "image.tif")
    with pytest.raises(InputError, match="same name"):
        reconstruct(movie, outputs=replace(outputs, record=outputs.image))


def _interrupt(progress: object) -> None:
    raise KeyboardInterrupt


def _fill_the_disk(progress: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stop", [_interrupt, _fill_the_disk])
def test_nothing_is_left_of_a_run_that_stops(
    movie: Path, tmp_path: Path, stop: Callable[[object], None]
) -> None:
    with pytest.raises((KeyboardInterrupt, OSError)):
        reconstruct(movie, outputs=Outputs.beside(tmp_path / "image.tif"), on_progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pixel_size_nm", [0, -100, 0.5, 1e6])
def test_absurd_pixel_sizes(movie: Path, pixel_size_nm: float) -> None:
    with pytest.raises(InputError, match="not credible"):
        reconstruct(movie, pixel_size_nm=pixel_size_nm)


def test_a_pixel_size_is_asked_for() -> None:
    with pytest.raises(InputError, match="`pixel_size_nm=100`"):
        reconstruct(np.zeros((2, 16, 16), np.uint16))


def test_a_network_for_other_pixels_is_refused(movie: Path) -> None:
    with pytest.raises(InputError, match="trained for camera pixels of 50 to 200 nm"):
        reconstruct(movie, pixel_size_nm=400)
    check_validity("anything", {}, 400)


def test_a_movie_that_fits_gets_no_warning(movie: Path) -> None:
    record = reconstruct(movie).record
    assert record["warnings"] == []
    assert all(note.endswith("not known.") for note in record["notes"])
    assert record["calibration"]["sigma_nm"]["value"] == pytest.approx(110, rel=0.3)
    assert record["calibration"]["pixel_size_nm"] == 100
    assert record["photons"] == "effective"


def test_a_movie_without_emitters_is_warned_of() -> None:
    dark = np.random.default_rng(0).poisson(50, (20, 24, 24)).astype(np.uint16)
    result = reconstruct(dark, pixel_size_nm=100)
    (warning,) = result.record["warnings"]
    assert "what the image shows is chance" in warning


def test_a_known_width_is_taken_and_compared(movie: Path) -> None:
    record = reconstruct(movie, known=KnownValues(sigma_px=4.0)).record
    assert record["calibration"]["sigma_px"] == {"value": 4.0, "uncertainty": 0.0}
    assert "'native' was trained for 0.8 to 2.2 pixels" in record["warnings"][0]


def test_with_the_gain_photons_are_detected_ones(movie: Path) -> None:
    # The movie's camera has 300 / 145 counts per electron and an excess noise factor of 2.
    gain = 300 / 145
    camera = KnownValues(adu_per_photon=2 * gain, zero_adu=99.9)
    effective = reconstruct(movie, known=camera)
    detected = reconstruct(movie, known=replace(camera, adu_per_electron=gain))
    assert (effective.record["photons"], detected.record["photons"]) == ("effective", "detected")
    assert detected.localizations is not None
    assert effective.localizations is not None
    for name in ("photons", "background_photons"):
        np.testing.assert_allclose(
            detected.localizations.columns()[name], 2 * effective.localizations.columns()[name]
        )
    np.testing.assert_array_equal(detected.image, effective.image)
    true_background = DENSE.background.mean_photons
    found = np.median(detected.localizations.columns()["background_photons"])
    assert found == pytest.approx(true_background, rel=0.2)


def test_the_pixel_size_of_a_calibration(movie: Path) -> None:
    known = KnownValues(pixel_size_nm=80.0)
    assert reconstruct(movie, known=known).pixel_size_nm == 10
    assert reconstruct(movie, known=known, pixel_size_nm=160.0).pixel_size_nm == 20


def test_a_network_that_is_not_there(movie: Path) -> None:
    with pytest.raises(InputError, match=r"no network 'nonsense'.*native"):
        reconstruct(movie, network="nonsense")


def test_the_movie_is_never_replaced(movie: Path) -> None:
    before = movie.read_bytes()
    with pytest.raises(InputError, match="would replace the input"):
        reconstruct(movie, outputs=Outputs.beside(movie), overwrite=True)
    assert movie.read_bytes() == before


def test_a_table_without_its_extra_is_told_first(
    movie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    outputs = replace(Outputs.beside(tmp_path / "i.tif"), localizations=tmp_path / "i.hdf5")
    with pytest.raises(InputError, match="picasso"):
        reconstruct(
            movie, outputs=outputs, on_progress=lambda progress: pytest.fail("it was begun")
        )


def test_the_record_tells_the_frames_as_they_were_counted(movie: Path) -> None:
    assert reconstruct(movie).record["settings"]["frames"] is None
    for frames in (slice(-2, None), slice(4, 100)):
        assert reconstruct(movie, frames=frames).record["settings"]["frames"] == [4, 6]


@pytest.mark.parametrize("fate", ["deleted", "replaced", "dated", "untouched"])
def test_what_happens_to_the_movie_meanwhile_loses_no_result(
    movie: Path, tmp_path: Path, fate: str
) -> None:
    copy, outputs = tmp_path / "copy.tif", Outputs.beside(tmp_path / "image.tif")
    shutil.copyfile(movie, copy)

    def meet(_: object) -> None:
        if fate == "deleted":
            copy.unlink(missing_ok=True)
        elif fate == "replaced":
            (tmp_path / "other.tif").write_bytes(b"other")
            (tmp_path / "other.tif").replace(copy)
        elif fate == "dated":
            os.utime(copy, (300_000_000_000, 300_000_000_000))

    result = reconstruct(copy, outputs=outputs, on_progress=meet)
    record = json.loads(outputs.record.read_text())
    assert record == result.record
    assert record["input"]["bytes"] == movie.stat().st_size
    said = [warning for warning in record["warnings"] if "while it was read" in warning]
    assert len(said) == (fate != "untouched")
    np.testing.assert_array_equal(read_image(outputs.image)[0], reconstruct(movie).image)
