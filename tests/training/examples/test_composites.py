from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deepstorm.errors import InputError
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import ScmosCamera, digitise
from deepstorm.simulation.psf import GaussianPsf, render_emitters
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Instrument, Localizations
from deepstorm.training.examples.composites import CompositeExamples, CompositeSource, blended
from deepstorm.training.examples.protocol import TRAINING, VALIDATION
from deepstorm.training.examples.sparse_frames import SparseFrames, prepare_material
from deepstorm.training.examples.spots import orientation, oriented_places
from deepstorm.training.network import TrainingSettings

PIXEL_NM = 110.0
SIDE = 20
READ_NOISE = 20.0
CAMERA = ScmosCamera(
    read_noise_e=READ_NOISE, read_noise_spread=0.0, gain_spread=0.0, offset_spread_adu=0.0
)
SMALL = CompositeExamples(region_px=SIDE, batch_size=6)


@cache
def sparse(density: float = 0.25, seed: int = 0, frames: int = 24) -> SparseFrames:
    """Quantum dots as in the paper, of 2500 photons; 42 × 50 pixels."""
    made = SimulationSettings(
        frames=frames,
        height_px=42,
        width_px=50,
        pixel_size_nm=PIXEL_NM,
        density_per_um2=density,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=2500.0, relative_spread=0.2),
        background=Background(mean_photons=5.0),
        psf=GaussianPsf(sigma_nm=PIXEL_NM, relative_spread=0.0),
        camera=CAMERA,
    )
    movie = simulate_movie(made, np.random.default_rng(seed))
    zero_adu, adu_per_photon = CAMERA.noise_line()
    instrument = Instrument(zero_adu, adu_per_photon, 1.0)
    return SparseFrames(np.concatenate(list(movie.frames())), movie.truth, PIXEL_NM, instrument)


@cache
def source(examples: CompositeExamples = SMALL, seed: int = 0) -> CompositeSource:
    return examples.prepare(PhotonScaling(), 8, seed, sparse())


def changed(**settings: object) -> CompositeExamples:
    return CompositeExamples.model_validate(SMALL.model_dump() | settings)


def test_a_batch_has_the_shapes_that_it_says() -> None:
    made = source().batch(0)
    assert made.frames.shape == (6, 3, SIDE, SIDE)
    assert made.spikes.shape == (6, 1, 8 * SIDE, 8 * SIDE)
    assert made.frames.dtype == made.spikes.dtype == np.float32
    assert np.isfinite(made.frames).all()


def test_seed_stream_and_step_decide_a_batch() -> None:
    first, second = source(), SMALL.prepare(PhotonScaling(), 8, 0, sparse())
    second.batch(9)
    other = SMALL.prepare(PhotonScaling(), 8, 1, sparse())
    for stream in (TRAINING, VALIDATION):
        np.testing.assert_array_equal(first.batch(3, stream).frames, second.batch(3, stream).frames)
        np.testing.assert_array_equal(first.batch(3, stream).spikes, second.batch(3, stream).spikes)
        assert not np.array_equal(first.batch(3, stream).frames, other.batch(3, stream).frames)
    assert not np.array_equal(first.batch(3).frames, first.batch(4).frames)
    assert not np.array_equal(first.batch(3).frames, first.batch(3, VALIDATION).frames)


def test_no_frame_is_on_both_sides() -> None:
    made = source()
    pools = [(pool.first, pool.others) for pool in (made.training, made.validation)]
    training, validation = ({*a[:, 0].tolist(), *b[:, 0].tolist()} for a, b in pools)
    assert not training & validation
    assert len(validation) == 6


def test_the_field_can_be_divided_instead() -> None:
    made = source(changed(split="field", validation_fraction=0.4))
    training = np.concatenate([made.training.first, made.training.others])
    validation = np.concatenate([made.validation.first, made.validation.others])
    end, start = training[:, 2].max() + SIDE, validation[:, 2].min()
    assert validation[:, 2].max() == 50 - SIDE
    x_px, radius_px = made.material.emitters.x_nm / PIXEL_NM, made.material.radius_px
    assert not ((x_px - radius_px < end) & (x_px + radius_px > start)).any()
    assert len(set(validation[:, 0].tolist()) & set(training[:, 0].tolist())) > 20


