from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from deepstorm.api.simulate import simulate
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.errors import InputError
from deepstorm.models.scaling import MinMaxScaling, PhotonScaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations
from deepstorm.training.examples.protocol import TRAINING, VALIDATION
from deepstorm.training.examples.regions import (
    KnownFrames,
    RegionExamples,
    RegionSource,
    paper_simulation,
)
from deepstorm.training.examples.truth import spike_images

SIDE = 8
SMALL = RegionExamples(region_px=SIDE, regions_per_frame=30, min_emitters=2, batch_size=5)


def acquire(frames: int = 10, seed: int = 0, density: float = 6.0) -> KnownFrames:
    """Simulated frames of 20 × 24 pixels."""
    settings = SimulationSettings(
        frames=frames, height_px=20, width_px=24, density_per_um2=density, scene=UniformScene()
    )
    movie = simulate_movie(settings, np.random.default_rng(seed))
    return KnownFrames(np.concatenate(list(movie.frames())), movie.truth, settings.pixel_size_nm)


KNOWN = acquire()


def prepare(
    examples: RegionExamples = SMALL, seed: int = 0, known: KnownFrames = KNOWN
) -> RegionSource:
    return examples.prepare(PhotonScaling(), 4, seed, known)


def test_a_batch_has_the_shapes_that_it_says() -> None:
    made = prepare().batch(0)
    assert made.frames.shape == (5, 3, SIDE, SIDE)
    assert made.spikes.shape == (5, 1, 4 * SIDE, 4 * SIDE)
    assert made.frames.dtype == made.spikes.dtype == np.float32


def test_no_frame_is_on_both_sides() -> None:
    source = prepare()
    training, validation = set(source.training[:, 0]), set(source.validation[:, 0])
    assert not training & validation
    assert len(validation) == 3
    assert training | validation == set(range(10))


@pytest.mark.parametrize(("fraction", "held_back"), [(0.01, 1), (0.3, 3), (0.99, 9)])
def test_both_sides_have_a_frame(fraction: float, held_back: int) -> None:
    source = prepare(SMALL.model_copy(update={"validation_fraction": fraction}))
    assert len(set(source.validation[:, 0])) == held_back
    assert len(set(source.training[:, 0])) == 10 - held_back


@pytest.mark.parametrize("stream", [TRAINING, VALIDATION])
def test_regions_are_cut_out_of_the_frames_with_their_emitters(stream: int) -> None:
    source = prepare()
    corners = source.training if stream == TRAINING else source.validation
    frames = KNOWN.frames
    scaled = PhotonScaling().fit(frames, calibrate_frames(frames).instrument).apply(frames)
    spikes = spike_images(KNOWN.emitters, (10, 80, 96), 25.0)
    cut = {
        scaled[f, :, y : y + SIDE, x : x + SIDE].tobytes(): spikes[
            f, 4 * y : 4 * (y + SIDE), 4 * x : 4 * (x + SIDE)
        ]
        for f, y, x in corners
    }
    for step in range(4):
        made = source.batch(step, stream)
        for frame, found in zip(made.frames, made.spikes[:, 0], strict=True):
            np.testing.assert_array_equal(found, cut[frame.tobytes()])


def test_an_epoch_shows_each_training_region_once() -> None:
    source = prepare()
    per_epoch = len(source.training) // 5
    seen = [frame.tobytes() for step in range(per_epoch) for frame in source.batch(step).frames]
    again = [
        frame.tobytes()
        for step in range(per_epoch, 2 * per_epoch)
        for frame in source.batch(step).frames
    ]
    corners = {tuple(corner) for corner in source.training.tolist()}
    # The same corner may have been drawn twice.
    assert len(set(seen)) >= len(corners) - 5
    assert seen != again
    assert len(set(seen) & set(again)) >= len(corners) - 10


def test_a_scaling_is_taken_from_so_many_regions_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstorm.training.examples.regions.SCALED_REGIONS", 7)
    source = replace(prepare(), base_scaling=MinMaxScaling())
    chosen = np.linspace(0, len(source.training) - 1, 7).astype(np.int64)
    regions = np.stack(
        [source.known.frames[f, y : y + SIDE, x : x + SIDE] for f, y, x in source.training[chosen]]
    )
    assert source.scaling == MinMaxScaling().trained_on(regions)


