from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepstorm.models.card import NetworkCard
from deepstorm.models.native import NativeNetwork
from deepstorm.models.rendering import PlainRendering
from deepstorm.reconstruction.emitters.peaks import PeakSettings, find_peaks
from deepstorm.reconstruction.engines import stages


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.7, 1.5, 3.0]),
    st.integers(1, 9),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_maxima_lead_to_the_same_peaks(
    height: int, width: int, smoothing: float, reach: int, seed: int
) -> None:
    peaks = PeakSettings(smoothing_px=smoothing, reach_px=reach, min_confidence=0.05)
    drawn = np.random.default_rng(seed).random((2, height, width)) ** 8
    images = drawn.astype(np.float32)
    marks = stages.Maxima(peaks)(torch.from_numpy(images[:, None]))[:, 0].numpy()
    here, there = (
        find_peaks(images, 1.0, settings=peaks, maxima=known)
        for known in (marks.astype(bool), None)
    )
    assert len(here) == len(there)
    for name, column in here.columns().items():
        np.testing.assert_allclose(column, there.columns()[name], rtol=1e-9)


def test_stages_that_do_nothing_are_left_out(network: NativeNetwork, card: NetworkCard) -> None:
    peaks = PeakSettings()
    assert set(stages.modules(network, card.rendering, peaks)) == {
        "network",
        "rendering",
        "maxima",
        "scores",
        "sharing",
    }
    refiner, network.refiner = network.refiner, None
    try:
        assert set(stages.modules(network, PlainRendering(), peaks)) == {"network", "maxima"}
    finally:
        network.refiner = refiner


class Dropping(torch.nn.Module):
    """A network that gives something else while it is trained."""

    refiner = None

    def expected_emitters(self, frames: torch.Tensor) -> torch.Tensor:
        return frames * (2.0 if self.training else 1.0)


def test_stages_run_as_for_evaluation() -> None:
    network = Dropping().train()
    parts = stages.modules(network, PlainRendering(), PeakSettings())  # type: ignore[arg-type]
    frames = torch.rand(1, 1, 4, 4)
    assert torch.equal(parts["network"](frames), frames)


def test_a_plateau_of_the_expectation_is_one_maximum_or_touching_ones() -> None:
    image = np.zeros((1, 20, 20), np.float32)
    image[0, 8:10, 9:11] = 0.25
    marks = stages.Maxima(PeakSettings())(torch.from_numpy(image[:, None]))[:, 0].numpy()
    found = find_peaks(image, 1.0, maxima=marks.astype(bool))
    assert len(found) == 1
    assert found.y_nm[0] == pytest.approx(9)
    assert found.x_nm[0] == pytest.approx(10)
