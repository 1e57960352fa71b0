"""Results of a part of a movie, scored against the truth of the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstorm.api.evaluate import evaluate
from deepstorm.errors import InputError
from deepstorm.io.images import write_image
from deepstorm.io.movies.selection import Region
from deepstorm.io.tables.localizations import write_localizations
from deepstorm.structures import Localizations, Reconstruction, histogram_image

PX_NM = 100.0


def drawn(seed: int) -> tuple[Localizations, slice, Region, Localizations]:
    """Draw a truth, a part of its movie, and the truth of that as the part counts."""
    rng = np.random.default_rng(seed)
    count = 4000
    truth = Localizations(rng.integers(0, 80, count), *rng.uniform(0, 6400, (2, count)))
    start, length = int(rng.integers(1, 40)), int(rng.integers(15, 40))
    x, y = rng.integers(1, 20, 2).tolist()
    region = Region(x, y, int(rng.integers(20, 40)), int(rng.integers(20, 40)))
    low = np.array([x, y]) * PX_NM
    high = low + np.array([region.width, region.height]) * PX_NM
    inside = (truth.frame >= start) & (truth.frame < start + length)
    for place, axis in ((truth.x_nm, 0), (truth.y_nm, 1)):
        inside &= (place >= low[axis]) & (place < high[axis])
    kept = truth.select(inside).shifted(*-low)
    part = Localizations(kept.frame - start, kept.x_nm, kept.y_nm)
    return truth, slice(start, start + length), region, part


def record(frames: slice | None, region: Region | None) -> dict[str, Any]:
    settings = {
        "pixel_size_nm": PX_NM,
        "frames": None if frames is None else [frames.start, frames.stop],
        "region": None
        if region is None
        else {k: getattr(region, k) for k in ("x", "y", "width", "height")},
    }
    return {"settings": settings}


def image_of(part: Localizations, region: Region) -> np.ndarray[Any, Any]:
    return histogram_image(part, (8 * region.height, 8 * region.width), PX_NM / 8)


@pytest.mark.parametrize("seed", range(5))
def test_the_record_beside_a_result_says_which_part_it_is(seed: int, tmp_path: Path) -> None:
    truth, frames, region, part = drawn(seed)
    write_localizations(tmp_path / "r.csv", part)
    write_image(tmp_path / "r.tif", image_of(part, region), PX_NM / 8)
    (tmp_path / "r.json").write_text(json.dumps(record(frames, region)))
    table = evaluate(tmp_path / "r.csv", truth)
    assert table.emitters is not None
    assert table.emitters.jaccard == 1
    (note,) = table.notes
    assert note.startswith(f"the record 'r.json' says that the result is of frames {frames.start}:")
    assert "of the truth, only this part counts" in note
    image = evaluate(tmp_path / "r.tif", truth)
    assert image.image is not None
    assert image.image.nmse_percent == pytest.approx(0, abs=1e-6)
    assert image.notes == table.notes
    made = Reconstruction(
        image_of(part, region), PX_NM / 8, np.zeros((1, 1)), record=record(frames, region)
    )
    assert evaluate(made, truth).image == image.image


@pytest.mark.parametrize("seed", range(5))
def test_somebody_may_name_the_part(seed: int, tmp_path: Path) -> None:
    truth, frames, region, part = drawn(seed)
    named: dict[str, Any] = {"frames": frames, "region": region, "camera_pixel_size_nm": PX_NM}
    assert evaluate(part, truth, **named).emitters.jaccard == 1  # type: ignore[union-attr]
    # A table that counts its frames as the whole movie does.
    late = Localizations(part.frame + frames.start, part.x_nm, part.y_nm)
    if late.frame.max() >= frames.stop - frames.start:
        assert evaluate(late, truth, **named).emitters.jaccard == 1  # type: ignore[union-attr]
    (tmp_path / "r.json").write_text(json.dumps(record(slice(0, 1), None)))
    write_localizations(tmp_path / "r.csv", part)
    found = evaluate(tmp_path / "r.csv", truth, frames=frames, region=region)
    assert found.emitters is not None
    assert found.emitters.jaccard == 1
    assert found.notes[0].startswith("as requested, the result is of frames")


@pytest.mark.parametrize("seed", range(4))
def test_a_part_that_nobody_names_is_told(seed: int) -> None:
    truth, frames, region, part = drawn(seed)
    frame_part = truth.select((truth.frame >= frames.start) & (truth.frame < frames.stop))
    early = Localizations(frame_part.frame - frames.start, frame_part.x_nm, frame_part.y_nm)
    notes = evaluate(early, truth).notes
    assert any("of the true emitters lie before the first or after the last" in n for n in notes)
    assert any("name it by `frames` and `region`" in note for note in notes)
    corner = Localizations(part.frame, part.x_nm, part.y_nm)
    notes = evaluate(corner, truth).notes
    assert any("outside the field that is covered by the localizations" in note for note in notes)
    notes = evaluate(image_of(part, region), truth, pixel_size_nm=PX_NM / 8).notes
    assert any("% of the true emitters lie outside the image" in note for note in notes)
    assert evaluate(truth, truth).notes == ()
    assert any("whole truth of the same movie" in note for note in evaluate(truth, early).notes)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"settings": 3}', '{"settings": {"frames": [1]}}', "[" * 99_999]
)
def test_a_record_of_something_else_says_nothing(content: str, tmp_path: Path) -> None:
    truth = drawn(0)[0]
    write_localizations(tmp_path / "r.csv", truth)
    (tmp_path / "r.json").write_text(content)
    assert evaluate(tmp_path / "r.csv", truth).notes == ()


def test_parts_that_are_none(tmp_path: Path) -> None:
    truth = drawn(0)[0]
    for frames in (slice(-5, None), slice(7, 7), slice(0, 9, 2)):
        with pytest.raises(InputError, match="no part of a movie"):
            evaluate(truth, truth, frames=frames)
    with pytest.raises(InputError, match="`camera_pixel_size_nm=100`"):
        evaluate(truth, truth, region=Region(0, 0, 9, 9))
    assert len(evaluate(truth, truth, frames=slice(70, None)).notes) > 1


@pytest.mark.parametrize("seed", range(3))
def test_frames_that_are_one_off_are_told_with_the_remedy(seed: int, tmp_path: Path) -> None:
    truth = drawn(seed)[0]
    late = truth.select(truth.frame > 0)
    write_localizations(tmp_path / "from1.csv", late)
    as_from_0 = Localizations(late.frame - 1, late.x_nm, late.y_nm)
    write_localizations(tmp_path / "from0.csv", as_from_0)
    assert evaluate(tmp_path / "from1.csv", truth).notes == ()
    for found, known, remedy in (
        ("from0.csv", "from1.csv", {"first_frame": 0}),
        ("from1.csv", "from0.csv", {"truth_first_frame": 0}),
    ):
        (note,) = evaluate(tmp_path / found, tmp_path / known).notes
        assert note.startswith("the frames seem to be one off")
        ((name, value),) = remedy.items()
        assert f"`{name}={value}`" in note
        mended = evaluate(tmp_path / found, tmp_path / known, **remedy)
        assert mended.emitters is not None
        assert mended.emitters.jaccard == 1
        assert mended.notes == ()


def test_what_rings_and_registration_leave_open() -> None:
    rng = np.random.default_rng(0)
    image = rng.poisson(1.0, (64, 64)).astype(np.float32)
    same = evaluate(image, other_half=image, pixel_size_nm=10)
    assert same.figures() == {
        "frc_resolution_nm": None,
        "frc_outcome": "finer than two pixels",
    }
    assert "share noise" in same.notes[0]
    other = evaluate(image, other_half=-image, pixel_size_nm=10)
    assert other.figures()["frc_outcome"] == "nothing in common"
    assert "are they of the same field" in other.notes[0]
    spot = Localizations(np.zeros(90_000, int), *rng.normal(400, 60, (2, 90_000)))
    displaced = histogram_image(spot.shifted(40, 0), (64, 64), 12.5)
    (note,) = evaluate(displaced, spot, pixel_size_nm=12.5).notes
    assert "nm) is the largest that was tried" in note
