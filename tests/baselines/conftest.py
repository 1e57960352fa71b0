from __future__ import annotations

import pytest

from deepstorm.baselines.imaging import ImagingConditions
from deepstorm.structures import Instrument

SIGMA_PX = 1.1
PIXEL_NM = 100.0


@pytest.fixture
def conditions() -> ImagingConditions:
    """An ideal camera: one count per photon, and no offset but the background."""
    return ImagingConditions(Instrument(0.0, 1.0, SIGMA_PX), PIXEL_NM, background_photons=10.0)
