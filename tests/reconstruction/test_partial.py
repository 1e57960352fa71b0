"""Parts of a movie are values: made anywhere, added in any order, saved, and finished."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepstorm.errors import InputError
from deepstorm.io.movies.movie import ArrayMovie
from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import save_network
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.native import NativeNetwork
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction import predictor, streaming
from deepstorm.reconstruction.goodness import FitSums
from deepstorm.reconstruction.job import Job
from deepstorm.reconstruction.partial import Partial, joined
from deepstorm.reconstruction.piece_sums import PiecesOnDisk
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.reconstruction.windows import Windows
from deepstorm.reconstruction.work import Part
from deepstorm.structures import Reconstruction

PIXEL_NM = 100.0
FRAMES = 12
# Random splits of the movie; more of them, ``DEEPSTORM_SPLITS``, take a while.
SPLITS = int(os.environ.get("DEEPSTORM_SPLITS", "15"))


def draw_movie(frames: int = FRAMES, height: int = 12, width: int = 9) -> npt.NDArray[np.uint16]:
    rng = np.random.default_rng(11)
    light = 60 + 2000 * (rng.random((frames, height, width)) < 0.01)
    return rng.poisson(light).astype(np.uint16)


@pytest.fixture(scope="module")
def network(
    native_network: NativeNetwork,
    native_card: NetworkCard,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainedNetwork:
    path = tmp_path_factory.mktemp("network") / "tiny.safetensors"
    save_network(path, native_network, native_card)
    return TrainedNetwork.open(path)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "VALUES_PER_BLOCK", 2 * 12 * 9 * 64)


@pytest.fixture
def reconstructor(network: TrainedNetwork) -> Reconstructor:
    return Reconstructor(network, engine="torch")


def assert_same(found: Reconstruction, wanted: Reconstruction) -> None:
    np.testing.assert_allclose(found.image, wanted.image, rtol=1e-6, atol=1e-9)
    assert found.posterior is not None
    np.testing.assert_allclose(found.posterior, wanted.posterior, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(found.widefield, wanted.widefield)
    assert found.localizations is not None
    assert wanted.localizations is not None
    for name, column in wanted.localizations.columns().items():
        np.testing.assert_array_equal(found.localizations.columns()[name], column)
    assert found.record["frames"] == wanted.record["frames"]
    assert found.fit is not None
    assert wanted.fit is not None
    np.testing.assert_array_equal(found.fit.frames, wanted.fit.frames)
    np.testing.assert_allclose(found.fit.variance_map, wanted.fit.variance_map, rtol=1e-9)
    assert found.fit.variance.value == pytest.approx(wanted.fit.variance.value, rel=1e-9)


@settings(
    max_examples=SPLITS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_split_in_any_order_and_grouping_gives_the_same(
    data: st.DataObject, reconstructor: Reconstructor, whole: tuple[Job, Reconstruction]
) -> None:
    job, wanted = whole
    movie = ArrayMovie(draw_movie())
    edges = reconstructor.edges(job, FRAMES)
    inner = data.draw(st.sets(st.sampled_from(edges[1:-1])))
    cuts = sorted({edges[0], edges[-1], *inner})
    parts = [reconstructor.work(job, movie, Part(start, stop)) for start, stop in pairwise(cuts)]
    parts = data.draw(st.permutations(parts))
    while len(parts) > 1:
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    assert_same(reconstructor.finish(job, parts[0]), wanted)


@pytest.fixture(scope="module")
def whole(network: TrainedNetwork) -> tuple[Job, Reconstruction]:
    """The movie as one part, worked on once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "VALUES_PER_BLOCK", 2 * 12 * 9 * 64)
        reconstructor = Reconstructor(network, engine="torch")
        movie = ArrayMovie(draw_movie())
        job = reconstructor.plan(movie, PIXEL_NM, localize=True)
        partial = reconstructor.work(job, movie, Part(0, FRAMES))
        return job, reconstructor.finish(job, partial)


def test_parts_add_up_to_what_reconstruct_gives(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction]
) -> None:
    assert_same(
        reconstructor.reconstruct(ArrayMovie(draw_movie()), PIXEL_NM, localize=True), whole[1]
    )


def work_elsewhere(job: Job, movie: ArrayMovie, part: Part, path: Path) -> None:
    torch.set_num_threads(1)  # as here: kernels for more of them round differently
    streaming.VALUES_PER_BLOCK = 2 * 12 * 9 * 64
    Reconstructor.of(job).work(job, movie, part).save(path)


