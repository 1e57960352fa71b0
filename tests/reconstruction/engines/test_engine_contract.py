"""What holds for a network in every runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch

from deepstorm.models.card import NetworkCard
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.native import NativeNetwork
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.emitters.peaks import find_peaks
from deepstorm.reconstruction.engines.protocol import Engine

Frames = npt.NDArray[np.float32]
Draw = Callable[..., Frames]

# The largest differences from PyTorch in float32, relative to the largest value; in fewer bits
# those of the root mean square.
FLOAT32, REDUCED = 1e-4, {"bf16": 0.01, "int8": 0.03}


class Runtime(NamedTuple):
    """A runtime with a network in it, and how far it may be off where it has fewer than 32 bits."""

    engine: Engine
    reduced: float | None = None


def run_in(name: str, network: TrainedNetwork) -> Runtime:
    if name == "torch":
        from deepstorm.reconstruction.engines.torch_engine import TorchEngine

        return Runtime(TorchEngine(network))
    if name == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
        from deepstorm.reconstruction.engines.onnx_engine import OnnxEngine

        return Runtime(OnnxEngine(network))
    openvino = pytest.importorskip("openvino")
    from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine

    precision = name.removeprefix("openvino-")
    capable = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision in REDUCED and precision.upper() not in capable:
        pytest.skip(f"this processor does not compute in {precision}")
    return Runtime(OpenVinoEngine(network, precision), REDUCED.get(precision))


@pytest.fixture(
    scope="module", params=["torch", "openvino-f32", "openvino-bf16", "openvino-int8", "onnx"]
)
def runtime(request: pytest.FixtureRequest, file: TrainedNetwork) -> Runtime:
    return run_in(request.param, file)


def expected(network: NativeNetwork | DeepStormNetwork, frames: Frames) -> Frames:
    with torch.no_grad():
        output = network.expected_emitters(torch.from_numpy(frames.copy()))
    return output[:, 0].numpy()


def assert_close(found: Frames, wanted: Frames, reduced: float | None = None) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert wanted.std() > 0.01  # a flat image would agree with anything
    difference = np.abs(found - wanted) / float(wanted.max())
    if reduced is None:
        assert difference.max() < FLOAT32
    else:
        assert np.sqrt(np.square(difference).mean()) < reduced


# A single cell; non-square frames, whose number is no multiple of those in a call; larger ones than
# a call takes several of.
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (37, 3, 12, 20), (3, 3, 64, 72)])
def test_the_network_gives_its_numbers(
    runtime: Runtime, network: NativeNetwork, draw_frames: Draw, shape: tuple[int, ...]
) -> None:
    frames = draw_frames(*shape)
    found, wanted = runtime.engine(frames).expected, expected(network, frames)
    assert_close(found, wanted, runtime.reduced)
    total = float(wanted.sum())
    assert float(found.sum()) == pytest.approx(total, rel=runtime.reduced or FLOAT32)


@pytest.mark.parametrize("name", ["torch", "openvino-f32", "onnx"])
def test_the_papers_network_gives_its_numbers(
    name: str, paper_network: DeepStormNetwork, paper_card: NetworkCard, draw_frames: Draw
) -> None:
    engine, _ = run_in(name, TrainedNetwork.of(paper_network, paper_card))
    frames = draw_frames(3, 1, 7, 9)
    prediction = engine(frames)
    assert_close(prediction.expected, expected(paper_network, frames))
    np.testing.assert_array_equal(prediction.image, prediction.expected)  # its rendering is plain


@pytest.mark.parametrize("size", [(12, 16), (8, 28)])
def test_images_are_the_rendered_expectation(
    runtime: Runtime, card: NetworkCard, draw_frames: Draw, size: tuple[int, int]
) -> None:
    prediction = runtime.engine(draw_frames(3, 3, *size))
    wanted = card.rendering(torch.from_numpy(prediction.expected[:, None]))[:, 0].numpy()
    assert_close(prediction.image, wanted)  # whatever the precision of the network
    assert float(prediction.image.sum()) == pytest.approx(
        float(prediction.expected.sum()), rel=1e-4
    )
    assert np.abs(prediction.image - prediction.expected).max() > 0.1 * wanted.max()


@pytest.mark.parametrize("within", [(24, 20), (22, 20), (21, 17)])
def test_maxima_are_those_that_find_peaks_would_seek(
    runtime: Runtime, draw_frames: Draw, within: tuple[int, int]
) -> None:
    prediction = runtime.engine(draw_frames(3, 3, 24, 20), maxima_within=within)
    assert prediction.maxima is not None
    assert prediction.maxima.shape == prediction.expected.shape
    assert prediction.maxima.dtype == bool
    seen = (slice(None), slice(0, 8 * within[0]), slice(0, 8 * within[1]))
    here, there = (
        find_peaks(prediction.expected[seen], 1.0, maxima=known)
        for known in (prediction.maxima[seen], None)
    )
    assert len(here) > 100
    for name, column in here.columns().items():
        np.testing.assert_allclose(column, there.columns()[name], rtol=1e-9)


def test_no_maxima_are_sought_unless_asked_for(runtime: Runtime, draw_frames: Draw) -> None:
    assert runtime.engine(draw_frames(1, 3, 8, 8)).maxima is None


@pytest.mark.parametrize("size", [(40, 64), (33, 47)])
def test_refiners_give_their_numbers(
    runtime: Runtime, network: NativeNetwork, size: tuple[int, int]
) -> None:
    sums = np.random.default_rng(0).gamma(0.3, 3.0, (3, *size)).astype(np.float32)
    assert network.refiner is not None
    with torch.no_grad():
        wanted = network.refiner(torch.from_numpy(sums[None]))[0, 0].numpy()
    found = runtime.engine.refine(sums)
    assert_close(found, wanted, runtime.reduced)
    # Whatever the precision of its network, a refiner adds and loses nothing.
    assert float(found.sum()) == pytest.approx(float(wanted.sum()), rel=1e-4)
    kept = found.copy()
    runtime.engine.refine(2 * sums)
    np.testing.assert_array_equal(found, kept)


def test_results_are_kept_when_an_engine_runs_again(runtime: Runtime, draw_frames: Draw) -> None:
    # Runtimes reuse the memory of their results; what was given out must not change.
    frames = draw_frames(1, 3, 8, 8)
    first = runtime.engine(frames, maxima_within=(8, 8))
    copies = [np.copy(part) for part in first if part is not None]
    runtime.engine(frames + 1, maxima_within=(8, 8))
    for part, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_frames_stay_as_they_were(runtime: Runtime, draw_frames: Draw) -> None:
    frames = draw_frames(3, 3, 8, 8)
    before = frames.copy()
    runtime.engine(frames[..., ::-1, ::-1], maxima_within=(7, 8))
    np.testing.assert_array_equal(frames, before)


def test_engines_take_views(runtime: Runtime, draw_frames: Draw) -> None:
    # Tiles are views of larger frames, neither contiguous nor at the beginning.
    frames = draw_frames(3, 3, 24, 24)[..., 4:12, 8:20]
    for part, copied in zip(
        runtime.engine(frames)[:2], runtime.engine(frames.copy())[:2], strict=True
    ):
        np.testing.assert_array_equal(part, copied)


def test_every_channel_is_shown_to_the_network(
    runtime: Runtime, network: NativeNetwork, draw_frames: Draw
) -> None:
    frames = draw_frames(1, 3, 8, 8)
    images = []
    for shift in range(3):
        turned = np.roll(frames, shift, axis=1)
        images.append(runtime.engine(turned).expected)
        assert_close(images[-1], expected(network, turned), runtime.reduced)
    assert np.ptp(images, axis=0).max() > 0.01
