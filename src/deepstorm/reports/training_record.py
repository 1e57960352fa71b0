"""What is kept of a training while it runs: curves, and a page with pictures and scores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from deepstorm.arrays import Float32Array
from deepstorm.evaluation.emitters import score_emitters
from deepstorm.evaluation.images import nmse_percent
from deepstorm.models.card import NOMINAL_PIXEL_NM
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.emitters.peaks import find_peaks
from deepstorm.reports.curves import draw_losses
from deepstorm.reports.training import ExampleScores, ShownExample, TrainingStatus, write_report
from deepstorm.structures import Localizations
from deepstorm.training.course.folder import BEST_NAME
from deepstorm.training.course.loop import Course
from deepstorm.training.course.loss_log import Validation, check_tensorboard, log_to_tensorboard
from deepstorm.training.examples.protocol import VALIDATION, Batch, ExampleSource

# Examples of the first validation batch that are scored, and those of them that are shown.
SCORED, SHOWN = 16, 3
# Standard deviation, in camera pixels, of the spots as which true emitters are drawn and compared.
SPOT_PX = 0.25
# Curves and page are drawn anew after this many times the time that it took, and at the end.
REST = 20.0


class TrainingRecord:
    """Draws, writes and scores after each validation of a training.

    Parameters
    ----------
    training : Course
    source : ExampleSource, optional
        Where held-back examples come from.
    on_validation : callable
        Called after what is kept has been written.
    tensorboard : bool
        Whether curves are kept for TensorBoard, too.

    Raises
    ------
    MissingExtraError
        If TensorBoard is asked for and not installed.
    """

    def __init__(
        self,
        training: Course,
        source: ExampleSource | None,
        on_validation: Callable[[Validation], None],
        *,
        tensorboard: bool,
        processes: int = 1,
    ) -> None:
        if tensorboard:
            check_tensorboard()
        self._training = training
        self._source = source
        self._on_validation = on_validation
        self._tensorboard = tensorboard
        self._processes = processes
        self._held_back: Batch | None = None
        self._rest_until = -math.inf

    def __call__(self, validation: Validation) -> None:
        """Keep what a validation gave."""
        if self._tensorboard:
            log_to_tensorboard(self._training.folder, validation)
        began = time.monotonic()
        if began >= self._rest_until or self._training.pace.is_over:
            draw_losses(self._training.folder)
            self._write_report()
            ended = time.monotonic()
            self._rest_until = ended + REST * (ended - began)
        self._on_validation(validation)

    def _write_report(self) -> None:
        training, pace = self._training, self._training.pace
        standing = TrainingStatus(
            step=training.learner.history.step,
            steps=pace.known_steps,
            used_s=pace.used_s,
            ending=pace.ending,
            device=str(training.device),
            processes=self._processes,
        )
        best = training.folder / BEST_NAME
        scored, validity = self._scored(best)
        write_report(training.folder, training.settings, standing, scored, validity)

    def _scored(self, best: Path) -> tuple[ExampleScores, Mapping[str, tuple[float, float]]]:
        """Score the best network on held-back examples; return that, and what it is valid for."""
        trained = TrainedNetwork.open(best)
        card = trained.card
        if self._source is None:
            return ExampleScores(), card.validity
        if self._held_back is None:
            batch = self._source.batch(0, VALIDATION)
            self._held_back = Batch(batch.frames[:SCORED], batch.spikes[:SCORED])
        with torch.no_grad():
            network = trained.load()
            expected = network.expected_emitters(torch.from_numpy(self._held_back.frames)).numpy()
        return compared(self._held_back, expected, card.network.upsampling), card.validity


def compared(batch: Batch, expected: Float32Array, upsampling: int) -> ExampleScores:
    """Compare expected with true emitters.

    Parameters
    ----------
    batch : Batch
    expected : ndarray of float32, shape (batch, 1, y, x)
        Expected emitters per super-resolution pixel.
    upsampling : int
        Super-resolution pixels per camera pixel.
    """
    # Scores are in camera pixels, whatever their size; a match is at most one of them away.
    pixel_nm = NOMINAL_PIXEL_NM / upsampling
    spots = _blurred(batch.spikes, SPOT_PX * upsampling)
    truth = _true_emitters(batch.spikes[:, 0], pixel_nm)
    scores = score_emitters(find_peaks(expected[:, 0], pixel_nm), truth, NOMINAL_PIXEL_NM)
    error = None if scores.rmse_nm is None else scores.rmse_nm / NOMINAL_PIXEL_NM
    counts = [np.sum(values, dtype=np.float64) for values in (expected, batch.spikes)]
    note = (
        f"The best network so far on {len(batch.frames)} held-out frames; emitters match if at "
        "most one camera pixel apart. Their positions are known to an image pixel, and drawn "
        f"as spots of {SPOT_PX:g} camera pixels."
    )
    return ExampleScores(
        examples=[
            ShownExample(frames[0], prediction[0], shown[0])
            for frames, prediction, shown in zip(
                batch.frames[:SHOWN], expected[:SHOWN], spots[:SHOWN], strict=True
            )
        ],
        scores={
            "Jaccard index": scores.jaccard,
            "Jaccard index by chance": "none"
            if scores.chance_jaccard is None
            else scores.chance_jaccard,
            "recall": scores.recall,
            "precision": scores.precision,
            "error of positions, camera pixels": _or_none(error),
            "NMSE of single frames, blurred as below, %": _nmse(
                _blurred(expected, SPOT_PX * upsampling), spots
            ),
            "expected emitters": float(counts[0]),
            "true emitters": float(counts[1]),
        },
        note=note,
    )


def _nmse(expected: Float32Array, spots: Float32Array) -> float | str:
    """Return the NMSE in per cent of all frames, as one image; none without emitters."""
    if not spots.any():
        return "none"
    width = spots.shape[-1]
    return nmse_percent(expected.reshape(-1, width), spots.reshape(-1, width))


def _blurred(images: Float32Array, sigma_px: float) -> Float32Array:
    """Blur each image of (batch, 1, y, x)."""
    return np.asarray(ndimage.gaussian_filter(images, sigma_px, axes=(2, 3)), np.float32)


def _or_none(value: float | None) -> float | str:
    return "none" if value is None else value


def _true_emitters(spikes: Float32Array, pixel_size_nm: float) -> Localizations:
    """Return the emitters of spike images, (frame, y, x), at the middles of their pixels."""
    frame, row, column = np.repeat(
        np.stack(np.nonzero(spikes)), spikes[spikes > 0].astype(np.int64), axis=1
    )
    return Localizations(
        frame=frame,
        x_nm=(column + 0.5) * pixel_size_nm,
        y_nm=(row + 0.5) * pixel_size_nm,
    )
