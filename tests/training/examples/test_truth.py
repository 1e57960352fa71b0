from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepstorm.structures import Localizations
from deepstorm.training.examples.truth import RegionTruth, spike_images

SIDE_PX, UPSAMPLING, PIXEL_NM = 6, 4, 100.0


def test_spike_images_count_emitters_in_their_pixel() -> None:
    table = Localizations(
        frame=np.array([0, 0, 1, 1, 1, 2, -1]),
        x_nm=np.array([0.0, 9.99, 35.0, 35.0, 40.0, 5.0, 5.0]),
        y_nm=np.array([0.0, 10.0, 29.9, 29.9, 5.0, -0.1, 5.0]),
    )
    spikes = spike_images(table, (2, 3, 4), 10.0)
    expected = np.zeros((2, 3, 4), np.float32)
    expected[0, 0, 0] = expected[0, 1, 0] = 1
    expected[1, 2, 3] = 2
    np.testing.assert_array_equal(spikes, expected)
    assert spikes.dtype == np.float32


def test_spike_images_of_nothing_are_empty() -> None:
    nothing = Localizations.concatenate([])
    assert spike_images(nothing, (2, 4, 4), 10.0).tolist() == np.zeros((2, 4, 4)).tolist()


@given(st.integers(0, 2**32), st.integers(0, 2), st.integers(0, 6), st.integers(0, 9))
def test_a_regions_truth_is_cut_out_of_its_frames(
    seed: int, frame: int, top: int, left: int
) -> None:
    rng = np.random.default_rng(seed)
    y_nm, x_nm = rng.uniform(-100, 1700, (2, 200))
    emitters = Localizations(frame=rng.integers(-1, 4, 200), x_nm=x_nm, y_nm=y_nm)
    whole = spike_images(emitters, (3, 12 * UPSAMPLING, 15 * UPSAMPLING), PIXEL_NM / UPSAMPLING)
    truth = RegionTruth(emitters, PIXEL_NM, UPSAMPLING, SIDE_PX)
    found = truth.spikes(truth.pixels(np.array([frame, top, left])))
    y, x, side = top * UPSAMPLING, left * UPSAMPLING, SIDE_PX * UPSAMPLING
    np.testing.assert_array_equal(found, whole[frame, y : y + side, x : x + side])


def test_a_frame_without_emitters_has_an_empty_truth() -> None:
    truth = RegionTruth(Localizations.concatenate([]), PIXEL_NM, UPSAMPLING, SIDE_PX)
    assert truth.pixels(np.array([5, 0, 0])).shape == (0, 2)
    assert not truth.spikes(truth.pixels(np.array([5, 0, 0]))).any()
