"""Training pairs that are simulated on the fly: scaled frames and spikes at the emitters.

A source of examples gives the batch of any step directly, from its seed and the step's number
alone, so that a resumed training sees what an unbroken one would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from deepstorm.arrays import Float32Array
from deepstorm.config import Settings
from deepstorm.models.scaling import Scaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import Scene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Instrument
from deepstorm.training.examples.draws import (
    coverage,
    draw_blinking,
    draw_camera,
    draw_scene,
    log_rising,
    log_triangular,
)
from deepstorm.training.examples.protocol import TRAINING, Batch
from deepstorm.training.examples.truth import spike_images

# Part of the scenes in which the PSF has a halo.
HALO_SCENES = 0.5
# Detected photons of an EMCCD per effective one.
EMCCD_EXCESS_NOISE = 2.0


def _within(lowest: float, highest: float) -> AfterValidator:
    """Return a check that a range is ascending and lies between two values."""

    def check(limits: tuple[float, float]) -> tuple[float, float]:
        if not lowest <= limits[0] <= limits[1] <= highest:
            raise ValueError(
                f"the range {limits} cannot be used; give two numbers from {lowest:g} to "
                f"{highest:g}, the smaller one first"
            )
        return limits

    return AfterValidator(check)


Range = tuple[float, float]


class SimulatedExamples(Settings):
    """Scenes simulated on the fly, never the same one twice, over wide ranges.

    Each batch holds ``scenes`` short movies of ``frames_per_scene`` frames. The scaling is fitted
    to each short movie, as it is to a whole one at reconstruction; what it is told of camera and
    optics is wrong by as much as a calibration may be. Light from emitters beyond the border enters
    the frames, so that networks learn what borders of real images look like.

    Parameters
    ----------
    patch_px : int
        Side of a frame in camera pixels.
    scenes, frames_per_scene : int
        Their product is the batch size.
    local_density_per_um2 : (float, float)
        Emitters that are on per µm² of the area that the structure covers at the resolution of a
        microscope; the upper end (in the logarithm) is drawn most.
    sigma_px, mean_photons, background_photons : (float, float)
        Ranges over scenes, whose middle (in the logarithm) is drawn more often than their ends.
    background_share : float
        A background is at most this part of ``mean_photons``: beyond, nothing is seen.
    brightness_spread, unevenness, psf_spread : (float, float)
        Uniform ranges over scenes; see :class:`~deepstorm.simulation.blinking.Brightness`,
        :class:`~deepstorm.simulation.simulator.Background` and
        :class:`~deepstorm.simulation.psf.GaussianPsf`.
    halo_share, halo_width : (float, float)
        Uniform ranges over scenes with a halo, see
        :class:`~deepstorm.simulation.psf.GaussianPsf`; half of the scenes have none.
    switching_share : float
        Part of the scenes whose emitters switch on and off within frames.
    calibration_error : float
        Relative standard deviation of the errors of camera gain and background with which the
        scaling is told of the movie; that of the PSF's width is a third of it.
    light : str
        Whether photons are ``"detected"`` ones or ``"effective"`` ones, which
        :class:`~deepstorm.structures.Calibration` defines: an EMCCD needs twice as many detected
        photons for the same certainty.
    pixel_size_nm : (float, float)
        Sizes of camera pixels that these conditions stand for; not used in training, but kept with
        the network, which is refused for movies outside.
    """

    kind: Literal["simulated"] = "simulated"
    patch_px: int = Field(40, ge=8, le=512, multiple_of=4)
    scenes: int = Field(5, ge=1)
    frames_per_scene: int = Field(4, ge=1)
    local_density_per_um2: Annotated[Range, _within(1e-3, 1000)] = (0.1, 16.0)
    sigma_px: Annotated[Range, _within(0.1, 10)] = (0.8, 2.2)
    mean_photons: Annotated[Range, _within(1, 1e7)] = (100.0, 10_000.0)
    background_photons: Annotated[Range, _within(1e-3, 1e6)] = (1.0, 1000.0)
    background_share: float = Field(0.5, gt=0)
    brightness_spread: Annotated[Range, _within(0, 2)] = (0.1, 1.0)
    unevenness: Annotated[Range, _within(0, 1)] = (0.0, 0.3)
    psf_spread: Annotated[Range, _within(0, 0.5)] = (0.0, 0.15)
    halo_share: Annotated[Range, _within(0, 0.9)] = (0.0, 0.5)
    halo_width: Annotated[Range, _within(1, 10)] = (2.0, 4.0)
    switching_share: float = Field(0.25, ge=0, le=1)
    calibration_error: float = Field(0.12, ge=0, le=1)

    light: Literal["detected", "effective"] = "detected"

    # Camera pixels at which the widths above belong to a microscope for single molecules.
    pixel_size_nm: Annotated[Range, _within(1, 10_000)] = (50.0, 200.0)

    # Positions are drawn in units of camera pixels of this nominal size.
    nominal_pixel_nm: Literal[100] = 100

    @property
    def side_px(self) -> int:
        """Side of a training frame in camera pixels."""
        return self.patch_px

    def prepare(self, scaling: Scaling, upsampling: int, seed: int) -> SimulatedSource:
        """Return the source of batches, simulated with ``seed`` for networks of ``upsampling``."""
        return SimulatedSource(self, scaling, upsampling, seed)

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return the ranges that a network trained on these examples has seen.

        Light is in detected photons, whatever the camera.
        """
        names = (
            "local_density_per_um2",
            "sigma_px",
            "mean_photons",
            "background_photons",
            "pixel_size_nm",
        )
        ranges = {name: getattr(self, name) for name in names}
        if self.light == "effective":
            for name in ("mean_photons", "background_photons"):
                ranges[name] = (ranges[name][0], EMCCD_EXCESS_NOISE * ranges[name][1])
        return ranges

    def draw_settings(self, rng: np.random.Generator) -> SimulationSettings:
        """Draw what one short movie looks like."""
        photons = log_triangular(self.mean_photons, rng)
        base = SimulationSettings(
            frames=self.frames_per_scene,
            height_px=self.patch_px,
            width_px=self.patch_px,
            pixel_size_nm=self.nominal_pixel_nm,
            scene=self.draw_scene(rng),
            blinking=draw_blinking(self.switching_share, rng),
            psf=self.draw_psf(rng),
            brightness=Brightness(
                mean_photons=photons, relative_spread=rng.uniform(*self.brightness_spread)
            ),
            background=Background(
                mean_photons=min(
                    log_triangular(self.background_photons, rng), self.background_share * photons
                ),
                unevenness=rng.uniform(*self.unevenness),
            ),
            camera=draw_camera(rng),
        )
        density = log_rising(self.local_density_per_um2, rng) * coverage(base, rng)
        return self._in_detected_photons(base.model_copy(update={"density_per_um2": density}))

    def _in_detected_photons(self, settings: SimulationSettings) -> SimulationSettings:
        """Give a camera the detected photons that it needs for as many effective ones."""
        if self.light == "detected" or settings.camera.kind != "emccd":
            return settings
        brightness, background = (
            light.model_copy(update={"mean_photons": EMCCD_EXCESS_NOISE * light.mean_photons})
            for light in (settings.brightness, settings.background)
        )
        return settings.model_copy(update={"brightness": brightness, "background": background})

    def draw_psf(self, rng: np.random.Generator) -> GaussianPsf:
        """Draw the optics of one short movie."""
        return GaussianPsf(
            sigma_nm=self.nominal_pixel_nm * log_triangular(self.sigma_px, rng),
            relative_spread=rng.uniform(*self.psf_spread),
            halo_share=rng.uniform(*self.halo_share) if rng.random() < HALO_SCENES else 0.0,
            halo_width=rng.uniform(*self.halo_width),
        )

    def draw_scene(self, rng: np.random.Generator) -> Scene:
        """Draw where the emitters of one short movie are."""
        return draw_scene(rng)

    def told_instrument(self, settings: SimulationSettings, rng: np.random.Generator) -> Instrument:
        """Return camera and optics of a short movie as a calibration might find them."""
        error_of_gain, error_of_background, error_of_width = np.exp(
            self.calibration_error * rng.normal(size=3) * (1, 1, 1 / 3)
        )
        zero_adu, adu_per_photon = settings.camera.noise_line()
        level_adu = settings.camera.mean_adu(settings.background.mean_photons)
        told_gain = adu_per_photon * error_of_gain
        background = (level_adu - zero_adu) / adu_per_photon * error_of_background
        return Instrument(
            zero_adu=level_adu - told_gain * background,
            adu_per_photon=told_gain,
            sigma_px=settings.psf.sigma_nm / settings.pixel_size_nm * error_of_width,
        )


