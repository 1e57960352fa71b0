from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.models.checkpoint import NetworkCard
from deepstorm.models.network_file import NetworkFile

openvino = pytest.importorskip("openvino")
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
    file: NetworkFile, card: NetworkCard, draw_frames: Draw, compiled: list[tuple[int, ...]]
) -> None:
    engine = OpenVinoEngine(file, card)
    assert compiled == []
    for count in (9, 1, 4):
        engine(draw_frames(count, 3, 32, 32), maxima_within=(31, 32))
    assert compiled == [(4, 3, 32, 32), (4, 1, 256, 256), (4, 1, 256, 256)]
    engine(draw_frames(1, 3, 32, 64))
    assert compiled[3:] == [(2, 3, 32, 64), (2, 1, 256, 512)]


def test_only_the_network_itself_is_less_exact(
    file: NetworkFile, card: NetworkCard, monkeypatch: pytest.MonkeyPatch, draw_frames: Draw
) -> None:
    asked = []

    class Core(openvino.Core):  # type: ignore[name-defined, misc]
        def compile_model(self, model: Any, device: str, settings: dict[str, str]) -> Any:
            asked.append(settings["INFERENCE_PRECISION_HINT"])
            return super().compile_model(model, device, settings)

    monkeypatch.setattr(openvino, "Core", Core)
    engine = OpenVinoEngine(file, card, "bf16")
    engine(draw_frames(1, 3, 8, 8), maxima_within=(8, 8))
    engine.refine(np.ones((3, 16, 16), np.float32))
    assert asked == ["bf16", "f32", "f32", "f32"]
    assert engine.name == "openvino-bf16"


def test_the_precision_is_what_the_processor_is_fast_at(
    file: NetworkFile, card: NetworkCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for capable, precision in ((["FP32", "BF16"], "bf16"), (["FP32"], "f32")):

        class Core(openvino.Core):  # type: ignore[name-defined, misc]
            def get_property(self, *_: str, found: list[str] = capable) -> list[str]:
                return found

        monkeypatch.setattr(openvino, "Core", Core)
        assert OpenVinoEngine(file, card).name == f"openvino-{precision}"