def test_parts_of_other_processes_add_up(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction], tmp_path: Path
) -> None:
    job, wanted = whole
    movie = ArrayMovie(draw_movie())
    context = multiprocessing.get_context("spawn")
    parts = {tmp_path / "a.npz": Part(0, 6), tmp_path / "b.npz": Part(6, FRAMES)}
    processes = [
        context.Process(target=work_elsewhere, args=(job, movie, part, path))
        for path, part in parts.items()
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    first, second = (Partial.load(path, job.checksum) for path in parts)
    assert_same(reconstructor.finish(job, second + first), wanted)


def test_adding_leaves_the_parts_as_they_are(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction]
) -> None:
    job, movie = whole[0], ArrayMovie(draw_movie())
    first, second = (reconstructor.work(job, movie, Part(*ends)) for ends in ((0, 4), (4, 8)))
    before = first.pieces[0].sums.gathered.copy()
    total = first + second
    total.pieces[0].sums.gathered += 1
    np.testing.assert_array_equal(first.pieces[0].sums.gathered, before)
    assert (first.count, second.count, total.count) == (4, 4, 8)
    assert total.missing(FRAMES) == [(8, FRAMES)]


def test_a_frame_counts_once(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction]
) -> None:
    job, movie = whole[0], ArrayMovie(draw_movie())
    part = reconstructor.work(job, movie, Part(0, 4))
    with pytest.raises(InputError, match="frames 2 to 3 in common"):
        _ = part + reconstructor.work(job, movie, Part(2, 6))


def test_parts_begin_and_end_with_blocks(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction]
) -> None:
    with pytest.raises(InputError, match=r"frames 1 to 4 .* blocks of 2 frames"):
        reconstructor.work(whole[0], ArrayMovie(draw_movie()), Part(1, 4))


def test_a_part_is_saved_and_loaded_whole(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction], tmp_path: Path
) -> None:
    job, movie = whole[0], ArrayMovie(draw_movie())
    part = reconstructor.work(job, movie, Part(4, 8))
    part.save(tmp_path / "part.npz")
    loaded = Partial.load(tmp_path / "part.npz", job.checksum)
    rest = reconstructor.work(job, movie, Part(0, 4)) + reconstructor.work(
        job, movie, Part(8, FRAMES)
    )
    assert_same(reconstructor.finish(job, loaded + rest), whole[1])


def test_a_resumed_part_is_the_same_bit_for_bit(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction], tmp_path: Path
) -> None:
    job, movie = whole[0], ArrayMovie(draw_movie())
    standing = reconstructor.beginning(job)
    for update in reconstructor.updates(job, movie, standing):
        if update.frames >= 6:
            break
    standing.partial.save(tmp_path / "part.npz")
    standing.partial = Partial.load(tmp_path / "part.npz", job.checksum)
    for _ in reconstructor.updates(job, movie, standing):
        pass
    unbroken = reconstructor.work(job, movie, Part(0, FRAMES)).arrays()
    resumed = standing.partial.arrays()
    assert any(name.startswith("fit.") for name in resumed)
    for name, array in unbroken.items():
        np.testing.assert_array_equal(resumed[name], array)


def test_an_image_alone_is_checked_too(reconstructor: Reconstructor) -> None:
    movie = ArrayMovie(draw_movie())
    with_table, alone = (
        reconstructor.reconstruct(movie, PIXEL_NM, localize=localize) for localize in (True, False)
    )
    assert alone.localizations is None
    assert alone.fit is not None
    assert with_table.fit is not None
    assert alone.fit.frames.tolist() == with_table.fit.frames.tolist() == [0, 5, 10]
    # The background is fitted to fewer frames, which hardly matters.
    assert alone.fit.variance.value == pytest.approx(with_table.fit.variance.value, rel=0.1)


