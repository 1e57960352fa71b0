from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from by_blocks import by_blocks

from deepstorm.arrays import Float32Array
from deepstorm.calibration import sampling
from deepstorm.calibration.assumption import KnownValues
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.errors import InputError
from deepstorm.io.movies.movie import ArrayMovie
from deepstorm.models.card import NetworkCard
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.native import NativeNetwork
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction import predictor, streaming, sums
from deepstorm.reconstruction.emitters.peaks import find_peaks
from deepstorm.reconstruction.engines.torch_engine import TorchEngine
from deepstorm.reconstruction.fitting import FittedMovie
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.reconstruction.streaming import block_edges
from deepstorm.structures import Localizations, Reconstruction

Counts = npt.NDArray[Any]
Localized = tuple[Reconstruction, list[Localizations]]

PIXEL_NM = 100.0


def draw_movie(shape: tuple[int, int, int], seed: int = 0) -> npt.NDArray[np.uint16]:
    """Background with spots of 3 × 3 pixels, a few in each frame, as a camera counts photons."""
    rng = np.random.default_rng(seed)
    movie = np.full(shape, 150.0)
    count, height, width = shape
    for _ in range(2 * count):
        frame, y, x = rng.integers(0, shape)
        light = rng.uniform(200, 1500) * np.outer([0.5, 1, 0.5], [0.5, 1, 0.5])
        rows, columns = slice(y, min(y + 3, height)), slice(x, min(x + 3, width))
        movie[frame, rows, columns] += light[: height - y, : width - x]
    return rng.poisson(movie).astype(np.uint16)


@pytest.fixture(autouse=True)
def torch_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the conversion for another runtime, which has tests of its own."""
    monkeypatch.setattr(
        predictor,
        "choose_engine",
        lambda network, device, engine: TorchEngine(network),
    )


@pytest.fixture
def light_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the light of localizations, which takes long where a network finds so many."""
    monkeypatch.setattr(FittedMovie, "with_light", lambda self, found, *_: (found, None))
    monkeypatch.setattr(FittedMovie, "checked", lambda self, explained: None)


@pytest.fixture
def native(native_network: NativeNetwork, native_card: NetworkCard) -> Reconstructor:
    return Reconstructor(TrainedNetwork.of(native_network, native_card))


@pytest.fixture
def paper(paper_network: DeepStormNetwork, paper_card: NetworkCard) -> Reconstructor:
    return Reconstructor(TrainedNetwork.of(paper_network, paper_card))


def image_of(reconstructor: Reconstructor, movie: Counts) -> npt.NDArray[np.float32]:
    return reconstructor.reconstruct(ArrayMovie(movie), PIXEL_NM).image


def localized(reconstructor: Reconstructor, movie: Counts) -> Localized:
    return by_blocks(reconstructor, ArrayMovie(movie), PIXEL_NM)


def by_position(table: Localizations) -> npt.NDArray[np.float64]:
    """Columns that the network gives, ordered; light is measured afterwards, by blocks."""
    order = np.lexsort((table.x_nm.round(2), table.y_nm.round(2), table.frame))
    names = ("frame", "x_nm", "y_nm", "uncertainty_nm", "confidence")
    return np.column_stack([table.columns()[name][order] for name in names])


@pytest.mark.parametrize("shape", [(2, 81, 70), (1, 65, 40), (1, 31, 130), (2, 30, 30)])
def test_tiles_of_the_native_network_leave_no_trace(
    native: Reconstructor, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = draw_movie(shape)
    whole = image_of(native, movie)
    assert whole.shape == (8 * shape[1], 8 * shape[2])
    assert whole.std() > 0.01
    monkeypatch.setattr(predictor, "TILE_PX", 64)
    np.testing.assert_allclose(image_of(native, movie), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 21, 24), (1, 13, 17), (1, 11, 7)])
