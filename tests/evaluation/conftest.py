from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from deepstorm.structures import Localizations


@pytest.fixture(scope="session")
def microtubules_folder() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("DEEPSTORM_DATA", default)) / "fig4-microtubules"
    if not folder.is_dir():
        pytest.skip(f"reference data not found in {folder}; set DEEPSTORM_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def microtubules_truth(microtubules_folder: Path) -> Localizations:
    table = np.loadtxt(microtubules_folder / "truth.csv", delimiter=",", skiprows=1)
    return Localizations(table[:, 0].astype(np.int64) - 1, table[:, 1], table[:, 2])
