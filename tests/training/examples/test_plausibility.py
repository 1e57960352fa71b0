from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from deepstorm.errors import InputError
from deepstorm.models.scaling import PhotonScaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.scenes import FilamentScene, Scene, UniformScene
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations
from deepstorm.training.examples.plausibility import alone, check_positions, check_sparse, within
from deepstorm.training.examples.regions import KnownFrames, RegionExamples

PIXEL_NM = 100.0
WIDTH_PX, HEIGHT_PX = 60, 48
Frames = npt.NDArray[np.uint16]


def movie(
    density: float = 0.2, scene: Scene | None = None, seed: int = 0
) -> tuple[Frames, Localizations]:
    settings = SimulationSettings(
        frames=20,
        height_px=HEIGHT_PX,
        width_px=WIDTH_PX,
        density_per_um2=density,
        scene=scene or UniformScene(),
        brightness=Brightness(mean_photons=2000.0),
    )
    made = simulate_movie(settings, np.random.default_rng(seed))
    return np.concatenate(list(made.frames())), made.truth


SPARSE = movie()
DENSE = movie(6.0)
FILAMENTS = movie(5.0, FilamentScene())
CASES = pytest.mark.parametrize(
    "case", [SPARSE, DENSE, FILAMENTS], ids=["sparse", "dense", "lines"]
)


@CASES
def test_a_table_that_belongs_to_the_frames_passes(case: tuple[Frames, Localizations]) -> None:
    check_positions(*case, PIXEL_NM)


@pytest.mark.parametrize("seed", range(1, 9))
def test_few_emitters_are_enough(seed: int) -> None:
    frames, emitters = movie(0.05, seed=seed)
    check_positions(frames, emitters.select(slice(0, 12)), PIXEL_NM)


Spoil = Callable[[Localizations], Localizations]


@CASES
@pytest.mark.parametrize(
    ("words", "spoil"),
    [
        ("x and y were swapped", lambda t: replace(t, x_nm=t.y_nm, y_nm=t.x_nm)),
        ("each frame number were one less", lambda t: replace(t, frame=t.frame + 1)),
        ("each frame number were one more", lambda t: replace(t, frame=t.frame - 1)),
        ("from the right", lambda t: replace(t, x_nm=WIDTH_PX * PIXEL_NM - t.x_nm)),
        ("from the bottom", lambda t: replace(t, y_nm=HEIGHT_PX * PIXEL_NM - t.y_nm)),
    ],
)
def test_what_is_wrong_is_named(
    case: tuple[Frames, Localizations], words: str, spoil: Spoil
) -> None:
    frames, emitters = case
    with pytest.raises(InputError, match=words):
        check_positions(frames, spoil(emitters), PIXEL_NM)


@CASES
def test_the_right_pixel_size_is_named(case: tuple[Frames, Localizations]) -> None:
    with pytest.raises(InputError, match=r"the pixel size were (99|100|101|99\.\d) nm"):
        check_positions(*case, 160.0)


@CASES
@pytest.mark.parametrize("shift", [(50.0, 50.0), (-50.0, 0.0), (-200.0, 100.0)])
def test_a_shift_is_measured(
    case: tuple[Frames, Localizations], shift: tuple[float, float]
) -> None:
    frames, emitters = case
    with pytest.raises(InputError, match="they fit best when x is changed by") as caught:
        check_positions(frames, emitters.shifted(*shift), PIXEL_NM)
    words = str(caught.value).split()
    dx = float(words[words.index("x") + 4])
    dy = float(words[words.index("y") + 2])
    assert dx == pytest.approx(-shift[0] / PIXEL_NM, abs=0.1)
    assert dy == pytest.approx(-shift[1] / PIXEL_NM, abs=0.1)


@pytest.mark.parametrize("density", [0.2, 6.0])
def test_a_table_of_another_movie_is_refused(density: float) -> None:
    frames, _ = movie(density)
    with pytest.raises(InputError, match="do not belong to the frames"):
        check_positions(frames, movie(density, seed=1)[1], PIXEL_NM)


@pytest.mark.parametrize("moved", [-200, 1000])
def test_a_table_of_other_frames_is_refused(moved: int) -> None:
    frames, emitters = SPARSE
    other = replace(emitters, frame=emitters.frame + moved)
    words = rf"of frames {moved:,} to .* frames 0 to 19: 0 of {len(emitters):,} positions lie in"
    with pytest.raises(InputError, match=words):
        check_positions(frames, other, PIXEL_NM)


