from __future__ import annotations

import numpy as np
import pytest

from deepstorm.reports.training_record import compared
from deepstorm.training.examples.protocol import Batch

UPSAMPLING = 4


def batch(emitters: int = 5) -> Batch:
    rng = np.random.default_rng(3)
    spikes = np.zeros((4, 1, 64, 64), np.float32)
    for image in spikes[:, 0]:  # at least 9 pixels apart: each a peak of its own
        places = 9 * np.stack(np.divmod(rng.choice(36, emitters, replace=False), 6)) + 5
        image[tuple(places)] = 1
    return Batch(rng.normal(size=(4, 3, 16, 16)).astype(np.float32), spikes)


def test_a_perfect_network_has_perfect_scores() -> None:
    examples = batch()
    found = compared(examples, examples.spikes, UPSAMPLING)
    assert found.scores is not None
    assert found.scores["Jaccard index"] == found.scores["recall"] == 1
    assert found.scores["error of positions, camera pixels"] == pytest.approx(0, abs=1e-9)
    assert found.scores["NMSE of single frames, blurred as below, %"] == pytest.approx(0, abs=1e-6)
    assert found.scores["expected emitters"] == found.scores["true emitters"] == 20
    assert len(found.examples) == 3


def test_a_shift_of_one_image_pixel_is_seen() -> None:
    examples = batch()
    shifted = np.roll(examples.spikes, 1, axis=3)
    scores = compared(examples, shifted, UPSAMPLING).scores
    assert scores is not None
    assert scores["error of positions, camera pixels"] == pytest.approx(1 / UPSAMPLING)


def test_nothing_found_and_nothing_there() -> None:
    examples = batch()
    blank = np.zeros_like(examples.spikes)
    scores = compared(examples, blank, UPSAMPLING).scores
    assert scores is not None
    assert (scores["Jaccard index"], scores["error of positions, camera pixels"]) == (0, "none")
    empty = compared(Batch(examples.frames, blank), blank, UPSAMPLING).scores
    assert empty is not None
    assert empty["NMSE of single frames, blurred as below, %"] == "none"
