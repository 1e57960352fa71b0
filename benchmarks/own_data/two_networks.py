"""The same network trained on composites of measured frames, and on a plain simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from dot_sample import PIXEL_NM, UPSAMPLING, Movie, conditions, exposed

from deepstorm.evaluation.detection import DetectionRates, detection_rates
from deepstorm.models.checkpoint import load_network
from deepstorm.models.native import NativeNetworkSettings
from deepstorm.models.scaling import FittedScaling, PhotonScaling
from deepstorm.reconstruction.peaks import find_peaks
from deepstorm.simulation.psf import GaussianPsf
from deepstorm.structures import Instrument, Localizations
from deepstorm.training.composites import CompositeExamples
from deepstorm.training.examples import TRAINING, Batch, ExampleSource, spike_images
from deepstorm.training.regions import RegionExamples
from deepstorm.training.schedules import CosineSchedule
from deepstorm.training.sparse_frames import SparseFrames
from deepstorm.training.trainer import Trainer, TrainingSettings

REGION_PX, BATCH = 32, 16
PIXEL_SR_NM = PIXEL_NM / UPSAMPLING
# Emitters this near to the border are not counted: their light is cut.
BORDER_PX = 3
KINDS = ("composites", "simulation")


@dataclass(frozen=True)
class Effort:
    """How much is trained.

    Parameters
    ----------
    steps : int
    start_from : str or None
        Network whose weights are the first ones; drawn at random where absent.
    network : NativeNetworkSettings
    rate : float
        The highest learning rate.
    device : str
    """

    steps: int
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
        The camera's, and the width that a calibration found.
    seed : int
    """

    instrument: Instrument
    seed: int

    @property
    def scaling(self) -> PhotonScaling:
        """The scaling that frames go through."""
        return PhotonScaling()

    def batch(self, step: int, stream: int = TRAINING) -> Batch:
        """Simulate the batch of one step of one stream."""
        movie = self._movie([self.seed, 2 + stream, step])
        side = REGION_PX * UPSAMPLING
        spikes = spike_images(movie.truth, (BATCH, side, side), PIXEL_SR_NM)
        return Batch(self._fitted.apply(movie.frames), spikes[:, None])

    @cached_property
    def _fitted(self) -> FittedScaling:
        sample = np.concatenate([self._movie([self.seed, 4, k]).frames for k in range(8)])
        return self.scaling.fit(sample, self.instrument)

    def _movie(self, seed: list[int]) -> Movie:
        psf = GaussianPsf(sigma_nm=self.instrument.sigma_px * PIXEL_NM, relative_spread=0.03)
        sides = {"height_px": REGION_PX, "width_px": REGION_PX}
        return exposed(conditions(psf, frames=BATCH, **sides), seed)


def train(
    kind: str,
    sparse: SparseFrames,
    effort: Effort,
    seed: int,
    folder: Path,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> Path:
    """Train one of the two networks, and return its file; goes on where it was interrupted."""
    chosen: CompositeExamples | RegionExamples
    source: ExampleSource
    if kind == "composites":
        chosen = CompositeExamples(region_px=REGION_PX, batch_size=BATCH, pixel_size_nm=PIXEL_NM)
        source = chosen.prepare(PhotonScaling(), UPSAMPLING, seed, sparse)
    else:
        chosen = RegionExamples(region_px=REGION_PX, batch_size=BATCH)
        source = PlainSource(sparse.instrument, seed)
    settings = TrainingSettings(
        name=kind,
        seed=seed,
        steps=effort.steps,
        start_from=effort.start_from,
        network=effort.network,
        examples=chosen,
        averaging=min(0.999, 1 - 10 / max(effort.steps, 20)),
        validate_every=max(effort.steps // 8, 1),
        schedule=CosineSchedule(
            peak_rate=effort.rate, final_rate=effort.rate / 50, warmup_steps=effort.steps // 20
        ),
    )
    folder.mkdir(parents=True, exist_ok=True)
    return Trainer(settings, source, folder, effort.device).run(on_step)


def predict(
    network: Path, movie: Movie, instrument: Instrument
) -> tuple[npt.NDArray[np.float32], Localizations]:
    """Return what is expected per super-resolution pixel, and its peaks."""
    module, card = load_network(network)
    scaled = card.scaling.fit(movie.frames, instrument).apply(movie.frames)
    module.eval()
    with torch.inference_mode():
        parts = [module.expected_emitters(torch.from_numpy(part[None])) for part in scaled]
    expected = np.concatenate([part[0].numpy() for part in parts])
    return expected, find_peaks(expected, PIXEL_SR_NM)


def rates(found: Localizations, movie: Movie, radius_nm: float) -> DetectionRates:
    """Score the peaks away from the border."""
    border_nm = BORDER_PX * PIXEL_NM
    height_nm, width_nm = (PIXEL_NM * side for side in movie.frames.shape[1:])
    field_nm = (border_nm, border_nm, width_nm - border_nm, height_nm - border_nm)
    return detection_rates(found, movie.truth, radius_nm, field_nm)
