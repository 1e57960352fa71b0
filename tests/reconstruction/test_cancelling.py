"""Whoever stops iterating has cancelled: no thread, file or lock is left."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.outputs import Outputs
from deepstorm.api.reconstruct import reconstruct_in_steps
from deepstorm.reconstruction import predictor, streaming

Steps = Generator[object, None, object]


def by_ceasing(steps: Steps) -> None:
    del steps


def by_closing(steps: Steps) -> None:
    steps.close()


def by_raising_in_it(steps: Steps) -> None:
    with pytest.raises(RuntimeError, match="enough"):
        steps.throw(RuntimeError("enough"))


@pytest.fixture(autouse=True)
def temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 32 * 32 * 64)
    return folder


@pytest.mark.parametrize("cancel", [by_ceasing, by_closing, by_raising_in_it])
@pytest.mark.parametrize("steps_done", [1, 3])
@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("to_files", [False, True])
def test_nothing_is_left(
    cancel: Callable[[Steps], None],
    steps_done: int,
    in_pieces: bool,
    to_files: bool,
    tmp_path: Path,
    temporary_files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if in_pieces:
        monkeypatch.setattr(predictor, "VALUES_PER_PIECE", (8 * 64) ** 2)
    size = (8, 150, 100) if in_pieces else (8, 32, 32)
    movie = np.random.default_rng(0).poisson(100, size).astype(np.uint16)
    out = tmp_path / "out"
    out.mkdir()
    outputs = Outputs.beside(out / "image.tif") if to_files else None
    threads = set(threading.enumerate())
    steps = reconstruct_in_steps(movie, outputs=outputs, pixel_size_nm=100.0, engine="torch")
    for _ in range(steps_done):
        next(steps)
    cancel(steps)
    del steps
    assert list(out.iterdir()) == []
    assert list(temporary_files.iterdir()) == []
    left = {thread for thread in threading.enumerate() if thread not in threads}
    assert {thread.name for thread in left if "ThreadPool" in thread.name} == set()
