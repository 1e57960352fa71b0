"""What every method promises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.baselines.cel0 import Cel0, Cel0Settings
from deepstorm.baselines.falcon import Falcon, FalconSettings
from deepstorm.baselines.imaging import Baseline, ImagingConditions
from deepstorm.errors import InputError
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.simulation.psf import render_emitters
from deepstorm.structures import Instrument, Localizations

SHAPE = (3, 20, 28)
TRUTH = Localizations(
    frame=np.array([0, 0, 0, 2, 2]),
    x_nm=np.array([512.0, 1530.0, 2288.0, 1263.0, 2011.0]),
    y_nm=np.array([471.0, 1394.0, 655.0, 1025.0, 449.0]),
    photons=np.array([800.0, 1200.0, 700.0, 1000.0, 900.0]),
)

METHODS: dict[str, Callable[[ImagingConditions], Baseline]] = {
    "cel0": lambda conditions: Cel0(conditions, Cel0Settings(upsampling=4, penalty=0.05)),
    "falcon": lambda conditions: Falcon(conditions, FalconSettings(min_significance=6.0)),
}


@pytest.fixture(params=METHODS)
def build(request: pytest.FixtureRequest) -> Callable[[ImagingConditions], Baseline]:
    return METHODS[request.param]


@pytest.fixture
def method(
    build: Callable[[ImagingConditions], Baseline], conditions: ImagingConditions
) -> Baseline:
    return build(conditions)


@pytest.fixture
def frames() -> npt.NDArray[np.float64]:
    """Three frames with noise, the second without an emitter."""
    assert TRUTH.photons is not None
    widths = np.full(len(TRUTH), 1.1)
    x_px, y_px = TRUTH.x_nm / 100, TRUTH.y_nm / 100
    light = render_emitters(TRUTH.frame, x_px, y_px, TRUTH.photons, widths, SHAPE)
    return np.random.default_rng(5).poisson(light + 10.0).astype(np.float64)


def test_isolated_emitters_are_found_where_they_are(
    method: Baseline, frames: npt.NDArray[np.float64]
) -> None:
    found = method.localize(frames[[0, 2]])
    renumbered = Localizations(TRUTH.frame // 2, TRUTH.x_nm, TRUTH.y_nm)
    scores = score_emitters(found, renumbered, radius_nm=30.0)
    assert scores.recall == 1.0
    assert scores.precision >= 0.7


def test_photons_are_those_of_the_emitters(
    method: Baseline, frames: npt.NDArray[np.float64]
) -> None:
    found = method.localize(frames[2:])
    assert found.photons is not None
    assert TRUTH.photons is not None
    assert found.photons.sum() == pytest.approx(TRUTH.photons[3:].sum(), rel=0.15)


def test_the_camera_is_undone(
    build: Callable[[ImagingConditions], Baseline],
    method: Baseline,
    frames: npt.NDArray[np.float64],
) -> None:
    camera = ImagingConditions(Instrument(100.0, 4.0, 1.1), 100.0, 10.0)
    first, second = method.localize(frames), build(camera).localize(100 + 4 * frames)
    np.testing.assert_array_equal(second.frame, first.frame)
    np.testing.assert_allclose(second.x_nm, first.x_nm, atol=1.0)


def test_blocks_give_what_the_whole_gives(
    method: Baseline, frames: npt.NDArray[np.float64]
) -> None:
    whole = method.localize(frames)
    parts = [method.localize(frames[:1]), method.localize(frames[1:], first_frame=1)]
    joined = Localizations.concatenate(parts)
    np.testing.assert_array_equal(joined.frame, whole.frame)
    np.testing.assert_allclose(joined.x_nm, whole.x_nm, atol=0.1)
    np.testing.assert_allclose(joined.y_nm, whole.y_nm, atol=0.1)


def test_the_same_frames_give_the_same(method: Baseline, frames: npt.NDArray[np.float64]) -> None:
    first, second = method.localize(frames), method.localize(frames)
    for column, values in first.columns().items():
        np.testing.assert_array_equal(values, second.columns()[column])


def test_rows_and_columns_are_told_apart(method: Baseline, frames: npt.NDArray[np.float64]) -> None:
    upright = method.localize(frames[:1])
    turned = method.localize(np.ascontiguousarray(frames[:1].transpose(0, 2, 1)))
    np.testing.assert_allclose(np.sort(turned.x_nm), np.sort(upright.y_nm), atol=1.0)


@pytest.mark.parametrize("counts", [10.0, 0.0])
def test_no_light_gives_an_empty_table(method: Baseline, counts: float) -> None:
    """Neither at the background nor below it."""
    found = method.localize(np.full((2, 16, 16), counts))
    assert len(found) == 0
    assert set(found.columns()) >= {"frame", "x_nm", "y_nm", "photons"}


def test_no_frames_give_an_empty_table(method: Baseline) -> None:
    assert len(method.localize(np.empty((0, 16, 16)))) == 0


@pytest.mark.parametrize("frames", [np.ones((16, 16)), np.full((1, 16, 16), np.nan)])
def test_other_than_frames_is_refused(method: Baseline, frames: npt.NDArray[np.float64]) -> None:
    with pytest.raises(InputError, match=r"three axes \(frame, y, x\)"):
        method.localize(frames)
