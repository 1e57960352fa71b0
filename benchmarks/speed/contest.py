"""What is measured, networks in runtimes, and how: each in a process of its own, all in turn."""

import contextlib
import statistics
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import deepstorm
from children.workers import Worker, WorkerError, asked
from deepstorm.models.zoo import open_network
from deepstorm.paper.movies import MICROTUBULES
from environments import NoEnvironmentError, python_with
from movies import FINE_NM, PIXEL_NM, conditions, exposed, published

TENSORFLOW = ("tensorflow-cpu==2.21.0", "keras==3.15.1")
# No accelerator for TensorFlow, and none of its notices.
KERAS_VARIABLES = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
OURS, NETWORKS = "our_worker.py", "our_networks.py"
PAPER, DEFAULT = "paper's", "default"
SHOWN = {
    "keras": "Keras, TensorFlow, as published",
    "unfolded": "PyTorch eager, as published",
    "torch": "PyTorch",
    "openvino": "OpenVINO",
    "onnx": "ONNX Runtime",
}
DENSITY_PER_UM2 = 5.48  # of the movie of the paper's Fig. 4, by its Table 1
DISTINCT_FRAMES = 16  # which are measured again and again
MOVIES = {64: (361, 5000), 128: (361, 500, 5000), 256: (361, 5000)}
AS_PUBLISHED = ("keras", "unfolded")  # the form in which the paper's network is run
SCORES = ("nmse_percent", "registered_nmse_percent")


@dataclass(frozen=True, eq=False)
class Run:
    """What was asked for; seconds for each number of frames, movies' lengths by their side."""

    quick: bool
    budget_s: float
    networks: dict[str, str]
    original: bool
    cache: Path
    temporary: Path
    pictures: Path | None = None
    repeats: int = 5
    movies: dict[int, tuple[int, ...]] = field(default_factory=lambda: MOVIES)


@dataclass(frozen=True)
class Entry:
    """A network, ``PAPER`` or ``DEFAULT``, in a runtime: a key of ``SHOWN``."""

    network: str
    engine: str
    precision: str = "f32"
    device: str = "cpu"

    @property
    def words(self) -> tuple[str, str, str]:
        """Network, runtime and precision, as tables have them."""
        on = "" if self.device == "cpu" else f" on {self.device}"
        return self.network, SHOWN[self.engine] + on, self.precision


ORIGINAL = Entry(PAPER, "keras")


@dataclass
class Result:
    """What was measured of an entry at one frame size, and its process while it lives.

    Times are seconds by numbers of frames; scores are the NMSE on the movie of the paper's Fig. 4.
    """

    entry: Entry
    side_px: int
    times: dict[int, list[float]] = field(default_factory=dict)
    peak_mb: float | None = None
    failure: str = ""
    scores: dict[str, Any] = field(default_factory=dict)
    plan: dict[int, int] = field(default_factory=dict)
    worker: Worker | None = None

    @property
    def medians_s(self) -> dict[int, float]:
        """Median times by numbers of frames."""
        return {frames: statistics.median(seconds) for frames, seconds in self.times.items()}

    @property
    def frames(self) -> int:
        """Frames that the speed is taken from: those timed most often, then most of them."""
        return max(self.times, key=lambda frames: (len(self.times[frames]), frames), default=0)

    @property
    def frames_per_s(self) -> float | None:
        """Frames per second, of the median time."""
        return self.frames / self.medians_s[self.frames] if self.times else None

    def start(self, run: Run) -> None:
        """Start the process, compile and fill caches, and plan what fits the budget."""
        try:
            self.worker, batch = opened(run, self.entry, self.side_px)
            self.worker.ask("predict", count=batch)
            seconds = self.worker.ask("predict", count=batch)["seconds"] / batch
            movies = run.movies.get(self.side_px, ())
            self.plan = planned(seconds, movies, run.budget_s, run.repeats, batch)
        except WorkerError as error:
            self.failure = str(error)

    def ask(self, do: str, **values: Any) -> dict[str, Any]:
        """Have the process do something; nothing where that fails."""
        if self.worker is None or self.failure:
            return {}
        try:
            return self.worker.ask(do, **values)
        except WorkerError as error:
            self.failure = str(error)
            return {}


def planned(
    seconds_per_frame: float, movies: tuple[int, ...], budget_s: float, repeats: int, batch: int
) -> dict[int, int]:
    """Choose numbers of frames to measure, each with how often, at least once.

    Whole movies are measured where one fits the budget. One entry has all the repeats, unless a
    batch takes too long for that; it is of a multiple of what a runtime takes at once.
    """
    plan = {
        frames: min(int(budget_s / (frames * seconds_per_frame)), repeats)
        for frames in movies
        if frames * seconds_per_frame <= budget_s
    }
    if repeats not in plan.values():
        batches = max(int(budget_s / repeats / seconds_per_frame / batch), 1)
        fitting = int(budget_s / (batches * batch * seconds_per_frame))
        plan[batches * batch] = max(min(fitting, repeats), 1)
    return plan


def interleaved(
    tasks: Mapping[Hashable, tuple[int, Callable[[], float | None]]],
) -> dict[Hashable, list[float]]:
    """Do tasks in turn, each so often; they return seconds, or ``None`` when they fail and end."""
    seconds: dict[Hashable, list[float]] = {key: [] for key in tasks}
    left = {key: times for key, (times, _) in tasks.items()}
    while any(left.values()):
        for key in [key for key, times in left.items() if times]:
            taken = tasks[key][1]()
            left[key] = 0 if taken is None else left[key] - 1
            seconds[key] += [] if taken is None else [taken]
    return seconds


