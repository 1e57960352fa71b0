"""Fixtures that tests of several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstorm.cli.app import main
from deepstorm.io.images import write_image
from deepstorm.io.tables.localizations import write_localizations
from deepstorm.structures import Localizations, histogram_image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and gives its exit code, output and messages."""

    def _run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["deepstorm", *words])
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return _run


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    emitters = Localizations(
        np.sort(rng.integers(0, 4, 200)),
        np.round(rng.uniform(0, 800, 200), 1),
        np.round(rng.uniform(0, 800, 200), 1),
    )
    write_localizations(tmp_path / "truth.csv", emitters)
    write_image(tmp_path / "image.tif", histogram_image(emitters, (64, 64), 12.5), 12.5)
    return tmp_path / "truth.csv"
