"""Every command leaves its old files or its new ones, whatever fails while it writes them.

Some system calls are tried; all of them with ``DEEPSTORM_EVERY_FAULT=1`` in the environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from deepstorm.api.calibrate import CalibrationOutputs, calibrate
from deepstorm.api.measured_psf import measure_psf
from deepstorm.api.outputs import Outputs
from deepstorm.api.reconstruct import reconstruct
from deepstorm.api.simulate import simulate
from deepstorm.api.train import train
from deepstorm.arrays import AnyArray
from deepstorm.demo import run_demo
from deepstorm.io.tables.localizations import write_localizations
from deepstorm.paper.findings import Finding, Picture
from deepstorm.paper.store import Store
from deepstorm.reconstruction.windows import Windows
from deepstorm.reports.pictures import write_preview
from deepstorm.simulation.simulator import SimulationSettings
from deepstorm.structures import Localizations
from faults import RECIPE, Action, at_each, before_call, contents, disk_is_full, interrupt


def _movie(seed: int) -> AnyArray:
    settings = SimulationSettings(frames=12, width_px=32, height_px=32)
    frames = simulate(settings, seed=seed).frames
    assert frames is not None
    return frames


def _simulate(folder: Path, seed: int, table: str) -> None:
    settings = SimulationSettings(frames=3, width_px=16, height_px=16)
    movie, truth = folder / "movie.tif", folder / table
    simulate(settings, seed=seed, movie=movie, truth=truth, overwrite=True)


def _reconstruct(folder: Path, seed: int, table: str) -> None:
    outputs = Outputs(
        folder / "image.tif",
        folder / "image.json",
        folder / "image.png",
        folder / table,
        folder / "image_windows.tif",
    )
    reconstruct(
        _movie(seed), outputs=outputs, pixel_size_nm=100, windows=Windows(6, 6), overwrite=True
    )


def _calibrate(folder: Path, seed: int, _: str) -> None:
    outputs = CalibrationOutputs(folder / "c.json", folder / "c.png")
    calibrate(_movie(seed), pixel_size_nm=100, outputs=outputs, overwrite=True)


def _measure_psf(folder: Path, seed: int, _: str) -> None:
    beads = np.random.default_rng(seed).poisson(50, (1, 64, 64)).astype(np.uint16)
    places = np.array([16.0, 48.0, 16.0, 48.0]), np.array([16.0, 16.0, 48.0, 48.0])
    y, x = np.mgrid[:64, :64] + 0.5
    for at_x, at_y in zip(*places, strict=True):
        spot = 5000 * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 2)
        beads[0] += spot.astype(np.uint16)
    frames = np.repeat(np.arange(20), 4)
    positions = Localizations(frames, *(np.tile(place, 20) * 100 for place in places))
    movie = np.repeat(beads, 20, axis=0)
    measure_psf(movie, folder / "psf.tif", positions=positions, pixel_size_nm=100, overwrite=True)


def _table(folder: Path, seed: int, table: str) -> None:
    rng = np.random.default_rng(seed)
    places = Localizations(np.arange(9), rng.uniform(0, 900, 9), rng.uniform(0, 900, 9))
    write_localizations(folder / table, places, pixel_size_nm=100 + seed, overwrite=True)


def _picture(folder: Path, seed: int, _: str) -> None:
    image = np.random.default_rng(seed).uniform(size=(16, 16))
    write_preview(folder / "picture.png", image, 100, overwrite=True)


def _paper(folder: Path, seed: int, _: str) -> None:
    pictures = tuple(Picture(name, f"{seed}", f"{name}{seed}".encode()) for name in ("a", "b"))
    Store(folder).write("part", {"seed": seed}, Finding((), pictures, {}, None))


def _demo(folder: Path, seed: int, _: str) -> None:
    run_demo(folder, 3, seed, overwrite=True)


def _train(folder: Path, seed: int, _: str) -> None:
    recipe, home = folder.parent / "recipe.toml", folder.parent / "training"
    recipe.write_text(RECIPE.format(seed=seed))
    train(recipe, home, output=folder / "net.safetensors", overwrite=True, resume=False)
    assert not list(home.glob(".*"))


@dataclass(frozen=True)
class Command:
    """What writes files, in how many system calls, of which some are tried."""

    write: Callable[[Path, int, str], None]
    table: str = ""
    step: int = 1


WORKSPACE = ".image.tif.partial"
COMMANDS = {
    "simulate": Command(_simulate, "truth.csv", 5),
    "simulate for Picasso": Command(_simulate, "truth.hdf5", 7),
    "reconstruct": Command(_reconstruct, "image.csv", 17),
    "reconstruct for Picasso": Command(_reconstruct, "image.hdf5", 21),
    "demo": Command(_demo, step=31),
    "train": Command(_train, step=6),
    "calibrate": Command(_calibrate, step=7),
    "calibrate --psf": Command(_measure_psf, step=2),
    "Picasso's pair": Command(_table, "table.hdf5", 2),
    "table": Command(_table, "table.csv"),
    "picture": Command(_picture),
    "reproduce": Command(_paper, step=3),
}


@pytest.mark.parametrize("action", [disk_is_full, interrupt])
@pytest.mark.parametrize("name", COMMANDS)
def test_old_or_new(name: str, action: Action, tmp_path: Path) -> None:
    command = COMMANDS[name]
    folders = [tmp_path / name for name in ("old", "new")]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        command.write(folder, seed, command.table)
    old, new = (contents(folder) for folder in folders)
    assert old.keys() == new.keys()
    changing = [file for file in old if old[file] != new[file]]
    assert changing

    def prepared(number: int) -> Path:
        shutil.copytree(folders[0], tmp_path / str(number))
        return tmp_path / str(number)

    faults = at_each(
        lambda number, folder: before_call(number, folder, action),
        prepared,
        lambda folder: command.write(folder, 1, command.table),
        step=command.step,
    )
    tried = 0
    for place, folder, error in faults:
        tried += 1
        left = contents(folder)
        if error is not None:  # what a reconstruction can be resumed from stays
            left = {name: text for name, text in left.items() if WORKSPACE not in name}
        assert left.keys() == old.keys(), place
        is_old = left == old
        assert is_old or all(left[file] != old[file] for file in changing), place
        assert is_old or action is interrupt or len(old) == 1 or error is None, place
        assert not (is_old and error is None), place
        assert {path.name for path in folder.rglob(".*")} <= {WORKSPACE}, place
    assert tried >= 3
    print(f"{name}: {tried} faults")  # noqa: T201


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only the superuser mounts a disk"
)
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("this system does not let disks be mounted")
    try:
        _simulate(disk, 0, "truth.csv")
        old = contents(disk)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        tried = 0
        for left in range(0, 16 * 1024, 4096):
            (disk / "filling").write_bytes(bytes(free - left))
            try:
                _simulate(disk, 1, "truth.csv")
            except OSError:
                tried += 1
            (disk / "filling").unlink()
            found = contents(disk)
            assert found.keys() == old.keys()
            assert found == old or all(found[name] != old[name] for name in old)
            _simulate(disk, 0, "truth.csv")
        assert tried > 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)
