"""What is measured: networks in runtimes, each opened in a child process of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from environments import TENSORFLOW, NoEnvironmentError, python_with
from running import Run, frames_file
from workers import Worker, WorkerError

from deepstorm.errors import InputError
from deepstorm.models.zoo import open_network

OURS = "our_worker.py"
PAPER, DEFAULT = "paper's", "default"
PAPERS_KIND = "deepstorm"
REDUCED = "int8"
KERAS, UNFOLDED = "keras", "unfolded"
SHOWN = {
    KERAS: "Keras, TensorFlow, as published",
    UNFOLDED: "PyTorch eager, as published",
    "torch": "PyTorch",
    "openvino": "OpenVINO",
    "onnx": "ONNX Runtime",
}
# Runtimes that convert a network, and keep what they make of it.
KEEPING = ("openvino", "onnx")
# The network is the same if outputs differ by no more than this part of the largest.
LARGEST_DIFFERENCE = 1e-4
COMPARED_FRAMES = 2
# No accelerator for TensorFlow, and none of its notices.
KERAS_VARIABLES = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True)
class Entry:
    """A network in a runtime.

    Parameters
    ----------
    network : str
        ``PAPER`` or ``DEFAULT``.
    engine : str
        A key of ``SHOWN``.
    precision : str
        ``f32``, ``bf16`` or ``int8``.
    device : str
        ``cpu`` or ``cuda``.
    """

    network: str
    engine: str
    precision: str = "f32"
    device: str = "cpu"

    @property
    def runtime(self) -> str:
        """What the runtime is called in tables."""
        return SHOWN[self.engine] + ("" if self.device == "cpu" else f" on {self.device}")

    @property
    def name(self) -> str:
        """What network and runtime are called in the figure."""
        return f"{self.network}, {self.runtime}, {self.precision}"


ORIGINAL = Entry(PAPER, KERAS)


@cache
def runtimes() -> dict[str, Any]:
    """Return this package's ``runtimes`` on this machine, and the name of its ``accelerator``."""
    with Worker(OURS) as worker:
        return worker.ask("runtimes")


@cache
def entries(run: Run) -> tuple[Entry, ...]:
    """Return all that can be measured here, the original first."""
    own = runtimes()["runtimes"]
    devices = dict.fromkeys(runtime["device"] for runtime in own)
    return (
        *([ORIGINAL] if run.original else []),
        *(Entry(PAPER, UNFOLDED, device=device) for device in devices),
        *(
            Entry(network, **runtime)
            for network in (PAPER, DEFAULT)
            for runtime in own
            if runtime["precision"] != REDUCED or _may_be_reduced(run, network)
        ),
    )


def _may_be_reduced(run: Run, network: str) -> bool:
    """Tell whether a network's file says how to compute it in 8 bits."""
    return bool(open_network(network_of(run, network)).card.activation_ranges)


def checksums(run: Run) -> dict[str, str]:
    """Return the SHA-256 of the network files, by what they stand for.

    Raises
    ------
    InputError
        If one cannot be used, or that of the paper's network holds another kind.
    """
    default, paper = (open_network(name) for name in (run.network, run.paper))
    if (kind := paper.card.network.kind) != PAPERS_KIND:
        raise InputError(
            f"'{run.paper}' holds a network of the kind '{kind}'; "
            f"give one of the kind '{PAPERS_KIND}', the paper's, as --paper"
        )
    return {DEFAULT: default.checksum, PAPER: paper.checksum}


def network_of(run: Run, network: str) -> str:
    """Return name or file of ``PAPER`` or ``DEFAULT``."""
    return run.paper if network == PAPER else run.network


@cache
def keras_weights(run: Run) -> Path:
    """Return a file with the weights of the paper's network as Keras has them."""
    path = run.temporary / "weights.npz"
    with Worker(OURS) as worker:
        worker.ask("export", network=run.paper, to=str(path))
    return path


def opened(run: Run, entry: Entry, side_px: int) -> tuple[Worker, dict[str, Any]]:
    """Start the child process of an entry for frames of one size; return also what it said.

    Raises
    ------
    WorkerError
        If it cannot be opened; the message says why.
    """
    if entry.engine == KERAS:
        python, weights = _python_with_keras(run), str(keras_weights(run))
        worker = Worker("keras_worker.py", python, KERAS_VARIABLES)
        return _open(worker, run, side_px, weights=weights)
    if entry.engine in KEEPING:
        # Other precisions share one form; 8 bits have their own.
        _keep(run, entry if entry.precision == REDUCED else replace(entry, precision="f32"))
    return _open_ours(run, entry, side_px)


@cache
def _keep(run: Run, entry: Entry) -> None:
    """Have a runtime keep its form of a network: converting it is not to count as its memory."""
    worker, _ = _open_ours(run, entry, run.sides_px[0])
    worker.close()


def _open_ours(run: Run, entry: Entry, side_px: int) -> tuple[Worker, dict[str, Any]]:
    kept = str(run.temporary / "kept")
    worker = Worker(OURS, environment={"XDG_CACHE_HOME": kept, "LOCALAPPDATA": kept})
    settings = {
        "network": network_of(run, entry.network),
        "engine": entry.engine,
        "precision": entry.precision,
        "device": entry.device,
    }
    return _open(worker, run, side_px, **settings)


def _open(worker: Worker, run: Run, side_px: int, **settings: str) -> tuple[Worker, dict[str, Any]]:
    try:
        return worker, worker.ask("open", frames=str(frames_file(run, side_px)), **settings)
    except WorkerError:
        worker.close()
        raise


def _python_with_keras(run: Run) -> Path:
    found = _keras_environment(run)
    if isinstance(found, NoEnvironmentError):
        raise WorkerError(f"no environment with {TENSORFLOW[0]}: {found}")
    return found


@cache
def _keras_environment(run: Run) -> Path | NoEnvironmentError:
    """Return an interpreter with Keras, or why there is none: it is tried once."""
    try:
        return python_with(TENSORFLOW, run.cache)
    except NoEnvironmentError as error:
        return error


def largest_difference(run: Run, original: Worker, ours: Worker) -> float:
    """Compare predictions of the paper's network in two processes.

    Returns
    -------
    float
        The largest difference over the largest value.
    """
    saved = []
    for index, worker in enumerate((original, ours)):
        path = run.temporary / f"predicted-{index}.npy"
        worker.ask("save", count=COMPARED_FRAMES, to=str(path))
        saved.append(np.load(path))
    theirs, own = saved
    return float(np.abs(theirs - own).max() / theirs.max())
