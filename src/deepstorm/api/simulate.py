"""``simulate``: a blinking movie with known truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from deepstorm.api.measured_psf import with_psf_read
from deepstorm.arrays import AnyArray, PathLike
from deepstorm.config import read_settings, validated
from deepstorm.errors import InputError, PixelSizeNeededError
from deepstorm.files import output_set
from deepstorm.io.images import read_image
from deepstorm.io.movies.writing import write_movie
from deepstorm.io.tables.localizations import (
    files_of_table,
    read_localizations,
    write_localizations,
)
from deepstorm.simulation.image_scene import ImageScene
from deepstorm.simulation.measured import MeasuredPsf
from deepstorm.simulation.simulator import SimulationSettings, simulate_movie
from deepstorm.structures import Localizations


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated movie.

    Parameters
    ----------
    truth : Localizations
        Every emitter in every frame.
    frames : ndarray of uint16, shape (frame, y, x), optional
        Camera counts, where they were not written to a file.
    """

    truth: Localizations
    frames: npt.NDArray[np.uint16] | None = None


def simulation_settings(
    path: PathLike | None = None,
    *,
    frames: int | None = None,
    density_per_um2: float | None = None,
    positions: PathLike | None = None,
) -> SimulationSettings:
    """Read settings from TOML, microtubules where absent, with some of them replaced.

    Parameters
    ----------
    path : path-like, optional
        TOML file.
    frames : int, optional
        Length of the movie.
    density_per_um2 : float, optional
        Emitters that are on in a frame, per µm² of the field.
    positions : path-like, optional
        Table of localizations at whose places emitters blink, in place of the scene. One in camera
        pixels of unknown size is taken to mean the simulation's.

    Raises
    ------
    InputError
        If a file or a setting cannot be used.
    """
    base = read_settings(SimulationSettings, path) if path is not None else SimulationSettings()
    given: dict[str, Any] = {"frames": frames, "density_per_um2": density_per_um2}
    if positions is not None:
        table = _places(positions, base.pixel_size_nm)
        places = tuple(zip(table.x_nm.tolist(), table.y_nm.tolist(), strict=True))
        given["scene"] = {"kind": "table", "positions_nm": places}
    replaced = {name: value for name, value in given.items() if value is not None}
    return validated(SimulationSettings, base.model_dump() | replaced, "the simulation")


def _places(positions: PathLike, pixel_size_nm: float) -> Localizations:
    """Read a table, whose own pixel size counts for more than the one that is given."""
    try:
        return read_localizations(positions)
    except PixelSizeNeededError:
        return read_localizations(positions, pixel_size_nm=pixel_size_nm)


def simulate(
    settings: SimulationSettings | PathLike | None = None,
    *,
    seed: int = 0,
    movie: PathLike | None = None,
    truth: PathLike | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int], None] = lambda frames: None,
) -> Simulation:
    """Simulate a blinking movie with known truth.

    Parameters
    ----------
    settings : SimulationSettings or path-like, optional
        Settings, or a TOML file of them; microtubules where absent.
    seed : int
        The same seed gives the same movie.
    movie, truth : path-like, optional
        Files to write: an ImageJ-readable TIFF, and a table of the emitters.
    overwrite : bool
        Whether existing files may be replaced.
    on_progress : callable
        Called with the number of frames done.

    Returns
    -------
    Simulation
        With ``frames`` in memory only where no ``movie`` was named.

    Raises
    ------
    InputError
        If a setting cannot be used or a file not be written.
    """
    chosen = settings if isinstance(settings, SimulationSettings) else simulation_settings(settings)
    files, inputs = [movie, *files_of_table(truth)], [settings, *_files_of(chosen)]
    with output_set(files, overwrite=overwrite, inputs=inputs) as outputs:
        chosen = with_image_read(with_psf_read(chosen))
        pixel_nm = chosen.pixel_size_nm
        decided = simulate_movie(chosen, np.random.default_rng(seed))
        counted = _counted(decided.frames(), on_progress)
        frames = None
        if movie is None:
            frames = np.concatenate(list(counted))
        else:
            write_movie(outputs.staged(movie), counted, pixel_nm)
        if truth is not None:
            write_localizations(
                outputs.staged(truth), decided.truth, pixel_size_nm=pixel_nm, shape=decided.shape
            )
    return Simulation(decided.truth, frames)


def _files_of(settings: SimulationSettings) -> list[str]:
    """Return the files that settings name."""
    parts = (settings.scene, settings.psf)
    return [part.path for part in parts if isinstance(part, ImageScene | MeasuredPsf)]


def with_image_read(settings: SimulationSettings) -> SimulationSettings:
    """Return settings whose scene, if it is an image, has been read from its file.

    Raises
    ------
    InputError
        If the file cannot be used.
    """
    scene = settings.scene
    if not isinstance(scene, ImageScene) or scene.is_read:
        return settings
    return settings.model_copy(update={"scene": scene.with_image(*image_with_size(scene.path))})


def image_with_size(path: PathLike) -> tuple[AnyArray, float]:
    """Return an image and the size of its pixels in nm, which the file has to tell."""
    image, pixel_nm = read_image(path)
    if pixel_nm is None:
        raise InputError(
            f"'{path}' does not say how large its pixels are, which a scene needs; save it again "
            "with its pixel size, as deepstorm reconstruct does"
        )
    return image, pixel_nm


def _counted(
    blocks: Iterator[npt.NDArray[np.uint16]], on_progress: Callable[[int], None]
) -> Iterator[npt.NDArray[np.uint16]]:
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        on_progress(done)
