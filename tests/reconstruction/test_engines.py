from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from deepstorm.errors import InputError
from deepstorm.models.checkpoint import Network
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.devices import DeviceName
from deepstorm.models.native import NativeNetwork
from deepstorm.models.rendering import ConcentratedRendering, Rendering
from deepstorm.reconstruction import engines
from deepstorm.reconstruction.engines import (
    Engine,
    OpenVinoEngine,
    Prediction,
    TorchEngine,
    choose_engine,
)

Frames = npt.NDArray[np.float32]

# (frame, channel, y, x): a single cell, non-square frames, and counts that pieces of two do not
# divide.
NATIVE_SHAPES = [(1, 3, 4, 4), (5, 3, 12, 20), (4, 3, 24, 16)]
PAPER_SHAPES = [(1, 1, 2, 3), (3, 1, 7, 9)]

Shape = tuple[int, int, int, int]


def draw_frames(shape: Shape) -> Frames:
    return np.random.default_rng(0).normal(0.5, 1.0, shape).astype(np.float32)


def expected(network: Network, frames: Frames) -> Frames:
    with torch.no_grad():
        output = network.expected_emitters(torch.from_numpy(frames))
    return output[:, 0].numpy()


def pieces_of_two(monkeypatch: pytest.MonkeyPatch, frames: Frames) -> None:
    monkeypatch.setattr(engines, "PIXELS_PER_CALL", 2 * frames.shape[2] * frames.shape[3])


def assert_close(found: Frames, wanted: Frames, relative: float) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert wanted.std() > 0.01  # a flat image would agree with anything
    np.testing.assert_allclose(found, wanted, atol=relative * float(wanted.max()), rtol=0)


def bf16_engine(network: Network) -> OpenVinoEngine:
    engine = OpenVinoEngine(network)
    if engine.precision != "bf16":
        pytest.skip("this processor does not compute in bfloat16")
    return engine


@pytest.fixture(scope="module")
def native_f32(native_network: NativeNetwork) -> OpenVinoEngine:
    pytest.importorskip("openvino")
    return OpenVinoEngine(native_network, ConcentratedRendering(), "f32")


@pytest.fixture(scope="module")
def paper_f32(paper_network: DeepStormNetwork) -> OpenVinoEngine:
    pytest.importorskip("openvino")
    return OpenVinoEngine(paper_network, precision="f32")


