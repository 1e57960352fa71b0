from __future__ import annotations

import threading

import numpy as np
import pytest

from deepstorm.models.scaling import PhotonScaling
from deepstorm.training.course.ahead import ExamplesAhead
from deepstorm.training.examples.protocol import TRAINING, VALIDATION, Batch
from deepstorm.training.examples.simulated import SimulatedExamples

SOURCE = SimulatedExamples(patch_px=8, scenes=1, frames_per_scene=1).prepare(PhotonScaling(), 2, 0)


@pytest.mark.parametrize(("step", "stream"), [(0, TRAINING), (7, TRAINING), (0, VALIDATION)])
def test_batches_are_the_sources(step: int, stream: int) -> None:
    ahead = ExamplesAhead(SOURCE)
    for _ in range(2):  # in order, again, and out of order
        for one in (step, step + 1, step + 5):
            found, expected = ahead.batch(one, stream), SOURCE.batch(one, stream)
            np.testing.assert_array_equal(found.frames, expected.frames)
            np.testing.assert_array_equal(found.spikes, expected.spikes)


class Watched:
    """Tells which thread makes a batch; its third one fails."""

    scaling = SOURCE.scaling

    def __init__(self) -> None:
        self.threads: dict[int, int] = {}

    def validity(self) -> dict[str, tuple[float, float]]:
        return {}

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        self.threads[step] = threading.get_ident()
        if step == 2:
            raise OSError
        return SOURCE.batch(step, stream)


def test_the_next_batch_is_made_in_the_background_and_its_failure_is_seen_in_its_turn() -> None:
    source = Watched()
    ahead = ExamplesAhead(source)
    ahead.batch(0)
    ahead.batch(1)
    assert threading.get_ident() not in source.threads.values()
    with pytest.raises(OSError):  # noqa: PT011
        ahead.batch(2)