class Comparison(NamedTuple):
    """Results; the largest difference of Keras from ours; NMSE of the authors' own image."""

    results: list[Result]
    difference: float | None
    published: dict[str, Any]

    def of(self, side_px: int) -> list[Result]:
        """Return the results of one frame size."""
        return [result for result in self.results if result.side_px == side_px]


def frames_of(frames: int, side_px: int, density: float, seed: int) -> Any:
    """Simulate frames of filaments as in the paper's Fig. 4, (frame, y, x)."""
    sides = {"height_px": side_px, "width_px": side_px}
    return exposed(conditions(MICROTUBULES, density, frames, **sides), seed)[0]


@cache
def runtimes() -> dict[str, Any]:
    """Return this package's ``runtimes`` on this machine, and the name of its ``accelerator``."""
    return asked(OURS, "runtimes")


@cache
def entries(run: Run) -> tuple[Entry, ...]:
    """Return all that can be measured here, the original first."""
    own = runtimes()["runtimes"]
    found = [ORIGINAL] if run.original else []
    devices = dict.fromkeys(device for _, _, device in own)
    found += [Entry(PAPER, "unfolded", device=device) for device in devices]
    for network, name in run.networks.items():
        card = open_network(name).card
        # A network's file says whether and how it may be computed in 8 bits.
        fitting = (each for each in own if "int8" not in each or card.activation_ranges)
        found += [Entry(network, *each) for each in fitting]
    return tuple(found)


@cache
def _frames_file(run, side_px):
    path = run.temporary / f"frames-{side_px}.npy"
    np.save(path, frames_of(DISTINCT_FRAMES, side_px, DENSITY_PER_UM2, side_px))
    return str(path)


@cache
def _keras(run):
    """Return a Python with Keras and the paper's weights for it, or why not: it is tried once."""
    weights = run.temporary / "weights.npz"
    try:
        python = python_with(TENSORFLOW, run.cache)
    except NoEnvironmentError as error:
        return None, f"no environment with {TENSORFLOW[0]}: {error}"
    asked(NETWORKS, "export", network=run.networks[PAPER], to=str(weights))
    return python, str(weights)


def opened(run: Run, entry: Entry, side_px: int) -> tuple[Worker, int]:
    """Start an entry's process for a frame size, or refuse; tell how many it takes at once."""
    if entry.engine == "keras":
        python, weights = _keras(run)
        if python is None:
            raise WorkerError(weights)
        told, worker = {"weights": weights}, Worker("keras_worker.py", python, **KERAS_VARIABLES)
    else:
        told = asdict(entry) | {"network": run.networks[entry.network]}
        kept = str(run.temporary / "kept")
        worker = Worker(OURS, XDG_CACHE_HOME=kept, LOCALAPPDATA=kept)
    try:
        return worker, worker.ask("open", frames=_frames_file(run, side_px), **told)["batch"]
    except WorkerError:
        worker.close()
        raise


@contextlib.contextmanager
def contestants(run: Run, own: tuple[Entry, ...], side_px: int) -> Any:
    """Start the processes of entries for one frame size, and end them at last."""
    with contextlib.ExitStack() as stack:
        results = [Result(entry, side_px) for entry in own]
        for result in results:
            result.start(run)
            if result.worker is not None:
                stack.callback(result.worker.close)
        yield results


@cache
def compared(run: Run) -> Comparison:
    """Measure all entries at all sizes, once for all parts that ask."""
    results, difference, known = [], None, {}
    for side_px in run.movies:
        with contestants(run, entries(run), side_px) as started:
            workers = {result.entry: result.worker for result in started}
            pair = workers.get(ORIGINAL), workers.get(Entry(PAPER, "torch"))
            if side_px == 64 and all(pair):
                with contextlib.suppress(WorkerError):
                    difference = largest_difference(run, *pair)
            measure_in_turn(started)
            if side_px == 64 and not run.quick and published("movie.tif"):
                _score(started)
        results += started
    if image := published("paper_reconstruction.mat"):
        truth = published("truth.csv")
        figures = deepstorm.evaluate(image, truth, pixel_size_nm=FINE_NM).figures()
        known = {name: figures[name] for name in SCORES}
    return Comparison(results, difference, known)


def measure_in_turn(started: list[Result]) -> None:
    """Measure each number of frames of each; put times and memory into the results."""

    def seconds(result, frames):
        return result.ask("predict", count=frames).get("seconds")

    tasks = {
        (index, frames): (times, partial(seconds, result, frames))
        for index, result in enumerate(started)
        for frames, times in result.plan.items()
    }
    for (index, frames), taken in interleaved(tasks).items():
        started[index].times |= {frames: taken} if taken else {}
    for result in started:
        result.peak_mb = result.ask("memory").get("peak_mb")


def largest_difference(run: Run, original: Worker, ours: Worker) -> float:
    """Return the largest difference of two processes' predictions over the largest value."""
    paths = [run.temporary / f"predicted-{index}.npy" for index in range(2)]
    for worker, path in zip((original, ours), paths, strict=True):
        worker.ask("save", count=2, to=str(path))
    theirs, own = map(np.load, paths)
    return float(np.abs(theirs - own).max() / theirs.max())


def _score(started):
    """Score each network in each precision by its fastest runtime on the published movie."""
    files = {"movie": str(published("movie.tif")), "truth": str(published("truth.csv"))}
    ours = [result for result in started if result.entry != ORIGINAL and result.times]
    ours.sort(key=lambda result: result.frames_per_s)
    fastest = {(result.entry.network, result.entry.precision): result for result in ours}
    found = {key: each.ask("nmse", pixel_nm=PIXEL_NM, **files) for key, each in fastest.items()}
    for result in started:
        answer = found.get((result.entry.network, result.entry.precision), {})
        result.scores = {name: answer.get(name) for name in SCORES}
