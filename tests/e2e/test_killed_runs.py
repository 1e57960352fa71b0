"""A run that is killed at any moment and resumed gives what an unbroken one gives, bit for bit.

``DEEPSTORM_KILLED_RUNS`` sets how many runs of each kind are killed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.simulate import simulate
from deepstorm.io.images import read_image
from deepstorm.io.movies.opening import open_movie
from deepstorm.simulation.simulator import SimulationSettings

RUNS = int(os.environ.get("DEEPSTORM_KILLED_RUNS", "1"))
# How often a run is killed until it is left to end.
MOST_KILLS = 3 if RUNS > 1 else 1
SCRIPT = Path(__file__).with_name("killed_run.py")
UNRESUMABLE = 1


@dataclass(frozen=True)
class Kind:
    """A kind of run: its movie, its options, and how finely its field is divided."""

    frames: int
    side_px: int
    options: tuple[str, ...] = ()
    table: str = "csv"
    piece_px: int = 4096

    def environment(self) -> dict[str, str]:
        """Return what the script has to know."""
        return os.environ | {
            "TEST_VALUES_PER_BLOCK": str(self.side_px**2 * 64 * 2),
            "TEST_VALUES_PER_PIECE": str((self.piece_px * 8) ** 2),
        }


KINDS = {
    "plain": Kind(120, 48),
    "hdf5": Kind(120, 48, table="hdf5"),
    "windows": Kind(120, 48, ("--window", "30", "--step", "10")),
    "pieces": Kind(8, 150, piece_px=128),
}


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    kind = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    settings = SimulationSettings(
        frames=kind.frames, height_px=kind.side_px, width_px=kind.side_px, density_per_um2=1.0
    )
    simulate(settings, seed=3, movie=folder / "movie.tif")
    return Run(kind, folder)


class Run:
    """A command that can be killed."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder, self.log = kind, folder, folder / "messages"
        began = time.monotonic()
        assert self.start("whole").wait() == 0
        self.seconds = time.monotonic() - began

    def start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """Start the run with outputs of a name."""
        command = [
            *(sys.executable, str(SCRIPT), "reconstruct", str(self.folder / "movie.tif")),
            *("-o", str(self.folder / f"{name}.tif"), "--engine", "torch", *self.kind.options),
            *("--localizations", str(self.folder / f"{name}.{self.kind.table}"), *more),
        ]
        with self.log.open("wb") as log:
            return subprocess.Popen(
                command, env=self.kind.environment(), stdout=subprocess.DEVNULL, stderr=log
            )

    def files(self, name: str) -> list[str]:
        """Return the files of a name, hidden ones included, without the name."""
        return sorted(
            path.name.replace(name, "", 1) for path in self.folder.iterdir() if name in path.name
        )


def test_a_killed_run_resumes(run: Run) -> None:
    rng = random.Random(os.urandom(8))  # noqa: S311 - any moment will do
    for number in range(RUNS):
        name = f"run{number}"
        kills = 0
        process = run.start(name)
        while kills < MOST_KILLS:
            time.sleep(rng.uniform(0, run.seconds))
            if process.poll() is not None:
                break
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
            process.wait()
            kills += 1
            resumable = (run.folder / f".{name}.tif.partial").is_dir()
            # A kill while the files are put in place may leave all of them.
            process = run.start(name, "--overwrite", *(["--resume"] if resumable else []))
        if process.wait() == UNRESUMABLE and "no interrupted run" in run.log.read_text():
            process = run.start(name, "--overwrite")
        assert process.wait() == 0, run.log.read_text()
        assert_same(run, name)


def assert_same(run: Run, name: str) -> None:
    """The outputs of a name are those of the unbroken run, and nothing else is there."""
    assert run.files(name) == run.files("whole")
    image, _ = read_image(run.folder / f"{name}.tif")
    wanted, _ = read_image(run.folder / "whole.tif")
    assert image.tobytes() == wanted.tobytes()
    for ending in (f".{run.kind.table}", ".png"):
        if ending == ".hdf5":
            continue
        found = (run.folder / f"{name}{ending}").read_bytes()
        assert found == (run.folder / f"whole{ending}").read_bytes()
    if run.kind.table == "hdf5":
        assert_same_hdf5(run.folder / f"{name}.hdf5", run.folder / "whole.hdf5")
    if run.kind.options:
        lapses = []
        for each in (name, "whole"):
            with open_movie(run.folder / f"{each}_windows.tif") as lapse:
                lapses.append(lapse.read(0, lapse.shape[0]))
        np.testing.assert_array_equal(*lapses)


def assert_same_hdf5(found: Path, wanted: Path) -> None:
    """Two tables hold the same rows; their files may say when they were made."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(found) as one, h5py.File(wanted) as other:
        assert one["locs"][...].tobytes() == other["locs"][...].tobytes()