@dataclass(frozen=True, slots=True)
class SimulatedSource:
    """Batches of :class:`SimulatedExamples`.

    Parameters
    ----------
    examples : SimulatedExamples
    scaling : Scaling
    upsampling : int
        Super-resolution pixels per camera pixel.
    seed : int
        With a stream and a step, it decides a batch.
    """

    examples: SimulatedExamples
    scaling: Scaling
    upsampling: int
    seed: int

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return the ranges of the settings."""
        return self.examples.validity()

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        """Simulate the batch of one step of one stream."""
        rng = np.random.default_rng([self.seed, stream, step])
        pairs = [self._short_movie(rng) for _ in range(self.examples.scenes)]
        return Batch(
            np.concatenate([frames for frames, _ in pairs]),
            np.concatenate([spikes for _, spikes in pairs])[:, None],
        )

    def _short_movie(self, rng: np.random.Generator) -> tuple[Float32Array, Float32Array]:
        settings = self.examples.draw_settings(rng)
        movie = simulate_movie(settings, rng)
        frames = np.concatenate(list(movie.frames()))
        side = self.examples.patch_px * self.upsampling
        spikes = spike_images(
            movie.truth, (settings.frames, side, side), settings.pixel_size_nm / self.upsampling
        )
        told = self.examples.told_instrument(settings, rng)
        return self.scaling.fit(frames, told).apply(frames), spikes
