"""Simulated movies as a refiner learns from them: what each of them shows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PrivateAttr, model_validator

from deepstorm.errors import InputError
from deepstorm.simulation.image_scene import ImageScene
from deepstorm.simulation.scenes import FilamentScene, Scene
from deepstorm.simulation.simulator import SimulatedMovie, simulate_movie
from deepstorm.training.examples.draws import draw_scene, log_uniform
from deepstorm.training.examples.simulated import SimulatedExamples

# So many scenes are drawn before conditions are taken for impossible.
MOST_DRAWS = 1000


class MovieExamples(SimulatedExamples):
    """Conditions of whole movies.

    See :class:`~deepstorm.training.examples.simulated.SimulatedExamples`.

    Parameters
    ----------
    frames_per_scene : int
        Frames of a movie.
    scenes : int
        A movie shows one.
    close_lines : float
        Part of the scenes that are two or three filaments side by side, 15 to 90 nm apart: where
        frames cannot tell them apart, the sums over a movie may.
    broad : float
        Part of the scenes that are broad bands, such as mitochondria: a refiner that knows thin
        filaments alone would draw them as strands.
    uniform_kept : float
        Part of the uniform scenes that are kept, others are drawn again: they hold no structure,
        and teach no more than to leave them alone.
    least_emitters : int
        Movies with fewer, each counted in every frame, are drawn again.
    structures_path : str, optional
        A super-resolution image, such as a first reconstruction of the movie that the refiner is
        for. It is read by the caller, who puts it in place by :meth:`with_structures`.
    structures_share : float
        Part of the scenes that show pieces of that image, turned, mirrored and zoomed at random.
    """

    scenes: Literal[1] = 1
    frames_per_scene: int = Field(300, ge=1, le=10_000)
    close_lines: float = Field(0.15, ge=0, le=1)
    broad: float = Field(0.1, ge=0, le=1)
    uniform_kept: float = Field(0.4, ge=0, le=1)
    least_emitters: int = Field(1200, ge=1)
    structures_path: str | None = None
    structures_share: float = Field(0.7, ge=0, le=1)

    _structures: ImageScene | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _shares_are_shares(self) -> MovieExamples:
        if self.close_lines + self.broad > 1:
            raise ValueError(
                f"'close_lines' = {self.close_lines:g} and 'broad' = {self.broad:g} are "
                "fractions of all scenes and add up to more than 1; lower one"
            )
        return self

    def with_structures(self, image: npt.ArrayLike, pixel_size_nm: float) -> MovieExamples:
        """Return a copy whose scenes can show the image of ``structures_path``.

        Parameters
        ----------
        image : array_like, shape (y, x)
        pixel_size_nm : float
            Size of its pixels in the sample.

        Raises
        ------
        InputError
            If it cannot be a scene, or no path says what it is.
        """
        if self.structures_path is None:
            raise InputError("no image of structures was asked for; set 'structures_path'")
        filled = self.model_copy()
        scene = ImageScene(path=self.structures_path)
        filled._structures = scene.with_image(image, pixel_size_nm)
        return filled

    @property
    def structures_checksum(self) -> str | None:
        """What tells the image of structures from others; none where it has not been read."""
        return None if self._structures is None else self._structures.checksum()

    def _own_structures(self) -> ImageScene:
        if self._structures is None:
            raise InputError(
                f"the image of structures '{self.structures_path}' has not been read; supply it "
                "through with_structures"
            )
        return self._structures

    def draw_scene(self, rng: np.random.Generator) -> Scene:
        """Draw where the emitters of a movie are."""
        if self.structures_path is not None and rng.random() < self.structures_share:
            return self._own_structures().drawn(rng)
        kind = rng.random()
        if kind < self.close_lines:
            return _close_lines(rng)
        if kind < self.close_lines + self.broad:
            return _broad_bands(rng)
        return draw_scene(rng)

    def draw_movie(self, rng: np.random.Generator) -> SimulatedMovie:
        """Draw a movie that has something to teach.

        Raises
        ------
        InputError
            If none is found.
        """
        for _ in range(MOST_DRAWS):
            settings = self.draw_settings(rng)
            if settings.scene.kind == "uniform" and rng.random() >= self.uniform_kept:
                continue
            movie = simulate_movie(settings, rng)
            if len(movie.truth) >= self.least_emitters:
                return movie
        raise InputError(
            f"none of {MOST_DRAWS} simulated movies of {self.frames_per_scene} frames had "
            f"{self.least_emitters} emitters; lower 'least_emitters', or raise the density, the "
            "number of frames or their size"
        )


def _close_lines(rng: np.random.Generator) -> FilamentScene:
    """Draw two or three nearly parallel thin filaments."""
    return FilamentScene(
        filaments=int(rng.integers(2, 4)),
        radius_nm=rng.uniform(0, 15),
        bend_per_um=log_uniform((0.005, 0.8), rng),
        spacing_nm=log_uniform((15, 90), rng),
    )


def _broad_bands(rng: np.random.Generator) -> FilamentScene:
    """Draw tubes much wider than a microtubule."""
    return FilamentScene(
        filaments=int(rng.integers(1, 5)),
        radius_nm=log_uniform((30, 300), rng),
        bend_per_um=log_uniform((0.02, 0.8), rng),
    )