def test_a_fixed_set_is_seen_again() -> None:
    made = source(changed(training_examples=9))
    numbers = [counts for step in range(3) for counts in made.composites(step)]
    for k in range(9):
        np.testing.assert_array_equal(numbers[k].counts, numbers[k + 9].counts)
    endless = source().composites(0) + source().composites(1) + source().composites(2)
    assert len({each.counts.tobytes() for each in endless}) == 18


@given(st.integers(1, 12), st.integers(0, 7), st.data())
def test_places_turn_with_the_image(side: int, turn: int, data: st.DataObject) -> None:
    row, column = (data.draw(st.integers(0, side - 1)) for _ in range(2))
    image = np.zeros((side, side))
    image[row, column] = 1
    place = oriented_places(np.array([[row, column]]), side, turn)
    np.testing.assert_array_equal(place, np.argwhere(orientation(image, turn)))


def test_there_are_eight_orientations() -> None:
    image = np.arange(9).reshape(3, 3)
    assert len({orientation(image, turn).tobytes() for turn in range(8)}) == 8


def single_emitters(x_px: float, y_px: float) -> SparseFrames:
    """Bright emitters, one per frame, all but the first frame's where they disturb nothing."""
    x, y = np.full(16, 30.3), np.full(16, 28.6) + np.arange(16) % 3
    x[0], y[0] = x_px, y_px
    frame = np.arange(16)
    light = render_emitters(frame, x, y, np.full(16, 5e4), np.ones(16), (16, 42, 42))
    frames = CAMERA.expose(light + 5, np.random.default_rng(0))
    zero_adu, adu_per_photon = CAMERA.noise_line()
    table = Localizations(frame, x * PIXEL_NM, y * PIXEL_NM)
    return SparseFrames(frames, table, PIXEL_NM, Instrument(zero_adu, adu_per_photon, 1.0))


@settings(deadline=None, max_examples=6)
@given(st.floats(8, 19), st.floats(8, 19))
def test_an_emitter_lands_where_its_light_lands(x_px: float, y_px: float) -> None:
    made = SMALL.prepare(PhotonScaling(), 8, 0, single_emitters(x_px, y_px))
    offset = np.arange(SIDE) + 0.5
    for turn in range(8):
        composite = made.combined(np.array([[0, 4, 3]]), np.array([turn]))
        light = composite.counts - np.median(composite.counts)
        light[light < 0.02 * light.max()] = 0
        centroid = np.array([light.sum(1) @ offset, light.sum(0) @ offset]) / light.sum()
        expected = np.array([y_px - 4, x_px - 3])
        expected = expected[::-1] if turn % 2 else expected
        mirrored = {0: "", 1: "y", 2: "yx", 3: "x", 4: "x", 5: "yx", 6: "y", 7: ""}[turn]
        for axis, name in enumerate("yx"):
            expected[axis] = SIDE - expected[axis] if name in mirrored else expected[axis]
        np.testing.assert_allclose(centroid, expected, atol=0.1)
        np.testing.assert_array_equal(
            np.abs(composite.places[0] + 0.5 - 8 * expected) <= 0.501, True
        )


def test_emitters_and_light_add_up() -> None:
    made = source(changed(turning="never"))
    corners = made.training.others[[5, 500, 900]]
    turns = np.zeros(3, int)
    places = made.combined(corners, turns).places
    one_by_one = [made.combined(corner[None], turns[:1]).places for corner in corners]
    np.testing.assert_array_equal(places, np.concatenate(one_by_one))
    emitters = made.material.emitters
    for (frame, top, left), found in zip(corners, one_by_one, strict=True):
        here = emitters.select(emitters.frame == frame)
        row = np.floor(here.y_nm / PIXEL_NM * 8).astype(int) - 8 * top
        column = np.floor(here.x_nm / PIXEL_NM * 8).astype(int) - 8 * left
        inside = (row >= 0) & (row < 8 * SIDE) & (column >= 0) & (column < 8 * SIDE)
        expected = np.column_stack([row, column])[inside]
        assert sorted(found.tolist()) == sorted(expected.tolist())


