"""The same network trained on composites of measured frames, and on a plain simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from deepstorm.api.train import train as run
from deepstorm.arrays import Float32Array
from deepstorm.evaluation.detection import DetectionRates, detection_rates
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.scaling import FittedScaling, PhotonScaling
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.paper.dot_sample import (
    BATCH,
    PIXEL_NM,
    PIXEL_SR_NM,
    REGION_PX,
    UPSAMPLING,
    MovieWithTruth,
    conditions,
    exposed,
)
from deepstorm.reconstruction.emitters.peaks import find_peaks
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.structures import Instrument, Localizations
from deepstorm.training.course.schedules import CosineSchedule
from deepstorm.training.examples.composites import CompositeExamples
from deepstorm.training.examples.protocol import TRAINING, Batch, ExampleSource
from deepstorm.training.examples.regions import RegionExamples
from deepstorm.training.examples.sparse_frames import SparseFrames
from deepstorm.training.examples.truth import spike_images
from deepstorm.training.network import TrainingSettings

# Emitters this near to the border are not counted: their light is cut.
BORDER_PX = 3
FRAMES_AT_ONCE = 16
# The best network of a training is the one that is best on these.
VALIDATION_BATCHES = 16


@dataclass(frozen=True)
class Effort:
    """How much is trained.

    Parameters
    ----------
    steps : int
    time_budget_s : float
        In place of ``steps``; 0 for these.
    start_from : str or None
        Network whose weights are the first ones; drawn at random where absent.
    network : NativeNetworkSettings
    rate : float
        The highest learning rate.
    device : str
    """

    steps: int
    time_budget_s: float
    start_from: str | None
    network: NativeNetworkSettings
    rate: float
    device: str


@dataclass(frozen=True)
class PlainSource:
    """Dense frames through a Gaussian PSF, simulated on the fly, with what is known of the camera.

    Parameters
    ----------
    instrument : Instrument
        Camera and width of the PSF as a calibration found them.
    seed : int
    """

    instrument: Instrument
    seed: int

    @property
    def scaling(self) -> PhotonScaling:
        """The scaling that frames go through."""
        return PhotonScaling()

    def validity(self) -> dict[str, tuple[float, float]]:
        """Return nothing: the networks are compared on this sample alone."""
        return {}

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        """Simulate the batch of one step of one stream."""
        movie = self._movie([self.seed, 6 + stream, step])
        side = REGION_PX * UPSAMPLING
        spikes = spike_images(movie.truth, (BATCH, side, side), PIXEL_SR_NM)
        return Batch(self._fitted.apply(movie.frames), spikes[:, None])

    @cached_property
    def _fitted(self) -> FittedScaling:
        sample = np.concatenate([self._movie([self.seed, 4, k]).frames for k in range(8)])
        return self.scaling.fit(sample, self.instrument)

    def _movie(self, seed: list[int]) -> MovieWithTruth:
        psf = GaussianPsf(sigma_nm=self.instrument.sigma_px * PIXEL_NM, relative_spread=0.03)
        sides = {"height_px": REGION_PX, "width_px": REGION_PX}
        return exposed(conditions(psf, frames=BATCH, **sides), seed)


def source_of(kind: str, sparse: SparseFrames, seed: int) -> ExampleSource:
    """Return what a network is trained on: ``composites`` or ``simulation``."""
    if kind == "simulation":
        return PlainSource(sparse.instrument, seed)
    return own_examples(sparse).prepare(PhotonScaling(), UPSAMPLING, seed, sparse)


def own_examples(sparse: SparseFrames) -> CompositeExamples:
    """Return composites of the frames as the paper has them, 8 at a time."""
    pixel_nm = sparse.pixel_size_nm
    return CompositeExamples(region_px=REGION_PX, batch_size=BATCH, pixel_size_nm=pixel_nm)


def train(
    kind: str,
    sparse: SparseFrames,
    effort: Effort,
    seed: int,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Path:
    """Train one of the two networks, and return its file; goes on where it was interrupted."""
    regions = RegionExamples(region_px=REGION_PX)
    settings = TrainingSettings(
        name=kind,
        seed=seed,
        steps=effort.steps,
        time_budget_s=effort.time_budget_s,
        start_from=effort.start_from,
        network=effort.network,
        examples=own_examples(sparse) if kind == "composites" else regions,
        averaging=0.995,
        validation_batches=VALIDATION_BATCHES,
        validate_every=50 if effort.time_budget_s else max(effort.steps // 8, 1),
        schedule=CosineSchedule(
            peak_rate=effort.rate, final_rate=effort.rate / 50, warmup_steps=50
        ),
    )
    source = source_of(kind, sparse, seed)
    return run(settings, folder, device=effort.device, on_step=on_step, source=source).path


def predict(
    network: Path, movie: MovieWithTruth, instrument: Instrument
) -> tuple[Float32Array, Localizations]:
    """Return what is expected per super-resolution pixel of the first frame, and all peaks."""
    trained = TrainedNetwork.open(network)
    module, card = trained.load(), trained.card
    fitted = card.scaling.fit(movie.frames, instrument)
    pixel_nm = movie.pixel_size_nm / card.network.upsampling

    def expected(start: int) -> Float32Array:
        frames = fitted.apply(movie.frames[start : start + FRAMES_AT_ONCE])
        with torch.inference_mode():
            emitters = module.expected_emitters(torch.from_numpy(frames))
        return np.asarray(emitters[:, 0])

    starts = range(0, len(movie.frames), FRAMES_AT_ONCE)
    peaks = [find_peaks(expected(start), pixel_nm, start) for start in starts]
    return expected(0)[0], Localizations.concatenate(peaks)


def rates(found: Localizations, movie: MovieWithTruth, radius_nm: float) -> DetectionRates:
    """Score the peaks away from the border."""
    size_nm = movie.pixel_size_nm
    border_nm = BORDER_PX * size_nm
    height_nm, width_nm = (size_nm * side for side in movie.frames.shape[1:])
    field_nm = (border_nm, border_nm, width_nm - border_nm, height_nm - border_nm)
    return detection_rates(found, movie.truth, radius_nm, field_nm)
