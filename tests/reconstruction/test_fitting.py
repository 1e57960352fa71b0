from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.calibration.assumption import KnownValues
from deepstorm.models.card import NetworkCard
from deepstorm.models.network import Network
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.fitting import in_detected_photons
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.structures import Estimate, Instrument, Localizations

INSTRUMENT = Instrument(zero_adu=98.0, adu_per_photon=4.0, sigma_px=1.2)
LIT = Localizations(
    np.array([0]),
    np.array([1.0]),
    np.array([2.0]),
    photons=np.array([500.0]),
    background_photons=np.array([10.0]),
    uncertainty_nm=np.array([9.0]),
)


def test_without_the_gain_photons_are_effective() -> None:
    assert in_detected_photons(LIT, INSTRUMENT, KnownValues(offset_adu=100.0)) is LIT


@pytest.mark.parametrize(
    ("offset_adu", "background"),
    [
        (None, 20.0),
        (100.0, 19.0),  # of 40 counts above the zero, 2 are read noise
        (500.0, 0.0),  # an offset that cannot be
    ],
)
def test_photons_are_counts_over_counts_per_electron(
    offset_adu: float | None, background: float
) -> None:
    known = KnownValues(adu_per_electron=2.0, offset_adu=offset_adu)
    detected = in_detected_photons(LIT, INSTRUMENT, known)
    assert detected.photons.tolist() == [1000.0]
    assert detected.background_photons.tolist() == [pytest.approx(background)]
    assert detected.uncertainty_nm is LIT.uncertainty_nm


def test_a_table_without_light_stays_as_it_is() -> None:
    bare = Localizations(LIT.frame, LIT.x_nm, LIT.y_nm)
    assert in_detected_photons(bare, INSTRUMENT, KnownValues(adu_per_electron=2.0)) is bare


class Frames:
    """A movie of noise in memory."""

    def __init__(self) -> None:
        photons = np.random.default_rng(0).poisson(30, (12, 16, 16))
        self._counts = photons.astype(np.uint16)

    @property
    def shape(self) -> tuple[int, int, int]:
        return 12, 16, 16

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        return self._counts[start:stop]


def test_a_job_holds_the_calibration_and_what_it_says(
    native_network: Network, native_card: NetworkCard
) -> None:
    card = native_card.model_copy(update={"validity": {"sigma_px": (0.8, 2.2)}})
    reconstructor = Reconstructor(TrainedNetwork.of(native_network, card), "cpu")
    known = KnownValues(sigma_px=0.3, adu_per_electron=1.0)
    job = reconstructor.plan(Frames(), 120.0, known=known)
    calibration = job.fitted.calibration
    assert calibration.sigma_px == Estimate(0.3, 0.0)
    assert calibration.sigma_nm == Estimate(pytest.approx(36.0), 0.0)
    result = reconstructor.reconstruct(Frames(), 120.0, known=known)
    assert result.record["photons"] == "detected"
    assert any("'tiny' was trained for 0.8 to 2.2" in each for each in result.record["warnings"])
