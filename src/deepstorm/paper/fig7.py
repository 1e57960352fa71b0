"""Fig. 7: training on measured frames against training on plain simulations."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from deepstorm.arrays import Float32Array, Float64Array
from deepstorm.config import Settings
from deepstorm.evaluation.detection import DetectionRates
from deepstorm.models.architectures import NativeNetworkSettings
from deepstorm.models.zoo import find_network
from deepstorm.paper.context import Context
from deepstorm.paper.dot_sample import (
    UPSAMPLING,
    MovieWithTruth,
    composite_movie,
    dense_movie,
    sparse_movie,
)
from deepstorm.paper.drawing import circles, crosses, pictured
from deepstorm.paper.findings import Finding, Measured, Picture, Row, Table
from deepstorm.paper.two_networks import Effort, predict, rates, train
from deepstorm.reports.panels import ImagePanel
from deepstorm.structures import Instrument, Localizations

# By the kind of training: emitters found and false positives in percent, as printed.
PRINTED = {"composites": (96.0, 1.6), "simulation": (88.0, 8.7)}
NAMES = {"composites": "measured frames", "simulation": "simulated frames"}
UNTRAINED = "bundled network"
COMPOSITES, DENSE = "composites", "dense frames"
RADII_NM = (50.0, 100.0)
# Within which the paper's figures are compared; it does not say how it matched.
RADIUS_NM = 100.0
SHOWN_PX = 32


class Figure7Settings(Settings):
    """How long both networks are trained, from which weights, and on how many samples."""

    seeds: int = 3
    steps: int = 3500
    # Seconds for each network in place of steps; 0 for these.
    time_budget_s: float = 0.0
    sparse_frames: int = 100
    # The paper's number of test examples.
    composites: int = 3000
    dense_frames: int = 100
    start_from: str | None = "native"
    network: NativeNetworkSettings = NativeNetworkSettings()
    rate: float = 3e-4
    device: str = "cpu"

    def effort(self) -> Effort:
        """Return how much is trained."""
        length = self.steps, self.time_budget_s
        return Effort(*length, self.start_from, self.network, self.rate, self.device)


QUICK = Figure7Settings(seeds=1, steps=40, composites=10, dense_frames=10, rate=2e-4)

# By what was tested on, what was trained on, and the radius of a match.
Scores = dict[tuple[str, str, float], list[DetectionRates]]


class Figure7:
    """Two networks for a microscope that no simple simulation knows."""

    name = "fig7"
    title = "Fig. 7: training on measured frames"
    sources: tuple[str, ...] = ()

    def settings(self, quick: bool) -> Figure7Settings:
        """Return the settings of a quick or of a full run."""
        return QUICK if quick else Figure7Settings()

    def run(self, context: Context) -> Finding:
        """Train both networks for each sample, and score them on dense frames of it."""
        chosen = self.settings(context.quick)
        scores: Scores = {}
        pictures: list[Picture] = []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(chosen.seeds):
                drawn = measure_sample(context, chosen, seed, Path(folder), scores)
                pictures += drawn if seed == 0 else []
        # A network that has hardly been trained says nothing about the paper's claim.
        figures = {} if context.quick else _figures(scores)
        return Finding((rates_table(scores, chosen),), tuple(pictures), figures)


def measure_sample(
    context: Context, chosen: Figure7Settings, seed: int, folder: Path, scores: Scores
) -> list[Picture]:
    """Add the scores of one sample; return a picture for each movie that was tested.

    Trainings are in the folder, and go on there where they were interrupted.
    """
    sparse = sparse_movie([seed, 0], chosen.sparse_frames)
    movies = {
        COMPOSITES: composite_movie(seed, chosen.composites),
        DENSE: dense_movie(seed, chosen.dense_frames),
    }
    networks = {UNTRAINED: find_network(context.ours)}
    for kind, name in NAMES.items():
        context.say(f"fig7: sample {seed}, trained on {name}")
        networks[name] = train(kind, sparse, chosen.effort(), seed, folder / f"{kind}-{seed}")
    return score(networks, movies, sparse.instrument, scores)


def score(
    networks: dict[str, Path],
    movies: dict[str, MovieWithTruth],
    instrument: Instrument,
    scores: Scores,
) -> list[Picture]:
    """Add scores on movies; return a picture of each movie's first frame."""
    pictures = []
    for test, movie in movies.items():
        predictions = {name: predict(path, movie, instrument) for name, path in networks.items()}
        for name, (_, found) in predictions.items():
            for radius_nm in RADII_NM:
                own = scores.setdefault((test, name, radius_nm), [])
                own.append(rates(found, movie, radius_nm))
        pictures.append(_frame_picture(test, movie, predictions))
    return pictures