def test_tiles_of_the_papers_network_leave_no_trace(
    paper: Reconstructor, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = draw_movie(shape)
    whole = image_of(paper, movie)
    assert whole.std() > 0.01
    monkeypatch.setattr(predictor, "TILE_PX", 12)
    np.testing.assert_allclose(image_of(paper, movie), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 5), (30, 30)])
def test_any_size_of_frame_works(native: Reconstructor, size: tuple[int, int]) -> None:
    movie = draw_movie((3, *size))
    result, parts = localized(native, movie)
    assert result.image.shape == (8 * size[0], 8 * size[1])
    assert result.image.dtype == np.float32
    assert np.isfinite(result.image).all()
    assert result.pixel_size_nm == PIXEL_NM / 8
    np.testing.assert_allclose(result.widefield, movie.mean(axis=0), rtol=1e-6)
    for table in parts:
        assert (table.x_nm >= 0).all()
        assert (table.x_nm < PIXEL_NM * size[1]).all()
        assert (table.y_nm < PIXEL_NM * size[0]).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_tiny_frames_work_with_the_papers_network(
    paper: Reconstructor, size: tuple[int, int]
) -> None:
    image = image_of(paper, draw_movie((2, *size)))
    assert image.shape == (8 * size[0], 8 * size[1])
    assert np.isfinite(image).all()


