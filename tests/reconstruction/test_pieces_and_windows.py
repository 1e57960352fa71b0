"""Fields in pieces, and windows, give what whole fields and parts of movies give."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.errors import InputError
from deepstorm.io.movies.movie import ArrayMovie
from deepstorm.models.architectures import RefinementSettings
from deepstorm.models.card import NetworkCard
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.native import NativeNetwork
from deepstorm.models.refinement import Refiner
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction import predictor, streaming
from deepstorm.reconstruction.engines.torch_engine import TorchEngine
from deepstorm.reconstruction.fitting import FittedMovie
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.reconstruction.windows import Windows
from deepstorm.structures import Localizations

PIXEL_NM = 100.0
SMALL_PIECE = (8 * 128) ** 2


@pytest.fixture(autouse=True)
def torch_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        predictor,
        "choose_engine",
        lambda network, device, engine: TorchEngine(network),
    )


@pytest.fixture
def light_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FittedMovie, "with_light", lambda self, found, *_: (found, None))
    monkeypatch.setattr(FittedMovie, "checked", lambda self, explained: None)


def draw_movie(shape: tuple[int, int, int]) -> npt.NDArray[np.uint16]:
    rng = np.random.default_rng(5)
    light = 60 + 2000 * (rng.random(shape) < 0.004)
    return rng.poisson(light).astype(np.uint16)


def localized(
    reconstructor: Reconstructor, movie: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Localizations]:
    result = reconstructor.reconstruct(ArrayMovie(movie), PIXEL_NM, localize=True)
    assert result.posterior is not None
    assert result.localizations is not None
    return result.image, result.posterior, result.localizations


def refined(
    network: NativeNetwork, card: NetworkCard, upsampling: int | None = None
) -> Reconstructor:
    """Return a network with a refiner that moves emitters at once, without training."""
    shape = RefinementSettings(width=4, half_width=4, quarter_width=4)
    network.refiner = Refiner(shape).eval()
    network.refiner.head.weight.data *= 60
    described = card.model_copy(update={"refinement": shape})
    return Reconstructor(TrainedNetwork.of(network, described), upsampling=upsampling)


@pytest.mark.parametrize("size", [(150, 90), (90, 215)])
@pytest.mark.usefixtures("light_unmeasured")
def test_pieces_leave_no_trace(
    native_network: NativeNetwork,
    native_card: NetworkCard,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reconstructor = refined(native_network, native_card)
    movie = draw_movie((2, *size))
    image, posterior, table = localized(reconstructor, movie)
    assert np.abs(image - posterior).max() > 0.01
    monkeypatch.setattr(predictor, "VALUES_PER_PIECE", SMALL_PIECE)
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 64 * size[0] * size[1])
    other, other_posterior, other_table = localized(reconstructor, movie)
    np.testing.assert_allclose(other, image, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other_posterior, posterior, rtol=1e-5, atol=1e-5)
    assert len(other_table) == len(table) > 100
    assert (np.diff(other_table.frame) >= 0).all()
    for name in ("x_nm", "y_nm", "uncertainty_nm", "confidence"):
        np.testing.assert_allclose(
            np.sort(other_table.columns()[name]), np.sort(table.columns()[name]), rtol=1e-3
        )


def test_light_is_measured_over_all_pieces_at_once(
    paper_network: DeepStormNetwork, paper_card: NetworkCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie = draw_movie((2, 30, 24))
    reconstructor = Reconstructor(TrainedNetwork.of(paper_network, paper_card))
    _, _, table = localized(reconstructor, movie)
    monkeypatch.setattr(predictor, "VALUES_PER_PIECE", (8 * 20) ** 2)
    assert len(predictor.Predictor(TrainedNetwork.of(paper_network, paper_card)).pieces(30, 24)) > 1
    _, _, other = localized(reconstructor, movie)
    assert table.photons is not None
    assert other.photons is not None
    assert other.photons.sum() == pytest.approx(table.photons.sum(), rel=1e-3)


@pytest.mark.usefixtures("light_unmeasured")
def test_progress_rises_over_pieces(
    paper_network: DeepStormNetwork, paper_card: NetworkCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "VALUES_PER_PIECE", (8 * 20) ** 2)
    reconstructor = Reconstructor(TrainedNetwork.of(paper_network, paper_card))
    movie = ArrayMovie(draw_movie((3, 30, 24)))
    job = reconstructor.plan(movie, PIXEL_NM)
    standing = reconstructor.beginning(job)
    frames = [update.frames for update in reconstructor.updates(job, movie, standing)]
    assert len(frames) > 3
    assert frames == sorted(frames)
    assert frames[-1] == 3
    result = reconstructor.finish(job, standing.partial)
    assert result.record["expected_emitters"] == pytest.approx(result.image.sum(), rel=1e-5)


@pytest.mark.parametrize(("frames", "step"), [(4, 4), (6, 2), (4, 3), (2, 5)])
def test_windows_are_images_of_their_frames(
    paper_network: DeepStormNetwork, paper_card: NetworkCard, frames: int, step: int
) -> None:
    """The paper's network scales each frame by itself, so a part of a movie is as in the whole."""
    movie = draw_movie((11, 16, 13))
    reconstructor = Reconstructor(TrainedNetwork.of(paper_network, paper_card))
    windows = Windows(frames, step)
    result = reconstructor.reconstruct(ArrayMovie(movie), PIXEL_NM, windows=windows)
    images = result.time_lapse
    assert images is not None
    starts = windows.starts(11)
    assert len(images) == len(starts)
    for start, image in zip(starts, images, strict=True):
        part = reconstructor.reconstruct(ArrayMovie(movie[start : start + frames]), PIXEL_NM).image
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, part, rtol=1e-4, atol=1e-5)
    whole = reconstructor.reconstruct(ArrayMovie(movie), PIXEL_NM).image
    np.testing.assert_allclose(result.image, whole, rtol=1e-5, atol=1e-6)


def test_a_window_keeps_its_emitters_when_refined(
    native_network: NativeNetwork, native_card: NetworkCard
) -> None:
    result = refined(native_network, native_card, upsampling=4).reconstruct(
        ArrayMovie(draw_movie((4, 30, 24))),
        PIXEL_NM,
        windows=Windows(2, 2),
    )
    images = result.time_lapse
    assert images is not None
    assert [image.shape for image in images] == [(120, 96)] * 2
    total = sum(float(image.sum()) for image in images)
    assert total == pytest.approx(result.record["expected_emitters"], rel=1e-4)


def test_windows_that_do_not_suit_a_movie_are_refused(
    paper_network: DeepStormNetwork, paper_card: NetworkCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconstructor = Reconstructor(TrainedNetwork.of(paper_network, paper_card))
    movie = ArrayMovie(draw_movie((3, 30, 24)))
    with pytest.raises(InputError, match="fewer than a window of 4"):
        reconstructor.reconstruct(movie, PIXEL_NM, windows=Windows(4, 4))
    monkeypatch.setattr(predictor, "VALUES_PER_PIECE", (8 * 20) ** 2)
    with pytest.raises(InputError, match="region="):
        reconstructor.reconstruct(movie, PIXEL_NM, windows=Windows(2, 2))
