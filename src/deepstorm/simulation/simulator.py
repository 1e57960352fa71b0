"""Compose scene, blinking, PSF, background and camera into frames with known truth.

The stages, in order; each is a public function or method of its own:

1. ``scene.realise`` — the structure (:mod:`deepstorm.simulation.scenes`);
2. ``blinking.sample`` — which emitters are on in which frame
   (:mod:`deepstorm.simulation.blinking`);
3. ``psf.image`` — their light on the pixels, in photons;
4. ``background.realise`` — light from elsewhere, in photons;
5. ``camera.expose`` and :func:`~deepstorm.simulation.camera.digitise` — counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from deepstorm.arrays import Float64Array
from deepstorm.config import Settings
from deepstorm.simulation.blinking import AnyBlinking, Brightness, IndependentBlinking
from deepstorm.simulation.camera import AnyCamera, EmccdCamera, digitise
from deepstorm.simulation.optics import AnyPsf
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scene_kinds import AnyScene
from deepstorm.simulation.scenes import FilamentScene
from deepstorm.simulation.structures import FieldOfView
from deepstorm.structures import Localizations

FRAMES_PER_BLOCK = 64
# Fewer frames make a block of a large camera, whose blocks would not fit into memory.
PIXELS_PER_BLOCK = 2**25


class Background(Settings):
    """Light that does not come from emitters that are on.

    Parameters
    ----------
    mean_photons : float
        Mean photons per camera pixel and frame.
    unevenness : float
        Relative standard deviation over the field of a smooth random pattern; 0 is uniform.
    """

    mean_photons: float = Field(default=20.0, ge=0, le=1e6)
    unevenness: float = Field(default=0.0, ge=0, le=1)

    def realise(self, shape: tuple[int, int], rng: np.random.Generator) -> Float64Array:
        """Draw the background, shape (y, x), in expected photons per pixel.

        No pixel has less than a twentieth of the mean; only an unevenness above about 0.3 can
        reach that floor.
        """
        if self.unevenness == 0:
            return np.full(shape, self.mean_photons)
        y = np.linspace(0, np.pi, shape[0])[:, None]
        x = np.linspace(0, np.pi, shape[1])[None, :]
        pattern = np.zeros(shape)
        for u, v in [(0, 1), (1, 0), (1, 1), (0, 2), (2, 0)]:
            phase_u, phase_v = rng.uniform(0, 2 * np.pi, 2)
            pattern += rng.normal() * np.cos(u * y + phase_u) * np.cos(v * x + phase_v)
        pattern -= pattern.mean()
        pattern /= max(float(pattern.std()), 1e-12)
        return self.mean_photons * np.clip(1 + self.unevenness * pattern, 0.05, None)


class SimulationSettings(Settings):
    """Everything that decides what a simulated movie looks like.

    Parameters
    ----------
    frames, height_px, width_px : int
        Size of the movie.
    pixel_size_nm : float
        Size of a camera pixel in the sample.
    density_per_um2 : float
        Mean number of emitters that are on in a frame, per µm² of the area in which the scene has
        them: the camera's field, and for scenes that go on beyond it a margin from which light
        still enters.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range, or the PSF is wider than any microscope's.

    Notes
    -----
    The image of a :class:`~deepstorm.simulation.measured.MeasuredPsf` is put in place after
    reading, before a movie is simulated.
    """

    frames: int = Field(default=361, ge=1, le=10_000_000)
    height_px: int = Field(default=64, ge=1, le=16_384)
    width_px: int = Field(default=64, ge=1, le=16_384)
    pixel_size_nm: float = Field(default=100.0, ge=1, le=10_000)
    density_per_um2: float = Field(default=5.0, ge=0, le=1000)
    scene: AnyScene = FilamentScene()
    blinking: AnyBlinking = IndependentBlinking()
    brightness: Brightness = Brightness()
    psf: AnyPsf = GaussianPsf()
    background: Background = Background()
    camera: AnyCamera = EmccdCamera()

    @model_validator(mode="after")
    def _check_psf(self) -> Self:
        self.psf.check(self.pixel_size_nm)
        return self

    def field_of_view(self) -> FieldOfView:
        """Return the field with a margin from which light still reaches the camera."""
        return FieldOfView(
            width_nm=self.width_px * self.pixel_size_nm,
            height_nm=self.height_px * self.pixel_size_nm,
            margin_nm=self.psf.reach_nm,
        )


@dataclass(frozen=True, slots=True)
class SimulatedMovie:
    """A movie that has been decided but not yet exposed.

    Parameters
    ----------
    settings : SimulationSettings
    emitters : Localizations
        All emitters by frame, those in the margin around the field as well.
    background : ndarray, shape (y, x)
        Expected photons per pixel.
    rng : numpy.random.Generator
        Source of the noise.
    """

    settings: SimulationSettings
    emitters: Localizations
    background: Float64Array
    rng: np.random.Generator

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size (frame, y, x)."""
        return self.settings.frames, self.settings.height_px, self.settings.width_px

    @property
    def truth(self) -> Localizations:
        """The emitters within the field."""
        pixel = self.settings.pixel_size_nm
        x, y = self.emitters.x_nm / pixel, self.emitters.y_nm / pixel
        return self.emitters.select((x >= 0) & (x < self.shape[2]) & (y >= 0) & (y < self.shape[1]))

    def expected_photons(self, start: int, stop: int) -> Float64Array:
        """Return the noise-free light of frames ``start`` to ``stop``, shape (frame, y, x)."""
        first, last = np.searchsorted(self.emitters.frame, [start, stop])
        seen = self.emitters.select(slice(int(first), int(last)))
        light = self.settings.psf.image(
            replace(seen, frame=seen.frame - start),
            self.settings.pixel_size_nm,
            (stop - start, *self.shape[1:]),
        )
        return light + self.background

    def frames(self) -> Iterator[npt.NDArray[np.uint16]]:
        """Expose the movie block by block, each of shape (frame, y, x); once only."""
        n_frames, height_px, width_px = self.shape
        block = min(max(PIXELS_PER_BLOCK // (height_px * width_px), 1), FRAMES_PER_BLOCK)
        for start in range(0, n_frames, block):
            stop = min(start + block, n_frames)
            light = self.expected_photons(start, stop)
            yield digitise(self.settings.camera.expose(light, self.rng))


def simulate_movie(settings: SimulationSettings, rng: np.random.Generator) -> SimulatedMovie:
    """Decide where and when emitters are on; the frames are exposed as they are asked for.

    Parameters
    ----------
    settings : SimulationSettings
    rng : numpy.random.Generator
        The same state gives the same movie.

    Returns
    -------
    SimulatedMovie
        Its ``truth`` is the table of emitters, its ``frames()`` the counts.
    """
    field = settings.field_of_view()
    structure = settings.scene.realise(field, rng)
    frame, positions, photons = settings.blinking.sample(
        structure,
        settings.density_per_um2 * structure.field.area_um2,
        settings.frames,
        settings.brightness,
        rng,
    )
    background = settings.background.realise((settings.height_px, settings.width_px), rng)
    emitters = Localizations(
        frame=frame,
        x_nm=positions[:, 0],
        y_nm=positions[:, 1],
        photons=photons,
        **settings.psf.sample(len(frame), rng),
        background_photons=np.full(len(frame), settings.background.mean_photons),
    )
    return SimulatedMovie(settings, emitters, background, rng)