def _percent(scores: list[DetectionRates], name: str) -> Measured:
    values = [getattr(score, name) for score in scores]
    return Measured.of([None if value is None else 100 * value for value in values])


def rates_table(scores: Scores, chosen: Figure7Settings) -> Table:
    """Return means over the samples, with standard deviations."""
    printed = {NAMES[kind]: figures for kind, figures in PRINTED.items()}
    rows: list[Row] = []
    for (test, name, radius_nm), own in scores.items():
        detected, false = printed.get(name, (None, None)) if test == COMPOSITES else (None, None)
        rows.append(
            {
                "tested on": test,
                "trained on": name,
                "within [nm]": radius_nm,
                "found [%]": _percent(own, "detection_rate").shown(),
                "near one [%]": _percent(own, "near_detection_rate").shown(),
                "paper, found [%]": detected,
                "false [%]": _percent(own, "false_positive_rate").shown(),
                "near none [%]": _percent(own, "near_false_positive_rate").shown(),
                "paper, false [%]": false,
            }
        )
    note = (
        "The paper's quantum dots are not published; a simulated sample stands in for them, "
        "seen through astigmatism, coma and scattered light that no simple simulation knows: 2 "
        f"emitters/µm², 2500 photons, read noise of 20. {chosen.sparse_frames} sparse frames, "
        f"calibrated and localized, for training; {chosen.steps} steps of 16 regions for each "
        f"network; {chosen.seeds} sample(s). Composites: {chosen.composites} sums of other "
        "sparse frames, against their localizations, which is the paper's test. Dense frames: "
        "exposed at once, against the truth. Simulated: a Gaussian PSF of the width that a "
        "calibration finds, everything else unchanged. Found and false: predictions and "
        "emitters paired one to one. Near one: emitters near any prediction; near none: "
        "predictions near no emitter. The paper does not say how it counted; its text has two "
        "emitters in one asymmetric blob, which nearness alone forgives."
    )
    return Table("Emitters found and false positives", note, rows)


def _figures(scores: Scores) -> dict[str, Measured]:
    figures = {}
    for short, name in (("measured", "measured frames"), ("simulated", "simulated frames")):
        own = scores[COMPOSITES, name, RADIUS_NM]
        figures[f"detection, {short}"] = _percent(own, "detection_rate")
        figures[f"false positives, {short}"] = _percent(own, "false_positive_rate")
        figures[f"near a prediction, {short}"] = _percent(own, "near_detection_rate")
        figures[f"near no emitter, {short}"] = _percent(own, "near_false_positive_rate")
    return figures


def _frame_picture(
    test: str, movie: MovieWithTruth, predictions: dict[str, tuple[Float32Array, Localizations]]
) -> Picture:
    """Draw a corner of the first frame, and what each network expects and finds there."""
    pixel_nm = movie.pixel_size_nm
    corner = movie.frames[0, :SHOWN_PX, :SHOWN_PX]
    panels = [ImagePanel(f"first of {test}", corner, pixel_nm, colormap="gray")]
    side, fine_nm = SHOWN_PX * UPSAMPLING, pixel_nm / UPSAMPLING
    true = crosses(_shown(movie.truth, pixel_nm), fine_nm)
    panels += [
        ImagePanel(
            name if name == UNTRAINED else f"trained on {name}",
            image[:side, :side],
            fine_nm,
            curves=(true, circles(_shown(found, pixel_nm), fine_nm)),
        )
        for name, (image, found) in predictions.items()
    ]
    emitters = "localized" if test == COMPOSITES else "true"
    caption = (
        f"The first of the {test}, and what each network makes of it; crosses: {emitters} "
        "emitters, circles: what the network finds."
    )
    return pictured(test.replace(" ", "-"), caption, panels, 4, width_inch=4.0)


def _shown(table: Localizations, pixel_nm: float) -> Float64Array:
    """Return the places, (n, 2) as (x, y) in nm, in the corner of the first frame."""
    places = np.stack([table.x_nm, table.y_nm], axis=1)[table.frame == 0]
    return np.asarray(places[(places < SHOWN_PX * pixel_nm).all(axis=1)], np.float64)
