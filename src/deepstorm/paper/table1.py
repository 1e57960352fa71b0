"""Table 1: run times of every method, on the same movies and the same machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepstorm.config import Settings
from deepstorm.models.architectures import DeepStormNetworkSettings
from deepstorm.models.deepstorm import DeepStormNetwork
from deepstorm.models.devices import DeviceName, find_device
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.findings import Finding, Measured, Row, Table
from deepstorm.paper.methods import CEL0, FALCON, by_localization, by_network, spread_frames
from deepstorm.paper.movies import (
    FIG4_SOURCES,
    PIXEL_NM,
    like_the_papers_movie,
    simulated,
    simulated_microtubules,
)
from deepstorm.simulation.scenes import UniformScene

SIMULATED, EXPERIMENTAL = "Sim., 512 × 512", "Exp., 1024 × 1024"
ORIGINAL = "Keras, as published"
PUBLISHED_FRAMES = {SIMULATED: 361, EXPERIMENTAL: 500}
LONGEST_S = 3600
# Seconds as printed, on a CPU and on a GPU.
PRINTED: dict[tuple[str, str], tuple[float, float | None]] = {
    (SIMULATED, CEL0): (18677, None),
    (SIMULATED, FALCON): (1465, 122),
    (SIMULATED, ORIGINAL): (123, 4),
    (EXPERIMENTAL, CEL0): (175200, None),
    (EXPERIMENTAL, FALCON): (10177, 434),
    (EXPERIMENTAL, ORIGINAL): (715, 27),
}
Counts = npt.NDArray[np.uint16]


class Table1Settings(Settings):
    """How many frames of either movie each kind of method is timed on; all where absent."""

    simulated_frames: int = 361
    experimental_frames: int = 500
    network_frames: int | None = None
    slow_frames: int | None = 100
    original_frames: int | None = 40


QUICK = Table1Settings(experimental_frames=40, slow_frames=4, original_frames=4)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a method took for some frames of a movie.

    Parameters
    ----------
    dataset, method, device : str
    frames, total : int
        Frames that were timed, and frames of the movie.
    seconds : float, optional
    emitters_per_frame : float
        True ones.
    remark : str
    """

    dataset: str
    method: str
    device: str
    frames: int
    total: int
    seconds: float | None
    emitters_per_frame: float
    remark: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether as many frames were timed as the paper's movie has."""
        return self.frames == PUBLISHED_FRAMES[self.dataset]

    @property
    def frames_per_s(self) -> float | None:
        """Frames per second."""
        return self.frames / self.seconds if self.seconds else None

    def row(self) -> Row:
        """Return a line of the table."""
        rate = self.frames_per_s
        printed = PRINTED.get((self.dataset, self.method), (None, None))
        return {
            "dataset": self.dataset,
            "method": self.method,
            "device": self.device,
            "frames timed": f"{self.frames} of {self.total}",
            "seconds": self.seconds,
            "ms per frame": 1000 / rate if rate else None,
            "emitters/s": rate * self.emitters_per_frame if rate else None,
            "paper, CPU [s]": printed[0],
            "paper, GPU [s]": printed[1],
            "remark": self.remark,
        }


class Table1:
    """Run times of CEL0, FALCON, the original network and ours."""

    name = "table1"
    title = "Table 1: run times"
    sources = FIG4_SOURCES

    def settings(self, quick: bool) -> Table1Settings:
        """Return the settings of a quick or of a full run."""
        return QUICK if quick else Table1Settings()

    def run(self, context: Context) -> Finding:
        """Time every method on both movies."""
        chosen = self.settings(context.quick)
        timings: list[Timing] = []
        specimen = simulated_microtubules(context, chosen.simulated_frames)
        emitters = len(specimen.truth) if specimen.truth is not None else 0
        timings += _timed(context, chosen, SIMULATED, specimen.frames, emitters)
        settings = like_the_papers_movie(UniformScene(), 6.35, chosen.experimental_frames)
        frames, truth = simulated(
            settings.model_copy(update={"height_px": 128, "width_px": 128}), seed=1
        )
        timings += _timed(context, chosen, EXPERIMENTAL, frames, len(truth))
        figures = _figures(timings, short_name(context.ours))
        return Finding((_table(timings), _size_table(figures)), (), figures)


