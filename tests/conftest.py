"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from deepstorm.structures import Localizations

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def _in_the_foreground() -> None:
    """Let signals end programs, which a shell or nohup switches off in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of published movies; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("DEEPSTORM_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the reference data are not in {folder}; set DEEPSTORM_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def microtubules_folder(reference_data: Path) -> Path:
    """The movie of the paper's Fig. 4, its truth and the paper's reconstruction."""
    return reference_data / "fig4-microtubules"


@pytest.fixture(scope="session")
def microtubules_truth(microtubules_folder: Path) -> Localizations:
    """The true emitters of the paper's Fig. 4."""
    table = np.loadtxt(microtubules_folder / "truth.csv", delimiter=",", skiprows=1)
    return Localizations(table[:, 0].astype(int) - 1, table[:, 1], table[:, 2])