def test_a_blend_has_the_noise_of_one_background() -> None:
    rng = np.random.default_rng(0)
    weight = np.zeros((8, 400, 60), np.float32)
    weight[0, :, :10] = 1  # a spot of the first region
    weight[1, :, 10:20] = 1  # of another one
    weight[1, :, 20:30] = 0.5  # the border of one
    weight[1:4, :, 30:40] = 1  # three spots
    weight[:2, :, 40:50] = 1  # a spot of the first under another one
    total, variance = blended(rng.normal(size=weight.shape).astype(np.float32), weight)
    columns = slice(None, None, 10)
    np.testing.assert_allclose(variance[0, columns], [1, 1, 1, 3, 2, 1])
    measured = total.reshape(400, 6, 10).var(axis=(0, 2))
    np.testing.assert_allclose(measured, [1, 1, 1, 3, 2, 1], rtol=0.1)


def dense_twin(
    made: CompositeSource, corners: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Expose the usable emitters of regions at once; return the counts and the emitters' light."""
    known = made.material
    x, y, photons = [], [], []
    for frame, top, left in corners:
        here = known.emitters.select(known.emitters.frame == frame)
        x.append(here.x_nm / PIXEL_NM - left)
        y.append(here.y_nm / PIXEL_NM - top)
        photons.append(here.columns()["photons"])
    n = sum(map(len, x))
    light = render_emitters(
        np.zeros(n, int), *map(np.concatenate, (x, y, photons)), np.ones(n), (1, SIDE, SIDE)
    )
    return digitise(CAMERA.expose(light + 5.0, rng))[0].astype(float), light[0]


def test_composites_are_like_dense_frames() -> None:
    made = source(changed(turning="never"))
    rng = np.random.default_rng(4)
    difference, noise, lights = [], [], []
    for _ in range(100):
        first = made.training.first[rng.integers(len(made.training.first))]
        others = made.training.others[rng.integers(len(made.training.others), size=7)]
        corners = np.vstack([first, others])
        composite = made.combined(corners, np.zeros(8, int))
        twin, light = dense_twin(made, corners, rng)
        difference.append(composite.counts - twin)
        noise.append(composite.noise)
        lights.append(light)
    apart, variance = np.array(difference), np.array(noise)
    gain = CAMERA.gain_adu_per_e
    one = gain**2 * (READ_NOISE**2 + 5)
    # The level is that of one exposure: neither offsets nor backgrounds add up.
    assert float(apart.mean()) == pytest.approx(0, abs=0.1 * np.sqrt(one))
    # Of the eight variances of the background hardly more than one remains.
    assert variance.mean() < 1.6
    # Both have the shot noise of the light; the twin has the noise of one background.
    signal = np.array(lights)
    theory = one * (variance + 1) + 2 * gain**2 * signal
    for multiple in (1.0, 2.0):
        chosen = (signal < 100) & (np.abs(variance - multiple) < 0.05)
        assert float((apart**2 / theory)[chosen].mean()) == pytest.approx(1, abs=0.08)


def test_the_light_of_spots_is_kept() -> None:
    assert source().material.photons == pytest.approx(2500, rel=0.1)
    assert source().material.background_photons == pytest.approx(405, rel=0.02)
    assert source().material.noise_adu == pytest.approx(np.sqrt(405) * 2.0, rel=0.03)


def test_the_source_tells_what_it_shows() -> None:
    made = source()
    figures = made.figures()
    assert figures["emitters"] == len(made.material.emitters)
    assert 1.5 < figures["composites_density_per_um2"] < 4
    # A little more than in a dense frame, where spots of several regions overlap.
    assert 1 < figures["composites_noise_variance"] < 2
    validity = made.validity()
    low, high = validity["local_density_per_um2"]
    # Cards state densities for pixels of 100 nm.
    assert low < figures["composites_density_per_um2"] * 1.21 < high
    assert validity["sigma_px"] == (1.0, 1.0)
    assert SMALL.validity() == {}


def test_ambiguous_light_is_left_out() -> None:
    known = sparse()
    doubtful = known.emitters.select(slice(0, None, 10))
    rest = known.emitters.select(np.arange(len(known.emitters)) % 10 > 0)
    told = replace(known, emitters=rest, ambiguous=doubtful)
    made = SMALL.prepare(PhotonScaling(), 8, 0, told)
    left = {
        *zip(
            made.material.emitters.x_nm.tolist(), made.material.emitters.y_nm.tolist(), strict=True
        )
    }
    assert not left & {*zip(doubtful.x_nm.tolist(), doubtful.y_nm.tolist(), strict=True)}
    for frame, top, left_px in made.training.first[::50]:
        x, y = doubtful.x_nm / PIXEL_NM - left_px, doubtful.y_nm / PIXEL_NM - top
        inside = (x > 0) & (x < SIDE) & (y > 0) & (y < SIDE) & (doubtful.frame == frame)
        assert not inside.any()


def test_light_in_no_table_is_found() -> None:
    known = sparse()
    numbers = np.arange(len(known.emitters))
    rest = replace(known, emitters=known.emitters.select(numbers % 10 > 0))
    hidden = known.emitters.select(numbers % 10 == 0)
    ambiguous = prepare_material(rest).ambiguous
    where = (
        hidden.frame,
        (hidden.y_nm // PIXEL_NM).astype(int),
        (hidden.x_nm // PIXEL_NM).astype(int),
    )
    # What lies under a spot of the table cannot be told from it.
    assert ambiguous[where].mean() > 0.8


def test_a_mask_of_ambiguous_pixels_serves_as_well() -> None:
    known = sparse()
    mask = np.zeros(known.frames.shape, bool)
    mask[:, :25] = True
    material = prepare_material(replace(known, ambiguous=mask))
    assert material.emitters.y_nm.min() > 25 * PIXEL_NM
    with pytest.raises(InputError, match="expected that of the frames"):
        prepare_material(replace(known, ambiguous=mask[1:]))


def elongated() -> SparseFrames:
    """Spots that are twice as long in x as in y."""
    known = sparse()
    table = known.emitters
    light = sum(
        render_emitters(
            table.frame,
            table.x_nm / PIXEL_NM + shift,
            table.y_nm / PIXEL_NM,
            table.columns()["photons"] / 2,
            np.ones(len(table)),
            known.frames.shape,  # type: ignore[arg-type]
        )
        for shift in (-1.0, 1.0)
    )
    frames = CAMERA.expose(light + np.full(known.frames.shape, 5.0), np.random.default_rng(0))
    return replace(known, frames=frames)


def test_spots_that_are_not_symmetric_are_not_turned() -> None:
    assert source().is_turning
    assert source().material.asymmetry < 0.05
    assert not SMALL.prepare(PhotonScaling(), 8, 0, elongated()).is_turning
    assert changed(turning="always").prepare(PhotonScaling(), 8, 0, elongated()).is_turning
    assert not source(changed(turning="never")).is_turning


def test_the_papers_scaling_is_taken_from_training_examples() -> None:
    made = SMALL.prepare(MinMaxScaling(), 8, 0, sparse())
    assert np.mean([made.batch(k).frames.mean() for k in range(20)]) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: replace(s, emitters=s.emitters.select(slice(0, 7))), "hold 7 usable emitters"),
        (
            lambda s: replace(s, emitters=s.emitters.shifted(PIXEL_NM / 2, 0)),
            "x is changed by -0.5",
        ),
        (lambda s: replace(s, frames=np.full(s.frames.shape, 100)), "the frames are empty"),
        (lambda s: sparse(6.0), r"only \d+ % of the emitters are isolated"),
        (lambda s: replace(s, ambiguous=s.emitters), "what is ambiguous was left out"),
    ],
)
def test_frames_that_cannot_be_used_are_refused(spoil: object, words: str) -> None:
    assert callable(spoil)
    with pytest.raises(InputError, match=words):
        SMALL.prepare(PhotonScaling(), 8, 0, spoil(sparse()))


def test_frames_must_hold_the_regions() -> None:
    with pytest.raises(InputError, match="no side shorter than the regions of 44 pixels"):
        changed(region_px=44).prepare(PhotonScaling(), 8, 0, sparse())
    with pytest.raises(InputError, match="a field at least 64 pixels long"):
        changed(region_px=28, split="field").prepare(PhotonScaling(), 8, 0, sparse())


def test_a_region_must_have_enough_emitters() -> None:
    with pytest.raises(InputError, match="0 hold at least 50 usable emitters"):
        changed(min_emitters=50).prepare(PhotonScaling(), 8, 0, sparse())


def test_without_frames_there_are_no_composites() -> None:
    with pytest.raises(InputError, match="none were given"):
        SMALL.prepare(PhotonScaling(), 8, 0)
    with pytest.raises(ValidationError, match="give frames_path"):
        changed(positions_path="table.csv")


def test_a_training_takes_composites() -> None:
    chosen = TrainingSettings.model_validate({"examples": {"kind": "composites", "summed": 5}})
    assert isinstance(chosen.examples, CompositeExamples)
    assert chosen.examples.side_px % 4 == 0
