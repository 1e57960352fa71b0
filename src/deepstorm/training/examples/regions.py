"""Training pairs as in the paper (§2.1.2): random regions of a few frames with known emitters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field, model_validator

from deepstorm.arrays import IntArray
from deepstorm.calibration.calibrate import calibrate_frames
from deepstorm.config import Settings
from deepstorm.errors import InputError
from deepstorm.models.scaling import AnyFrames, FittedScaling, Scaling
from deepstorm.simulation.blinking import Brightness
from deepstorm.simulation.camera import EmccdCamera
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.simulation.scenes import UniformScene
from deepstorm.simulation.simulator import Background, SimulationSettings, simulate_movie
from deepstorm.structures import Localizations
from deepstorm.training.examples.plausibility import check_positions
from deepstorm.training.examples.protocol import TRAINING, Batch
from deepstorm.training.examples.truth import RegionTruth

# Streams of random numbers: how regions are cut, in what order they come, and the simulation.
CUTS, ORDER, SIMULATION = 1, 2, 3
# A scaling is taken from no more regions than these, which is more than the paper trained on.
SCALED_REGIONS = 10_000


def paper_simulation() -> SimulationSettings:
    """Return what the paper simulates for its Fig. 4: uniform emitters at 6 per µm²."""
    return SimulationSettings(
        frames=20,
        density_per_um2=6.0,
        scene=UniformScene(),
        brightness=Brightness(mean_photons=2250.0, relative_spread=0.06),
        psf=GaussianPsf(sigma_nm=110.5, relative_spread=0.025),
        background=Background(mean_photons=20.0),
        camera=EmccdCamera(),
    )


@dataclass(frozen=True, slots=True)
class KnownFrames:
    """Frames whose emitters are known.

    Parameters
    ----------
    frames : ndarray, shape (frame, y, x)
        Camera counts.
    emitters : Localizations
    pixel_size_nm : float
        Size of a camera pixel.
    """

    frames: AnyFrames
    emitters: Localizations
    pixel_size_nm: float


class RegionExamples(Settings):
    """Random regions of simulated or given frames, each frame's regions all on one side.

    Frames are split between training and validation before regions are cut. Those held back follow
    each other, so that no emitter is in both but where it is on at an end of that run.

    Parameters
    ----------
    simulation : SimulationSettings
        What is simulated where no files are given.
    frames_path, positions_path : str, optional
        A movie and the table of its emitters, in place of the simulation.
    pixel_size_nm : float
        Camera pixel of the given movie.
    region_px : int
        Side of a region in camera pixels.
    regions_per_frame : int
    min_emitters : int
        Regions with fewer emitters are drawn again.
    validation_fraction : float
        Part of the frames that is held back.
    batch_size : int
    """

    kind: Literal["regions"] = "regions"
    simulation: SimulationSettings = Field(default_factory=paper_simulation)
    frames_path: str | None = None
    positions_path: str | None = None
    pixel_size_nm: float = Field(100.0, ge=1, le=10_000)
    region_px: int = Field(26, ge=4, le=1024)
    regions_per_frame: int = Field(500, ge=1)
    min_emitters: int = Field(7, ge=0)
    validation_fraction: float = Field(0.3, gt=0, lt=1)
    batch_size: int = Field(16, ge=1)

    @model_validator(mode="after")
    def _both_files_or_none(self) -> RegionExamples:
        if (self.frames_path is None) != (self.positions_path is None):
            raise ValueError("give both frames_path and positions_path, or neither")
        return self

    @property
    def side_px(self) -> int:
        """Side of a training frame in camera pixels."""
        return self.region_px

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return the conditions that a network trained on the simulated regions has seen."""
        if self.frames_path is not None:
            return {}
        simulation = self.simulation
        sigma_px = simulation.psf.sigma_nm / simulation.pixel_size_nm
        values = {
            "local_density_per_um2": simulation.density_per_um2,
            "sigma_px": sigma_px,
            "mean_photons": simulation.brightness.mean_photons,
            "background_photons": simulation.background.mean_photons,
        }
        return {name: (value, value) for name, value in values.items()}

    def prepare(
        self, scaling: Scaling, upsampling: int, seed: int, given: KnownFrames | None = None
    ) -> RegionSource:
        """Cut the regions and return the source of batches.

        Parameters
        ----------
        scaling : Scaling
        upsampling : int
            Super-resolution pixels per camera pixel.
        seed : int
        given : KnownFrames, optional
            The given frames; simulated where absent.

        Raises
        ------
        InputError
            If frames are too few, too small, or hold too few emitters, or the positions do not
            belong to the given frames.
        """
        known = given if given is not None else self._simulate(seed)
        count, height, width = known.frames.shape
        if count < 2 or min(height, width) < self.region_px:
            raise InputError(
                f"the training movie has {count} frames of {height} × {width} pixels; expected at "
                f"least 2 frames, none smaller than the regions of {self.region_px} pixels"
            )
        if given is not None:
            check_positions(known.frames, known.emitters, known.pixel_size_nm)
        rng = np.random.default_rng([seed, CUTS])
        held_back = min(max(round(self.validation_fraction * count), 1), count - 1)
        start = rng.integers(count - held_back + 1)
        order = np.roll(np.arange(count), -start)
        return RegionSource(
            self,
            known,
            scaling,
            upsampling,
            seed,
            training=self._cut(order[held_back:], known, rng),
            validation=self._cut(order[:held_back], known, rng),
        )

    def _simulate(self, seed: int) -> KnownFrames:
        # A list that ended in 0 would give the movie that `simulate` makes with the same seed.
        movie = simulate_movie(self.simulation, np.random.default_rng([seed, SIMULATION]))
        frames = np.concatenate(list(movie.frames()))
        return KnownFrames(frames, movie.truth, self.simulation.pixel_size_nm)

    def _cut(self, frames: IntArray, known: KnownFrames, rng: np.random.Generator) -> IntArray:
        """Draw corners (frame, top, left) of regions with enough emitters, shape (n, 3)."""
        limit = np.array(known.frames.shape[1:]) - self.region_px + 1
        corners = []
        for frame in frames:
            here = known.emitters.select(known.emitters.frame == frame)
            row, column = here.y_nm / known.pixel_size_nm, here.x_nm / known.pixel_size_nm
            tried = rng.integers(0, limit, (20 * self.regions_per_frame, 2))
            inside_y = (row >= tried[:, :1]) & (row < tried[:, :1] + self.region_px)
            inside_x = (column >= tried[:, 1:]) & (column < tried[:, 1:] + self.region_px)
            enough = (inside_y & inside_x).sum(axis=1) >= self.min_emitters
            chosen = tried[enough][: self.regions_per_frame]
            corners.append(np.column_stack([np.full(len(chosen), frame), chosen]))
        found = np.concatenate(corners)
        if len(found) < self.batch_size:
            raise InputError(
                f"only {len(found)} regions of {self.region_px} pixels hold at least "
                f"{self.min_emitters} emitters; expected {self.batch_size} or more: "
                "use denser frames or lower min_emitters"
            )
        return found


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, number: int) -> IntArray:
    """Return the order of the regions in an epoch; kept, since every step asks."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(number)


@dataclass(frozen=True)
class RegionSource:
    """Batches of :class:`RegionExamples`.

    Parameters
    ----------
    examples : RegionExamples
    known : KnownFrames
        The frames that regions are cut from.
    base_scaling : Scaling
        As in the settings, before it has seen the training regions.
    upsampling : int
        Super-resolution pixels per camera pixel.
    seed : int
        Decides the order of regions.
    training, validation : ndarray of int, shape (n, 3)
        Corners (frame, top, left) of the regions, in camera pixels.
    """

    examples: RegionExamples
    known: KnownFrames
    base_scaling: Scaling
    upsampling: int
    seed: int
    training: IntArray
    validation: IntArray

    @cached_property
    def scaling(self) -> Scaling:
        """The scaling as it follows from the training regions."""
        number = min(len(self.training), SCALED_REGIONS)
        spread = np.linspace(0, len(self.training) - 1, number).astype(np.int64)
        return self.base_scaling.trained_on(self._regions(self.training[spread]))

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return the conditions of the simulation; of given frames nothing is known."""
        return self.examples.validity()

    @cached_property
    def _fitted(self) -> FittedScaling:
        """The scaling that knows all of the frames."""
        frames = self.known.frames
        return self.scaling.fit(frames, calibrate_frames(frames).instrument)

    @cached_property
    def _truth(self) -> RegionTruth:
        known = self.known
        side_px = self.examples.region_px
        return RegionTruth(known.emitters, known.pixel_size_nm, self.upsampling, side_px)

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        """Return the batch of a step: every epoch sees each training region once, shuffled anew."""
        corners = self.training if stream == TRAINING else self.validation
        per_epoch = len(corners) // self.examples.batch_size
        epoch, within = divmod(step, per_epoch)
        order = _shuffled(self.seed, epoch, len(corners))
        start = within * self.examples.batch_size
        chosen = corners[order[start : start + self.examples.batch_size]]
        frames = self._fitted.apply(self._regions(chosen))
        spikes = [self._truth.spikes(self._truth.pixels(corner)) for corner in chosen]
        return Batch(frames, np.stack(spikes)[:, None])

    def _regions(self, corners: IntArray) -> AnyFrames:
        side = self.examples.region_px
        every = sliding_window_view(self.known.frames, (side, side), (1, 2))  # f, y, x, side²
        cut: AnyFrames = every[tuple(corners.T)]
        return cut