def test_regions_are_anywhere_in_the_frame() -> None:
    corners = prepare(SMALL.model_copy(update={"min_emitters": 0})).training
    assert corners[:, 1:].min(axis=0).tolist() == [0, 0]
    assert corners[:, 1:].max(axis=0).tolist() == [20 - SIDE, 24 - SIDE]


def test_seed_stream_and_step_decide_a_batch() -> None:
    first, second = prepare(seed=4), prepare(seed=4)
    second.batch(9)
    for stream in (TRAINING, VALIDATION):
        np.testing.assert_array_equal(first.batch(3, stream).frames, second.batch(3, stream).frames)
        np.testing.assert_array_equal(first.batch(3, stream).spikes, second.batch(3, stream).spikes)


def test_other_seeds_streams_and_steps_give_other_batches() -> None:
    source, other = prepare(seed=4), prepare(seed=5)
    frames = [
        source.batch(0).frames,
        source.batch(1).frames,
        source.batch(0, VALIDATION).frames,
        other.batch(0).frames,
    ]
    for index, first in enumerate(frames):
        assert not any(np.array_equal(first, second) for second in frames[index + 1 :])


def test_no_simulation_of_a_user_is_trained_on() -> None:
    """Whoever tests a network on a movie of the recipe's settings and seed tests it on others."""
    simulation = paper_simulation().model_copy(update={"frames": 3})
    examples = SMALL.model_copy(update={"simulation": simulation})
    source = examples.prepare(PhotonScaling(), 2, 1)
    theirs = simulate(simulation, seed=1).frames
    assert theirs is not None
    assert not (source.known.frames == theirs).all(axis=(1, 2)).any()


def test_frames_held_back_follow_each_other() -> None:
    starts = set()
    for seed in range(8):
        source = prepare(seed=seed)
        held, seen = (set(side[:, 0].tolist()) for side in (source.validation, source.training))
        assert held == set(range(min(held), max(held) + 1))
        assert not held & seen
        starts.add(min(held))
    assert len(starts) > 2


