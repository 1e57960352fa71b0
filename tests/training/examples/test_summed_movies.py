from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from deepstorm.errors import InputError
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.native import NativeNetwork
from deepstorm.models.rendering import ConcentratedRendering
from deepstorm.models.scaling import PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.training.examples import summed_movies as module
from deepstorm.training.examples.protocol import TRAINING, VALIDATION
from deepstorm.training.examples.summed_movies import (
    SummedMovie,
    SummedMovieSource,
    find_movie,
    keep_movie,
)
from deepstorm.training.examples.whole_movies import MovieExamples

NETWORK = NativeNetworkSettings(width=4, deep_width=8, upsampling=4)
CARD = NetworkCard(
    name="tiny", network=NETWORK, scaling=PhotonScaling(), rendering=ConcentratedRendering()
)
EXAMPLES = MovieExamples(patch_px=12, frames_per_scene=5, least_emitters=10)


@pytest.fixture
def network() -> NativeNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build(NETWORK)
        nn.init.normal_(built.head.weight, std=0.5)
    return built.eval()


def source(
    network: NativeNetwork, examples: MovieExamples = EXAMPLES, precision: str = "float32"
) -> SummedMovieSource:
    return SummedMovieSource(TrainedNetwork.of(network, CARD), examples, (2, 5), 7, precision)


def test_sums_are_those_of_the_networks_answers_over_the_first_frames(
    network: NativeNetwork,
) -> None:
    movie = source(network).movie(3, TRAINING)
    assert (movie.sums.dtype, movie.sums.shape) == (np.float16, (2, 3, 48, 48))
    assert (movie.truth.dtype, movie.truth.shape) == (np.uint16, (2, 48, 48))

    rng = np.random.default_rng([7, TRAINING, 3])
    drawn = EXAMPLES.draw_movie(rng)
    frames = np.concatenate(list(drawn.frames()))
    scaled = CARD.scaling.fit(frames, EXAMPLES.told_instrument(drawn.settings, rng)).apply(frames)
    with torch.no_grad():
        expected = network.expected_emitters(torch.from_numpy(scaled))
        gathered = CARD.rendering(expected)
    for index, length in enumerate((2, 5)):
        for row, answer in enumerate((expected, gathered, expected.square())):
            wanted = answer[:length].sum(dim=0)[0].numpy()
            np.testing.assert_allclose(movie.sums[index, row], wanted, rtol=2e-3, atol=1e-6)
        assert movie.truth[index].sum() == (drawn.truth.frame < length).sum()


def test_blocks_of_frames_leave_no_trace(
    network: NativeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = source(network).movie(0, TRAINING)
    monkeypatch.setattr(module, "PIXELS_PER_CALL", 2 * 12 * 12)
    np.testing.assert_allclose(
        source(network).movie(0, TRAINING).sums, whole.sums, rtol=2e-3, atol=1e-6
    )


def test_bfloat16_sums_are_nearly_the_same(network: NativeNetwork) -> None:
    exact = source(network).movie(0, TRAINING).sums.astype(float)
    reduced = source(network, precision="bfloat16").movie(0, TRAINING).sums.astype(float)
    totals = exact[:, 0].sum(axis=(1, 2)), reduced[:, 0].sum(axis=(1, 2))
    np.testing.assert_allclose(totals[1], totals[0], rtol=0.02)
    assert not np.array_equal(exact, reduced)


def test_index_and_stream_decide_a_movie(network: NativeNetwork) -> None:
    movies = source(network)
    first = movies.movie(1, TRAINING)
    np.testing.assert_array_equal(movies.movie(1, TRAINING).sums, first.sums)
    for index, stream in ((2, TRAINING), (1, VALIDATION)):
        assert not np.array_equal(movies.movie(index, stream).sums, first.sums)


def test_the_origin_tells_networks_and_conditions_apart(network: NativeNetwork) -> None:
    origin = source(network).origin
    assert source(network).origin == origin
    assert source(network, EXAMPLES.model_copy(update={"patch_px": 16})).origin != origin
    assert source(network, precision="bfloat16").origin != origin
    with torch.no_grad():
        network.head.weight[0, 0] += 0.1
    assert source(network).origin != origin


def drawn_movie() -> SummedMovie:
    rng = np.random.default_rng(0)
    return SummedMovie(
        rng.random((2, 3, 16, 24)).astype(np.float16),
        rng.integers(0, 300, (2, 16, 24)).astype(np.uint16),
    )


def test_a_kept_movie_is_read_in_parts(tmp_path: Path) -> None:
    path, movie = tmp_path / "a.safetensors", drawn_movie()
    keep_movie(path, movie, "here")
    found = find_movie(path, "here")
    assert found.shape == (16, 24)
    assert found.emitters == tuple(movie.truth.sum(axis=(1, 2), dtype=int))
    part = found.read(1, slice(4, 12), slice(0, 20))
    assert part.dtype == np.float32
    np.testing.assert_array_equal(part[:3], movie.sums[1, :, 4:12, :20])
    np.testing.assert_array_equal(part[3], movie.truth[1, 4:12, :20])
    np.testing.assert_array_equal(found.read(-1)[:3], movie.sums[-1])


def test_movies_of_another_origin_are_refused(tmp_path: Path) -> None:
    keep_movie(tmp_path / "a.safetensors", drawn_movie(), "here")
    with pytest.raises(InputError, match="movies of another network or of other settings"):
        find_movie(tmp_path / "a.safetensors", "there")


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_damaged_movies_are_named(tmp_path: Path, part: float) -> None:
    path = tmp_path / "a.safetensors"
    keep_movie(path, drawn_movie(), "here")
    content = path.read_bytes()
    path.write_bytes(content[: math.floor(part * len(content))])
    with pytest.raises(InputError, match=r"'.*a.safetensors' is not a complete movie"):
        find_movie(path, "here")


@pytest.mark.parametrize("header", [None, {"deepstorm_movie": "{"}, {"deepstorm_movie": "[1]"}])
def test_foreign_files_are_named(tmp_path: Path, header: dict[str, str] | None) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"truth": np.zeros((1, 2, 2))}, path, metadata=header)
    with pytest.raises(InputError, match="is not a complete movie"):
        find_movie(path, "here")
