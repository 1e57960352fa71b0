from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.errors import InputError
from deepstorm.models.card import NetworkCard
from deepstorm.models.native import NativeNetwork
from deepstorm.models.trained_network import TrainedNetwork

openvino = pytest.importorskip("openvino")
from deepstorm.reconstruction.engines import openvino_engine  # noqa: E402
from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine  # noqa: E402

Draw = Callable[..., npt.NDArray[np.float32]]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The input shapes for which something was compiled."""
    shapes: list[tuple[int, ...]] = []

    class Core(openvino.Core):  # type: ignore[name-defined, misc]
        def compile_model(self, model: Any, *others: Any) -> Any:
            shapes.append(tuple(model.input(0).shape))
            return super().compile_model(model, *others)

    monkeypatch.setattr(openvino, "Core", Core)
    return shapes


def test_nothing_is_compiled_again_for_fewer_frames(
    file: TrainedNetwork, draw_frames: Draw, compiled: list[tuple[int, ...]]
) -> None:
    engine = OpenVinoEngine(file)
    assert compiled == []
    for count in (9, 1, 4):
        engine(draw_frames(count, 3, 32, 32), maxima_within=(31, 32))
    assert compiled == [(4, 3, 32, 32), (4, 1, 256, 256), (4, 1, 256, 256)]
    engine(draw_frames(1, 3, 32, 64))
    assert compiled[3:] == [(2, 3, 32, 64), (2, 1, 256, 512)]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Let the processor be capable of something, and tell in which precision parts are compiled."""

    def set_up(*capable: str) -> list[str]:
        asked: list[str] = []

        class Core(openvino.Core):  # type: ignore[name-defined, misc]
            def get_property(self, *_: str) -> tuple[str, ...]:
                return capable

            def compile_model(self, model: Any, device: str, settings: dict[str, str]) -> Any:
                asked.append(settings["INFERENCE_PRECISION_HINT"])
                return super().compile_model(model, device, settings | {HINT: "f32"})

        monkeypatch.setattr(openvino, "Core", Core)
        return asked

    return set_up


HINT = "INFERENCE_PRECISION_HINT"


@pytest.mark.parametrize(
    ("capable", "precision", "floating"),
    [
        (["FP32", "BF16", "INT8"], None, "bf16"),
        (["FP32", "INT8"], None, "f32"),
        (["FP32", "BF16", "INT8"], "int8", "bf16"),
        (["FP32", "BF16", "INT8"], "bf16", "bf16"),
        (["FP32", "BF16", "INT8"], "f32", "f32"),
    ],
)
def test_only_networks_are_less_exact(
    file: TrainedNetwork,
    pretend: Callable[..., list[str]],
    draw_frames: Draw,
    capable: list[str],
    precision: str | None,
    floating: str,
) -> None:
    asked = pretend(*capable)
    engine = OpenVinoEngine(file, precision)
    engine(draw_frames(1, 3, 8, 8), maxima_within=(8, 8))
    engine.refine(np.ones((3, 16, 16), np.float32))
    assert asked == [floating, "f32", "f32", floating, "f32"]


@pytest.mark.parametrize(
    ("capable", "machine", "has_ranges", "precision"),
    [
        (["FP32", "BF16", "INT8"], "x86_64", True, "bf16"),  # no slower, and more exact
        (["FP32", "INT8"], "AMD64", True, "int8"),
        (["FP32", "INT8"], "x86_64", False, "f32"),
        (["FP32", "INT8"], "arm64", True, "f32"),  # where nobody has measured it
        (["FP32", "BF16"], "x86_64", True, "bf16"),
        (["FP32"], "x86_64", True, "f32"),
    ],
)
def test_the_precision_is_what_the_processor_is_fast_at(
    network: NativeNetwork,
    card: NetworkCard,
    pretend: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capable: list[str],
    machine: str,
    has_ranges: bool,
    precision: str,
) -> None:
    pretend(*capable)
    monkeypatch.setattr(openvino_engine, "converted", lambda *_: {})
    monkeypatch.setattr("platform.machine", lambda: machine)
    known = card if has_ranges else card.model_copy(update={"activation_ranges": ()})
    assert OpenVinoEngine(TrainedNetwork.of(network, known)).name == f"openvino-{precision}"


def test_8_bits_need_ranges(network: NativeNetwork, card: NetworkCard) -> None:
    without = card.model_copy(update={"activation_ranges": ()})
    with pytest.raises(InputError, match="'tiny' has no ranges by which to compute in 8 bits"):
        OpenVinoEngine(TrainedNetwork.of(network, without), "int8")


def test_8_bits_and_floating_point_are_kept_apart(file: TrainedNetwork, draw_frames: Draw) -> None:
    frames = draw_frames(1, 3, 16, 16)
    exact, reduced = (
        [OpenVinoEngine(file, precision)(frames).expected for _ in range(2)]
        for precision in ("f32", "int8")
    )
    np.testing.assert_array_equal(*exact)
    np.testing.assert_array_equal(*reduced)
    assert np.abs(exact[0] - reduced[0]).max() > 1e-3


def test_nobody_is_told_of_a_conversion(
    trained: TrainedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = pytest.importorskip("openvino_telemetry")

    def tell(*_: object, **__: object) -> None:
        raise AssertionError("usage was about to be sent")

    monkeypatch.setattr(telemetry.Telemetry, "init", tell)
    monkeypatch.setattr(telemetry.Telemetry, "send_event", tell)
    OpenVinoEngine(trained)


def test_nobody_is_told_of_a_reconstruction(tmp_path: Path) -> None:
    """OpenVINO tells Google of each import, unless it finds no telemetry to do it with."""
    pytest.importorskip("openvino_telemetry")
    script = (
        "import sys\n"
        "from deepstorm.models.zoo import open_network\n"
        "from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine\n"
        "OpenVinoEngine(open_network())\n"
        "print([name for name in sys.modules if name.startswith('openvino_telemetry')])\n"
        "import openvino_telemetry\n"  # whoever wants it finds it afterwards
    )
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | home,
    )
    assert said.stdout.split("\n")[0] == "[]"
    assert not (tmp_path / "intel").exists()  # where it keeps the number that it gives the user
