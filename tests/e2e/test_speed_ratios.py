"""Speed, as ratios of two things that are timed in turn: what must not be lost on any machine.

Time is that of the processor, which other work on the machine hardly touches. A ratio is the one of
medians, and the best of three attempts counts, so that a test fails when the ratio is lost and not
when the machine is busy.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from deepstorm.io.movies.opening import open_movie
from deepstorm.io.movies.writing import write_movie
from deepstorm.models.architectures import DeepStormNetworkSettings
from deepstorm.models.building import build
from deepstorm.models.card import NetworkCard
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.scaling import MinMaxScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.models.zoo import open_network
from deepstorm.reconstruction.engines.choice import choose_engine
from deepstorm.reconstruction.engines.protocol import Engine

ATTEMPTS = 3
REPEATS = 3
Task = Callable[[], object]


def processor_s(task: Task) -> float:
    began = time.process_time()
    task()
    return time.process_time() - began


def times_faster(fast: Task, slow: Task, enough: float) -> float:
    """Return how many times faster ``fast`` is, from the first attempt that is enough."""
    fast(), slow()  # compile and fill caches
    found = 0.0
    for _ in range(ATTEMPTS):
        pairs = [(processor_s(slow), processor_s(fast)) for _ in range(REPEATS)]
        slow_s, fast_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        found = max(found, slow_s / fast_s)
        if found >= enough:
            break
    return found


def draw_frames(*shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).normal(0.3, 0.5, shape).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Keep threads from waiting for each other, which counts as the processor's time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def paper_network() -> DeepStormNetwork:
    return build(DeepStormNetworkSettings()).eval()


@pytest.fixture(scope="module")
def default_engine() -> Engine:
    return choose_engine(open_network(), "cpu")


def test_folding_makes_the_papers_network_faster(paper_network: DeepStormNetwork) -> None:
    written = copy.deepcopy(paper_network)
    for index in (4, 5, 6):
        repeated = nn.Upsample(scale_factor=2.0)
        written.layers[index] = nn.Sequential(repeated, *written.layers[index].children())
    frames = torch.from_numpy(draw_frames(1, 1, 32, 32))
    with torch.inference_mode():
        torch.testing.assert_close(paper_network(frames), written(frames), rtol=1e-3, atol=1e-4)
        ratio = times_faster(lambda: paper_network(frames), lambda: written(frames), 1.0)
    assert ratio >= 1.0  # five ninths of the decoder's arithmetic are left out


def test_the_default_network_is_several_times_faster_than_the_papers(
    paper_network: DeepStormNetwork, default_engine: Engine
) -> None:
    card = NetworkCard(name="paper", network=DeepStormNetworkSettings(), scaling=MinMaxScaling())
    paper_engine = choose_engine(TrainedNetwork.of(paper_network, card), "cpu")
    ours, papers = draw_frames(4, 3, 32, 32), draw_frames(4, 1, 32, 32)
    ratio = times_faster(lambda: default_engine(ours), lambda: paper_engine(papers), 3)
    assert ratio >= 3  # of seven in arithmetic


def test_reading_is_no_bottleneck(default_engine: Engine, tmp_path: Path) -> None:
    counts = np.random.default_rng(1).poisson(100, (16, 64, 64)).astype(np.uint16)
    write_movie(tmp_path / "movie.tif", counts, 100)
    frames = draw_frames(16, 3, 64, 64)
    with open_movie(tmp_path / "movie.tif") as movie:
        ratio = times_faster(lambda: movie.read(0, 16), lambda: default_engine(frames), 5)
    assert ratio >= 5


def test_blocks_cost_no_more_than_all_at_once(default_engine: Engine) -> None:
    frames = draw_frames(200, 3, 16, 16)

    def in_blocks() -> None:
        for start in range(0, 200, 32):
            default_engine(frames[start : start + 32])

    assert times_faster(in_blocks, lambda: default_engine(frames), 1 / 1.3) >= 1 / 1.3