def test_the_seed_decides_the_simulation() -> None:
    examples = SMALL.model_copy(
        update={"simulation": paper_simulation().model_copy(update={"frames": 3})}
    )
    first, second, other = (examples.prepare(PhotonScaling(), 2, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.known.frames, second.known.frames)
    np.testing.assert_array_equal(first.training, second.training)
    assert not np.array_equal(first.known.frames, other.known.frames)


@pytest.mark.parametrize("least", [0, 3, 6])
def test_regions_hold_enough_emitters(least: int) -> None:
    source = prepare(SMALL.model_copy(update={"min_emitters": least}))
    for stream in (TRAINING, VALIDATION):
        for step in range(5):
            counts = source.batch(step, stream).spikes.sum(axis=(1, 2, 3))
            assert counts.min() >= least


def test_emitters_of_other_frames_do_not_count() -> None:
    frame = np.array([0, 1, 2, 5, 99])
    emitters = Localizations(frame, np.full(5, 4.5), np.full(5, 4.5))
    known = KnownFrames(np.random.default_rng(0).random((8, SIDE, SIDE)), emitters, 1.0)
    examples = SMALL.model_copy(update={"min_emitters": 1, "validation_fraction": 0.5})
    source = prepare(examples, seed=1, known=known)
    corners = np.concatenate([source.training, source.validation])
    assert set(corners[:, 0].tolist()) == {0, 1, 2, 5}
    assert (source.batch(0).spikes.sum(axis=(1, 2, 3)) == 1).all()


def test_two_emitters_in_a_pixel_are_two() -> None:
    emitters = Localizations(np.repeat([0, 1], 3), np.full(6, 350.0), np.full(6, 270.0))
    known = KnownFrames(np.random.default_rng(0).random((2, SIDE, SIDE)), emitters, 100.0)
    source = prepare(known=known)
    spikes = source.batch(0).spikes
    assert spikes.shape == (5, 1, 32, 32)
    assert (spikes[:, 0, 10, 14] == 3).all()
    assert spikes.sum() == 15


def test_spikes_lie_where_the_light_is() -> None:
    bright = {"brightness": Brightness(mean_photons=2e4), "density_per_um2": 0.02, "frames": 40}
    settings = paper_simulation().model_copy(update=bright)
    movie = simulate_movie(settings, np.random.default_rng(3))
    frames = np.concatenate(list(movie.frames()))
    known = KnownFrames(frames, movie.truth, settings.pixel_size_nm)
    examples = RegionExamples(region_px=12, regions_per_frame=10, min_emitters=1, batch_size=40)
    source = examples.prepare(PhotonScaling(), 8, 0, known)
    batches = [source.batch(step) for step in range(3)]
    frames, spikes_of = (
        np.concatenate([getattr(batch, name) for batch in batches]) for name in ("frames", "spikes")
    )
    offsets = np.arange(12) + 0.5
    shifts = []
    for frame, spikes in zip(frames, spikes_of[:, 0], strict=True):
        places = (np.argwhere(spikes) + 0.5) / 8
        if len(places) == 1 and (places > 4).all() and (places < 8).all():
            # Back from the square root; the second channel tells the level above which it counts.
            light = (8 * frame[0] + 10 * np.exp(frame[1])) ** 2
            light -= np.median(light)
            centroid = np.array([light.sum(1) @ offsets, light.sum(0) @ offsets]) / light.sum()
            shifts.append(centroid - places[0])
    assert len(shifts) >= 3
    np.testing.assert_allclose(np.mean(shifts, axis=0), 0, atol=0.1)


def test_the_papers_scaling_is_taken_from_the_training_regions() -> None:
    source = SMALL.prepare(MinMaxScaling(), 4, 0, KNOWN)
    regions = np.stack(
        [KNOWN.frames[f, y : y + SIDE, x : x + SIDE].astype(float) for f, y, x in source.training]
    )
    low = regions.min(axis=(1, 2), keepdims=True)
    stretched = (regions - low) / (regions.max(axis=(1, 2), keepdims=True) - low)
    assert isinstance(source.scaling, MinMaxScaling)
    assert source.scaling.mean == pytest.approx(stretched.mean(), rel=1e-4)
    deviation = stretched.std(axis=(1, 2)).mean()
    assert source.scaling.standard_deviation == pytest.approx(deviation, rel=1e-4)
    epoch = [source.batch(step).frames for step in range(len(source.training) // 5)]
    assert np.mean(epoch) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("shape", [(1, 20, 24), (5, 7, 24), (5, 20, 7)])
def test_frames_that_are_too_few_or_too_small_are_refused(shape: tuple[int, int, int]) -> None:
    known = KnownFrames(np.zeros(shape), KNOWN.emitters, 100.0)
    count, height, width = shape
    words = f"has {count} frames of {height} × {width} pixels; expected at least 2 frames"
    with pytest.raises(InputError, match=words):
        prepare(known=known)


def test_frames_with_too_few_emitters_are_refused() -> None:
    with pytest.raises(InputError, match=r"only 0 regions of 8 pixels hold at least 500 emitters"):
        prepare(SMALL.model_copy(update={"min_emitters": 500}))


def test_a_batch_must_be_filled() -> None:
    few = SMALL.model_copy(update={"regions_per_frame": 1, "batch_size": 4})
    with pytest.raises(InputError, match=r"only 3 regions .* expected 4 or more"):
        prepare(few)  # of ten frames, three are held back


@pytest.mark.parametrize("name", ["frames_path", "positions_path"])
def test_a_movie_and_its_table_are_given_together(name: str) -> None:
    with pytest.raises(ValidationError, match="give both"):
        RegionExamples.model_validate({name: "file"})


def test_the_validity_is_that_of_the_simulation() -> None:
    validity = RegionExamples().validity()
    assert validity["local_density_per_um2"] == (6.0, 6.0)
    assert validity["sigma_px"] == pytest.approx((1.105, 1.105))
    assert validity["mean_photons"] == (2250.0, 2250.0)
    assert validity["background_photons"] == (20.0, 20.0)


def test_of_given_frames_nothing_is_known() -> None:
    assert RegionExamples(frames_path="movie.tif", positions_path="truth.csv").validity() == {}


def test_the_papers_training_set_is_like_the_papers() -> None:
    source = RegionExamples(regions_per_frame=20).prepare(MinMaxScaling(), 8, 1)
    assert source.known.frames.shape == (20, 64, 64)
    assert source.training.shape == (280, 3)
    assert source.validation.shape == (120, 3)
    density = len(source.known.emitters) / 20 / 6.4**2
    assert density == pytest.approx(6, rel=0.1)
    assert source.batch(0).spikes.shape == (16, 1, 208, 208)