@pytest.mark.parametrize("frames_per_block", [1, 3, 7])
def test_blocks_leave_no_trace(
    native: Reconstructor, frames_per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = draw_movie((7, 20, 16))
    result, parts = localized(native, movie)
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", frames_per_block * 20 * 16 * 64)
    other, other_parts = localized(native, movie)
    assert len(parts) == 1
    assert len(other_parts) == -(-7 // frames_per_block)
    np.testing.assert_allclose(other.image, result.image, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other.widefield, result.widefield, rtol=1e-6)
    np.testing.assert_allclose(
        by_position(Localizations.concatenate(other_parts)), by_position(parts[0]), rtol=1e-4
    )


def test_the_same_movie_gives_the_same_bits(
    native_network: NativeNetwork, native_card: NetworkCard
) -> None:
    movie = draw_movie((4, 25, 18))
    (first, tables), (second, other_tables) = (
        localized(Reconstructor(TrainedNetwork.of(native_network, native_card)), movie.copy())
        for _ in range(2)
    )
    assert first.image.tobytes() == second.image.tobytes()
    assert tables[0].x_nm.tobytes() == other_tables[0].x_nm.tobytes()


@pytest.mark.parametrize("upsampling", [1, 2, 4, 8])
def test_a_coarser_image_sums_pixels(
    native_network: NativeNetwork, native_card: NetworkCard, upsampling: int
) -> None:
    movie = draw_movie((3, 11, 18))
    fine = image_of(Reconstructor(TrainedNetwork.of(native_network, native_card)), movie)
    coarse = Reconstructor(TrainedNetwork.of(native_network, native_card), upsampling=upsampling)
    result = coarse.reconstruct(ArrayMovie(movie), PIXEL_NM)
    step = 8 // upsampling
    sums = fine.reshape(11 * upsampling, step, 18 * upsampling, step).sum(axis=(1, 3))
    np.testing.assert_allclose(result.image, sums, rtol=1e-5)
    assert result.image.sum() == pytest.approx(fine.sum(), rel=1e-5)
    assert result.pixel_size_nm == PIXEL_NM / upsampling
    assert result.record["expected_emitters"] == pytest.approx(fine.sum(), rel=1e-5)


@pytest.mark.parametrize("upsampling", [-8, 0, 3, 5, 16])
def test_an_upsampling_that_the_network_cannot_give_is_refused(
    native_network: NativeNetwork, native_card: NetworkCard, upsampling: int
) -> None:
    with pytest.raises(InputError, match=f"'tiny' gives 8 × 8 .* upsampling of {upsampling} "):
        Reconstructor(TrainedNetwork.of(native_network, native_card), upsampling=upsampling)


@pytest.mark.parametrize(
    "movie",
    [
        np.zeros((3, 12, 12), np.uint16),
        np.full((3, 12, 12), 4000, np.uint16),
        np.full((1, 12, 12), -1e6, np.float64),
        np.zeros((1, 12, 12), np.float32),
        draw_movie((1, 12, 12)),
        np.eye(12, dtype=np.uint8)[None],
    ],
    ids=["zero", "even", "negative", "one zero frame", "one frame", "two values"],
)
def test_poor_movies_give_finite_images(
    native: Reconstructor, paper: Reconstructor, movie: Counts
) -> None:
    for reconstructor in (native, paper):
        result = reconstructor.reconstruct(ArrayMovie(movie), PIXEL_NM)
        assert np.isfinite(result.image).all()
        assert np.isfinite(result.record["expected_emitters"])


def test_a_hot_pixel_hardly_changes_the_image(native: Reconstructor) -> None:
    movie = draw_movie((20, 24, 24))
    clean = image_of(native, movie)
    broken = movie.copy()
    broken[:, 9, 14] += 5000
    result = native.reconstruct(ArrayMovie(broken), PIXEL_NM)
    assert result.record["hot_pixels"] == 1
    change = np.abs(result.image - clean).sum() / clean.sum()
    assert change < 0.01
    np.testing.assert_allclose(result.widefield[9, 14], movie[:, 9, 14].mean(), atol=50)


@pytest.mark.parametrize(
    ("dtype", "factor", "offset"),
    [("u1", 1, 0), ("i2", 1, -300), ("f4", 1 / 7, 0), ("f8", 1e-9, 0), ("i4", 1000, 20_000)],
    ids=["uint8", "negative int16", "float32", "tiny float64", "int32"],
)
def test_units_and_types_of_counts_do_not_matter(
    native: Reconstructor, dtype: str, factor: float, offset: float
) -> None:
    movie = draw_movie((6, 20, 20)) // 8
    # A calibration would not be the same: it knows that raw counts are whole and not negative.
    instrument = calibrate_frames(movie).instrument

    def image(counts: Counts, factor: float, offset: float) -> npt.NDArray[np.float32]:
        known = KnownValues(
            adu_per_photon=factor * instrument.adu_per_photon,
            zero_adu=factor * instrument.zero_adu + offset,
            sigma_px=instrument.sigma_px,
        )
        return native.reconstruct(ArrayMovie(counts), PIXEL_NM, known=known).image

    wanted = image(movie, 1, 0)
    found = image((movie.astype(np.float64) * factor + offset).astype(dtype), factor, offset)
    np.testing.assert_allclose(found, wanted, atol=2e-3 * float(wanted.max()))


@pytest.mark.parametrize(("factor", "offset"), [(3, 0), (10, 500)])
def test_gain_and_offset_are_found(native: Reconstructor, factor: int, offset: int) -> None:
    movie = draw_movie((60, 24, 24)).astype(np.uint32)
    wanted = image_of(native, movie)
    found = image_of(native, factor * movie + offset)
    assert abs(found - wanted).mean() < 0.02 * wanted.mean()


def test_units_do_not_matter_to_the_papers_network(paper: Reconstructor) -> None:
    movie = draw_movie((2, 12, 9))
    wanted = image_of(paper, movie)
    found = image_of(paper, 3 * movie.astype(np.int32) - 200)
    np.testing.assert_allclose(found, wanted, atol=2e-3 * float(wanted.max()))


class GuardedMovie:
    """Records which frames are read, and refuses too many at once."""

    def __init__(self, frames: Counts, most: int) -> None:
        self.frames, self.most = frames, most
        self.read_ranges: list[tuple[int, int]] = []

    @property
    def shape(self) -> tuple[int, int, int]:
        count, height, width = self.frames.shape
        return count, height, width

    def read(self, start: int, stop: int) -> Counts:
        assert 0 <= start < stop <= len(self.frames)
        assert stop - start <= self.most
        self.read_ranges.append((start, stop))
        return self.frames[start:stop]


def test_a_movie_is_read_by_blocks(native: Reconstructor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 4 * 8 * 8 * 64)
    monkeypatch.setattr(sampling, "SAMPLE_FRAMES", 10)
    movie = GuardedMovie(draw_movie((30, 8, 8)), most=4)
    native.reconstruct(movie, PIXEL_NM)
    looked_at = 10 + sampling.PAIRS
    sample, passes = movie.read_ranges[:looked_at], movie.read_ranges[looked_at:]
    assert [stop - start for start, stop in sample] == [1] * 10 + [2] * sampling.PAIRS
    assert passes == [(start, min(start + 4, 30)) for start in range(0, 30, 4)]


def test_blocks_follow_the_size_of_their_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 1000)
    assert block_edges((10, 5, 5), 4) == [0, 2, 4, 6, 8, 10]
    assert block_edges((10, 5, 5), 32) == list(range(11))


@pytest.mark.usefixtures("light_unmeasured")
def test_tiles_do_not_change_localizations(
    native: Reconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = draw_movie((2, 76, 70))
    _, (whole,) = localized(native, movie)
    monkeypatch.setattr(predictor, "TILE_PX", 64)
    _, (tiled,) = localized(native, movie)
    assert len(whole) > 100
    assert len(tiled) == len(whole)
    np.testing.assert_allclose(by_position(tiled), by_position(whole), rtol=1e-3, atol=1e-3)


def test_tiles_hold_more_than_their_halos(
    native: Reconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = draw_movie((1, 70, 66))
    whole = image_of(native, movie)
    monkeypatch.setattr(predictor, "TILE_PX", 8)
    np.testing.assert_allclose(image_of(native, movie), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("light_unmeasured")
def test_localizations_ascend_over_tiles_and_blocks(
    native: Reconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = draw_movie((7, 70, 66))
    monkeypatch.setattr(predictor, "TILE_PX", 64)
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 3 * 70 * 66 * 64)
    _, parts = localized(native, movie)
    frames = np.concatenate([part.frame for part in parts])
    assert len(parts) == 3
    assert (np.diff(frames) >= 0).all()
    assert set(frames.tolist()) == set(range(7))


def test_progress_rises_to_the_end(native: Reconstructor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 3 * 8 * 8 * 64)
    movie = ArrayMovie(draw_movie((10, 8, 8)))
    job = native.plan(movie, PIXEL_NM)
    seen = [
        (update.frames, update.total_frames, update.partial.count)
        for update in native.updates(job, movie)
    ]
    assert seen == [(3, 10, 3), (6, 10, 6), (9, 10, 9), (10, 10, 10)]


def test_without_a_table_emitters_are_sought_in_frames_to_be_checked_alone(
    native: Reconstructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []

    def seek(expected: Float32Array, *rest: Any, **named: Any) -> Localizations:
        looked_at.append(len(expected))
        return find_peaks(expected, *rest, **named)

    monkeypatch.setattr(sums, "find_peaks", seek)
    assert native.reconstruct(ArrayMovie(draw_movie((12, 8, 8))), PIXEL_NM).localizations is None
    assert sum(looked_at) == 3


def test_the_record_tells_how_an_image_was_made(native: Reconstructor) -> None:
    record = native.reconstruct(ArrayMovie(draw_movie((3, 8, 8))), PIXEL_NM).record
    assert record["frames"] == 3
    assert record["engine"] == "torch-cpu"
    assert record["hot_pixels"] == 0
    assert record["reconstruction_s"] > 0


def test_the_device_reaches_the_engine(
    native_network: NativeNetwork, native_card: NetworkCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def choose(network: TrainedNetwork, device: str, engine: str) -> TorchEngine:
        asked.append(device)
        return TorchEngine(network)

    monkeypatch.setattr(predictor, "choose_engine", choose)
    Reconstructor(TrainedNetwork.of(native_network, native_card))
    Reconstructor(TrainedNetwork.of(native_network, native_card), "cpu")
    assert asked == ["auto", "cpu"]