@pytest.mark.parametrize("shape", NATIVE_SHAPES)
def test_torch_runs_the_network_in_pieces(
    native_network: NativeNetwork, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = draw_frames(shape)
    pieces_of_two(monkeypatch, frames)
    found = TorchEngine(native_network)(frames).expected
    assert found.shape == (shape[0], 8 * shape[2], 8 * shape[3])
    assert_close(found, expected(native_network, frames), 1e-5)


@pytest.mark.parametrize("shape", NATIVE_SHAPES)
def test_openvino_gives_the_native_networks_numbers(
    native_network: NativeNetwork,
    native_f32: OpenVinoEngine,
    shape: Shape,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = draw_frames(shape)
    pieces_of_two(monkeypatch, frames)
    assert_close(native_f32(frames).expected, expected(native_network, frames), 1e-4)


@pytest.mark.parametrize("shape", PAPER_SHAPES)
def test_openvino_gives_the_papers_numbers(
    paper_network: DeepStormNetwork,
    paper_f32: OpenVinoEngine,
    shape: Shape,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = draw_frames(shape)
    pieces_of_two(monkeypatch, frames)
    assert_close(paper_f32(frames).expected, expected(paper_network, frames), 1e-4)


def test_openvino_in_bfloat16_is_close(native_network: NativeNetwork) -> None:
    pytest.importorskip("openvino")
    frames = draw_frames((3, 3, 16, 16))
    engine = bf16_engine(native_network)
    assert engine.name == "openvino-bf16"
    wanted = expected(native_network, frames)
    assert_close(engine(frames).expected, wanted, 0.05)
    assert float(engine(frames).expected.sum()) == pytest.approx(float(wanted.sum()), rel=0.02)


def test_openvino_keeps_a_model_per_size(native_f32: OpenVinoEngine) -> None:
    frames = draw_frames((2, 3, 8, 8))
    native_f32(frames)
    known = len(native_f32._compiled)
    native_f32(frames)
    assert len(native_f32._compiled) == known
    native_f32(draw_frames((2, 3, 8, 12)))
    assert len(native_f32._compiled) == known + 1


def test_results_are_kept_when_an_engine_runs_again(
    native_network: NativeNetwork, native_f32: OpenVinoEngine
) -> None:
    # Runtimes reuse the memory of their results; what was given out must not change.
    for engine in (native_f32, TorchEngine(native_network)):
        frames = draw_frames((1, 3, 8, 8))
        first = engine(frames).expected
        copy = first.copy()
        engine(frames + 1)
        np.testing.assert_array_equal(first, copy)


def test_engines_leave_the_frames_as_they_were(
    native_network: NativeNetwork, native_f32: OpenVinoEngine
) -> None:
    for engine in (native_f32, TorchEngine(native_network)):
        frames = draw_frames((3, 3, 8, 8))
        before = frames.copy()
        engine(frames[..., ::-1, ::-1])
        np.testing.assert_array_equal(frames, before)


def test_engines_show_every_channel_to_the_network(
    native_network: NativeNetwork, native_f32: OpenVinoEngine
) -> None:
    frames = draw_frames((1, 3, 8, 8))
    for engine in (native_f32, TorchEngine(native_network)):
        images = [engine(np.roll(frames, shift, axis=1)).expected for shift in range(3)]
        for shift, image in enumerate(images):
            wanted = expected(native_network, np.roll(frames, shift, axis=1))
            assert_close(image, wanted, 1e-4)
        assert np.ptp(images, axis=0).max() > 0.01


def test_engines_take_views(native_network: NativeNetwork, native_f32: OpenVinoEngine) -> None:
    # Tiles are views of larger frames, neither contiguous nor at the beginning.
    frames = draw_frames((3, 3, 24, 24))[..., 4:12, 8:20]
    for engine in (native_f32, TorchEngine(native_network)):
        np.testing.assert_array_equal(engine(frames).expected, engine(frames.copy()).expected)


class Dropping(nn.Module):
    """A network that gives something else while it is trained."""

    upsampling, divisor, halo_px, channels = 1, 1, 0, 1

    def expected_emitters(self, frames: torch.Tensor) -> torch.Tensor:
        return frames * (2.0 if self.training else 1.0)


def test_engines_run_networks_as_for_evaluation() -> None:
    network = Dropping().train()
    frames = draw_frames((1, 1, 4, 4))
    found = TorchEngine(network)(frames).expected  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, frames[:, 0])


class Recorded:
    """Stands for an engine and tells what it was made with."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, frames: Frames) -> Prediction:
        return Prediction(frames, frames)


@pytest.fixture
def pretend_devices(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], None]:
    """Let torch say which GPUs there are, and make engines that only have a name."""

    def pretend(cuda: bool, mps: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    def torch_engine(network: Network, rendering: Rendering, device: str = "cpu") -> Engine:
        return Recorded(f"torch-{device}")

    def openvino_engine(network: Network, rendering: Rendering) -> Engine:
        return Recorded("openvino")

    monkeypatch.setattr(engines, "TorchEngine", torch_engine)
    monkeypatch.setattr(engines, "OpenVinoEngine", openvino_engine)
    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "device", "name"),
    [
        (False, False, "auto", "openvino"),
        (False, False, "cpu", "openvino"),
        (True, False, "auto", "torch-cuda"),
        (True, False, "cuda", "torch-cuda"),
        (True, False, "cpu", "openvino"),
        (False, True, "auto", "torch-mps"),
        (False, True, "mps", "torch-mps"),
        (False, True, "cpu", "openvino"),
    ],
)
def test_the_fastest_engine_is_chosen(
    native_network: NativeNetwork,
    pretend_devices: Callable[[bool, bool], None],
    cuda: bool,
    mps: bool,
    device: DeviceName,
    name: str,
) -> None:
    pretend_devices(cuda, mps)
    assert choose_engine(native_network, device=device).name == name


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda", "no CUDA device"),
        ("mps", "no Apple GPU"),
        ("gpu", "device 'gpu' is not known; choose one of auto, cpu, cuda, mps"),
    ],
)
def test_devices_that_are_not_there_are_refused(
    native_network: NativeNetwork,
    pretend_devices: Callable[[bool, bool], None],
    device: DeviceName,
    message: str,
) -> None:
    pretend_devices(False, False)
    with pytest.raises(InputError, match=message):
        choose_engine(native_network, device=device)


def test_torch_takes_over_where_openvino_cannot_be_imported(
    native_network: NativeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine = choose_engine(native_network, device="cpu")
    assert engine.name == "torch-cpu"
    frames = draw_frames((1, 3, 8, 8))
    assert_close(engine(frames).expected, expected(native_network, frames), 1e-5)


def test_openvino_renders_as_torch_does(
    native_network: NativeNetwork, native_f32: OpenVinoEngine
) -> None:
    frames = draw_frames((3, 3, 12, 16))
    wanted = TorchEngine(native_network, ConcentratedRendering())(frames)
    found = native_f32(frames)
    assert_close(found.image, wanted.image, 1e-3)
    assert float(found.image.sum()) == pytest.approx(float(found.expected.sum()), rel=1e-4)
    assert np.abs(found.image - found.expected).max() > 0.1 * found.expected.max()
