from __future__ import annotations

import numpy as np
import pytest

from deepstorm.evaluation.coverage import better_frame_shift, shares_beyond
from deepstorm.structures import Localizations


def emitters(seed: int, *, count: int = 400, on_frames: int = 1, frames: int = 40) -> Localizations:
    """Draw emitters that stay on for some frames."""
    rng = np.random.default_rng(seed)
    first = np.repeat(rng.integers(0, frames, count), on_frames)
    frame = first + np.tile(np.arange(on_frames), count)
    x_nm, y_nm = (np.repeat(rng.uniform(0, 6400, count), on_frames) for _ in "xy")
    return Localizations(frame, x_nm, y_nm)


def found_of(truth: Localizations, seed: int, *, late_frames: int = 0) -> Localizations:
    """Find two thirds of the emitters, with errors, beside some that are none."""
    rng = np.random.default_rng(seed)
    kept = truth.select(rng.random(len(truth)) < 0.67)
    error_nm = rng.normal(0, 15, (2, len(kept)))
    moved = Localizations(
        kept.frame + late_frames, kept.x_nm + error_nm[0], kept.y_nm + error_nm[1]
    )
    return Localizations.concatenate([moved, emitters(seed + 1, count=len(kept) // 5)])


@pytest.mark.parametrize("on_frames", [1, 2, 5])
@pytest.mark.parametrize("late_frames", [-1, 0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_frames_that_are_one_off_are_found_out(seed: int, late_frames: int, on_frames: int) -> None:
    truth = emitters(seed, on_frames=on_frames)
    found = found_of(truth, seed, late_frames=late_frames)
    better = better_frame_shift(found, truth, 60.0, (1, -1))
    if late_frames == 0:
        assert better is None
    else:
        assert better is not None
        shift, there, here = better
        assert shift == -late_frames
        assert there > here


@pytest.mark.parametrize("count", [0, 1, 8])
def test_a_few_emitters_prove_nothing(count: int) -> None:
    truth = emitters(3, count=count)
    assert better_frame_shift(truth, truth, 60.0, (1, -1)) is None
    assert better_frame_shift(emitters(4, count=count), truth, 60.0, (1, -1)) is None


def test_long_tables_are_compared_by_their_first_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm.evaluation.coverage._MOST_COMPARED", 200)
    truth = emitters(5)
    better = better_frame_shift(found_of(truth, 5, late_frames=1), truth, 60.0, (1, -1))
    assert better is not None
    assert better[0] == -1
    assert better[1] < 250


@pytest.mark.parametrize("seed", range(6))
def test_what_goes_beyond_another_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = emitters(seed)
    found = found_of(truth, seed)
    assert shares_beyond(truth, found) == shares_beyond(found, truth) == {}
    first, width_nm = int(rng.integers(0, 20)), float(rng.uniform(1000, 4000))
    part = found.select((found.frame >= first) & (found.frame < first + 12))
    assert shares_beyond(truth, part).keys() == {"frames"}
    assert shares_beyond(truth, part)["frames"] == pytest.approx(0.7, abs=0.1)
    part = found.select((found.x_nm < width_nm) & (found.y_nm > 2000))
    assert shares_beyond(truth, part).keys() == {"field"}
    assert shares_beyond(part, truth) == {}
    few = truth.select(rng.permutation(len(truth))[:10])
    assert shares_beyond(truth, few) == {}
    assert shares_beyond(truth, truth.select(slice(0, 0))) == {}