def test_a_part_of_another_job_is_refused(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction], tmp_path: Path
) -> None:
    movie = ArrayMovie(draw_movie())
    other = reconstructor.plan(movie, 90.0)
    part = reconstructor.work(other, movie, Part(0, 4))
    part.save(tmp_path / "part.npz")
    with pytest.raises(InputError, match="another reconstruction"):
        Partial.load(tmp_path / "part.npz", whole[0].checksum)
    with pytest.raises(InputError, match="different reconstructions"):
        _ = part + reconstructor.work(whole[0], movie, Part(4, 8))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_file_never_passes_for_a_part(
    place: float, bit: int, cut: bool, saved: bytes, tmp_path: Path
) -> None:
    """It is refused, or holds the very same: names of members may be damaged where none matters."""
    at = min(int(place * len(saved)), len(saved) - 1)
    damaged = saved[:at] if cut else saved[:at] + bytes([saved[at] ^ (1 << bit)]) + saved[at + 1 :]
    path = tmp_path / "damaged.npz"
    path.write_bytes(damaged)
    good = tmp_path / "good.npz"
    good.write_bytes(saved)
    wanted = Partial.load(good, "job").arrays()
    try:
        found = Partial.load(path, "job").arrays()
    except InputError:
        return
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("part") / "part.npz"
    partial = Partial("job", np.arange(12.0).reshape(3, 4))
    partial.extend((0, 3), np.ones((3, 4)), None, fit=FitSums.zeros((3, 4)))
    partial.save(path)
    return path.read_bytes()


def test_fields_in_pieces_add_up_on_disk(
    paper_network: DeepStormNetwork, paper_card: NetworkCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "VALUES_PER_PIECE", (8 * 20) ** 2)
    reconstructor = Reconstructor(TrainedNetwork.of(paper_network, paper_card), engine="torch")
    movie = ArrayMovie(draw_movie(2, 30, 24))
    job = reconstructor.plan(movie, PIXEL_NM, localize=False)
    parts = [reconstructor.work(job, movie, Part(0, 1))]
    parts.append(reconstructor.work(job, movie, Part(1, 2)))
    assert all(isinstance(part.pieces, PiecesOnDisk) and len(part.pieces) > 1 for part in parts)
    wanted = reconstructor.reconstruct(movie, PIXEL_NM, localize=False)
    found = reconstructor.finish(job, parts[1] + parts[0])
    np.testing.assert_allclose(found.image, wanted.image, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(found.widefield, wanted.widefield)


def test_a_job_is_small_and_survives_pickling(
    reconstructor: Reconstructor, whole: tuple[Job, Reconstruction]
) -> None:
    job = whole[0]
    sent = pickle.dumps(job)
    assert len(sent) < 100_000
    assert pickle.loads(sent).checksum == job.checksum  # noqa: S301 - our own


def test_every_setting_changes_the_checksum(reconstructor: Reconstructor) -> None:
    movie = ArrayMovie(draw_movie())
    jobs = [
        reconstructor.plan(movie, PIXEL_NM),
        reconstructor.plan(movie, PIXEL_NM + 1),
        reconstructor.plan(movie, PIXEL_NM, localize=True),
        reconstructor.plan(movie, PIXEL_NM, windows=Windows(4, 2)),
        reconstructor.plan(movie, PIXEL_NM, among=5),
        reconstructor.plan(ArrayMovie(draw_movie()[:, :10]), PIXEL_NM),
    ]
    assert len({job.checksum for job in jobs}) == len(jobs)
    assert jobs[0].checksum == reconstructor.plan(movie, PIXEL_NM).checksum


def test_a_movie_is_worked_on_while_it_is_recorded(reconstructor: Reconstructor) -> None:
    """By the calibration of its first frames; what comes later adds to what was done."""
    movie = draw_movie()
    early = ArrayMovie(movie[:6])
    job = reconstructor.plan(early, PIXEL_NM, localize=True)
    assert (
        job.checksum
        == reconstructor.plan(ArrayMovie(movie), PIXEL_NM, localize=True, among=6).checksum
    )
    standing = reconstructor.beginning(job)
    for seen in (early, ArrayMovie(movie[:8]), ArrayMovie(movie)):
        updates = list(reconstructor.updates(job, seen, standing))
        assert updates[-1].frames == updates[-1].total_frames == seen.shape[0]
    whole = reconstructor.work(job, ArrayMovie(movie), Part(0, FRAMES))
    assert_same(reconstructor.finish(job, standing.partial), reconstructor.finish(job, whole))


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=8),
)
def test_stretches_are_joined_where_they_touch(given_stretches: list[tuple[int, int]]) -> None:
    stretches = [(start, start + length) for start, length in given_stretches]
    frames = [frame for start, stop in stretches for frame in range(start, stop)]
    if len(set(frames)) < len(frames):
        with pytest.raises(InputError, match="in common"):
            joined(stretches)
        return
    result = joined(stretches)
    assert [frame for start, stop in result for frame in range(start, stop)] == sorted(frames)
    assert all(after[0] > before[1] for before, after in pairwise(result))