def test_frames_with_most_emitters_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """One early emitter tells nothing of a table whose others come much later."""
    frames, emitters = SPARSE
    monkeypatch.setattr(
        "deepstorm.training.examples.plausibility.MOST_PIXELS", 5 * HEIGHT_PX * WIDTH_PX
    )
    late = emitters.select((emitters.frame == 0) | (emitters.frame > 12))
    check_positions(frames, late, PIXEL_NM)
    mirrored = replace(late, x_nm=WIDTH_PX * PIXEL_NM - late.x_nm)
    with pytest.raises(InputError, match="counted from the right"):
        check_positions(frames, mirrored, PIXEL_NM)


@pytest.mark.parametrize("factor", [1 / PIXEL_NM, 1e-3, 1e3])
def test_another_unit_is_refused(factor: float) -> None:
    frames, emitters = SPARSE
    other = replace(emitters, x_nm=emitters.x_nm * factor, y_nm=emitters.y_nm * factor)
    with pytest.raises(InputError, match="check the pixel size and the unit"):
        check_positions(frames, other, PIXEL_NM)


def test_frames_of_noise_are_refused() -> None:
    noise = np.random.default_rng(0).normal(100, 5, SPARSE[0].shape)
    with pytest.raises(InputError, match="do not belong to the frames"):
        check_positions(noise, SPARSE[1], PIXEL_NM)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.full((3, 9, 9), 7), "the frames are empty: all their pixels are 7"),
        (np.full((3, 9, 9), np.nan), "not finite"),
        (np.zeros((9, 9)), r"expected three axes \(frame, y, x\)"),
        (np.zeros((0, 9, 9)), "none of them empty"),
    ],
)
def test_empty_frames_are_refused(frames: npt.NDArray[np.float64], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_positions(frames, SPARSE[1], PIXEL_NM)


def test_positions_that_are_no_numbers_are_refused() -> None:
    frames, emitters = SPARSE
    broken = replace(emitters, x_nm=np.where(np.arange(len(emitters)) == 3, np.nan, emitters.x_nm))
    with pytest.raises(InputError, match="positions that are not finite"):
        check_positions(frames, broken, PIXEL_NM)


def test_dense_frames_are_not_sparse() -> None:
    with pytest.raises(InputError, match=r"only \d+ % of the emitters are isolated"):
        check_sparse(DENSE[1], PIXEL_NM, 1.1)
    check_sparse(SPARSE[1], PIXEL_NM, 1.1)


def test_nine_emitters_are_too_few() -> None:
    with pytest.raises(InputError, match="hold 9 usable emitters; at least 10 are needed"):
        check_sparse(SPARSE[1].select(slice(0, 9)), PIXEL_NM, 1.1)
    check_sparse(SPARSE[1].select(slice(0, 10)), PIXEL_NM, 1.1)


def test_emitters_of_other_frames_are_not_near() -> None:
    table = Localizations(np.array([0, 1, 1, 2]), np.array([0.0, 0, 90, 0]), np.zeros(4))
    assert alone(table, 100.0).tolist() == [True, False, False, True]
    assert alone(table, 80.0).tolist() == [True] * 4


def test_what_lies_within() -> None:
    x, y = np.array([0.0, -0.1, 299.9, 300, 5, 5]), np.array([0.0, 5, 199.9, 5, 200, 5])
    table = Localizations(np.array([0, 0, 1, 1, 1, 2]), x, y)
    assert within(table, (2, 2, 3), PIXEL_NM).tolist() == [True, False, True, False, False, False]


def test_regions_of_given_frames_are_checked() -> None:
    examples = RegionExamples(region_px=12, regions_per_frame=5, min_emitters=1, batch_size=4)
    frames, emitters = DENSE
    examples.prepare(PhotonScaling(), 4, 0, KnownFrames(frames, emitters, PIXEL_NM))
    swapped = KnownFrames(frames, replace(emitters, frame=emitters.frame + 1), PIXEL_NM)
    with pytest.raises(InputError, match="each frame number were one less"):
        examples.prepare(PhotonScaling(), 4, 0, swapped)