def _timed(
    context: Context, chosen: Table1Settings, dataset: str, frames: Counts, emitters: int
) -> list[Timing]:
    total = len(frames)
    per_frame = emitters / total
    timings = []
    for network in context.networks:
        for device in _devices():
            context.say(f"table1: {dataset}, {short_name(network)}, {device}")
            which = spread_frames(total, chosen.network_frames)
            # Loading and compiling, which a second movie does not need, are done before.
            by_network(network, frames, PIXEL_NM, which[:8], device)
            done = by_network(network, frames, PIXEL_NM, which, device)
            timings.append(
                Timing(dataset, done.method, device, len(which), total, done.seconds, per_frame)
            )
    timings.append(_original(context, chosen, dataset, frames, per_frame))
    for method in (FALCON, CEL0):
        context.say(f"table1: {dataset}, {method}")
        which = spread_frames(total, chosen.slow_frames)
        found = by_localization(method, frames, PIXEL_NM, which)
        timings.append(Timing(dataset, method, "cpu", len(which), total, found.seconds, per_frame))
    return timings


def _devices() -> tuple[DeviceName, ...]:
    """Return what networks can run on here."""
    return ("cpu", "cuda") if find_device("auto").type == "cuda" else ("cpu",)


def _original(
    context: Context, chosen: Table1Settings, dataset: str, frames: Counts, per_frame: float
) -> Timing:
    """Time the network as its authors run it, or say why not."""
    total = len(frames)
    if context.original is None:
        remark = "not measured: give a Python that has TensorFlow with --original"
        return Timing(dataset, ORIGINAL, "cpu", 0, total, None, per_frame, remark)
    context.say(f"table1: {dataset}, {ORIGINAL}")
    which = spread_frames(total, chosen.original_frames)
    try:
        seconds, name = keras_seconds(context.original, frames[which])
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        return Timing(dataset, ORIGINAL, "cpu", 0, total, None, per_frame, f"failed: {error}")
    return Timing(dataset, ORIGINAL, "cpu", len(which), total, seconds, per_frame, name)


def keras_seconds(python: Path, frames: Counts) -> tuple[float, str]:
    """Run the original in another Python; return its seconds and what it ran on.

    Parameters
    ----------
    python : Path
        Interpreter with keras and numpy.
    frames : ndarray of uint16, shape (frame, y, x)

    Raises
    ------
    OSError, ValueError, subprocess.SubprocessError
        If it cannot be run or does not answer.
    """
    script = Path(__file__).with_name("keras_original.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.npy"
        np.save(path, frames)
        done = subprocess.run(  # noqa: S603 - our own script, no shell
            [str(python), "-I", str(script), str(path)],
            check=True,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
        )
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return float(answer["seconds"]), str(answer["name"])


def _table(timings: list[Timing]) -> Table:
    note = (
        f"Here on {platform.machine()} with {os.cpu_count()} processors, one method after the "
        "other; in the paper on an i7-8700 and a Titan Xp. Networks: from frames in memory to "
        "the image, including calibration and refinement, but not loading and compiling. CEL0 "
        "and FALCON are this package's own implementations with default settings (the paper "
        "gives CEL0 200 times 200 iterations). Where not all frames were timed, nothing is "
        "extrapolated; compare the time per frame. Emitters: true ones. The second movie is "
        "simulated at the paper's size and density."
    )
    return Table("Run times", note, [timing.row() for timing in timings])


def _size_table(figures: dict[str, Measured]) -> Table:
    rows: list[Row] = [
        {
            "network": "of the paper",
            "trainable parameters here [million]": figures["million parameters"].value,
            "printed [million]": 1.3,
        }
    ]
    return Table("Size of the paper's network", "Counted.", rows)


def _figures(timings: list[Timing], ours: str) -> dict[str, Measured]:
    own = [timing for timing in timings if timing.method == ours]
    figures = {"million parameters": Measured(_million_parameters())}
    for timing in own:
        name = "simulated" if timing.dataset == SIMULATED else "experimental"
        name += "" if timing.device == "cpu" else ", GPU"
        figures[name] = Measured(timing.seconds if timing.is_whole else None)
    first = [timing for timing in timings if timing.dataset == SIMULATED]
    rates = {(timing.method, timing.device): timing.frames_per_s for timing in first}
    for method in (FALCON, CEL0):
        fast, slow = rates.get((ours, "cpu")), rates.get((method, "cpu"))
        figures[f"times {method}"] = Measured(fast / slow if fast and slow else None)
    speeds = [t.frames_per_s * t.emitters_per_frame for t in own if t.frames_per_s is not None]
    figures["emitters per second"] = Measured(max(speeds, default=None))
    return figures


def _million_parameters() -> float:
    """Count what is trained in the paper's network."""
    network = DeepStormNetwork(DeepStormNetworkSettings())
    return sum(weights.numel() for weights in network.parameters()) / 1e6
