"""§4 of the paper: one network for all frames, or the best one for each part of a movie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from deepstorm.api.reconstruct import reconstruct
from deepstorm.arrays import Float32Array
from deepstorm.config import Settings
from deepstorm.evaluation.images import nmse_percent
from deepstorm.paper.context import Context, short_name
from deepstorm.paper.drawing import pictured
from deepstorm.paper.findings import Finding, Measured, Picture, Row, Table
from deepstorm.paper.movies import MICROTUBULES, PIXEL_NM, like_the_papers_movie, simulated
from deepstorm.reconstruction.windows import Windows
from deepstorm.reports.panels import ImagePanel
from deepstorm.structures import Localizations, histogram_image

ORACLE = "the better one in each part"


class RoutingSettings(Settings):
    """Parts of the movie as (density per µm², photons), and frames in each."""

    parts: tuple[tuple[float, float], ...] = (
        (1.0, 3000.0),
        (3.0, 500.0),
        (6.0, 2250.0),
        (9.0, 1000.0),
    )
    frames: int = 100
    seeds: int = 3


class Routing:
    """A movie whose density and light change, by each network and by the better of them."""

    name = "routing"
    title = "§4: one network, or a choice among several, when conditions change"
    sources: tuple[str, ...] = ()

    def settings(self, quick: bool) -> RoutingSettings:
        """Return the settings of a quick or of a full run."""
        return RoutingSettings(frames=16, seeds=1) if quick else RoutingSettings()

    def run(self, context: Context) -> Finding:
        """Reconstruct the whole movie by each network, and compare part by part."""
        chosen = self.settings(context.quick)
        errors: dict[str, list[list[float]]] = {}
        pictures = []
        for seed in range(chosen.seeds):
            context.say(f"routing: seed {seed}")
            frames, truths = changing_movie(chosen, seed)
            images = {
                short_name(network): _images(frames, network, chosen.frames)
                for network in context.networks
            }
            exact = np.stack([_exact(truth, images) for truth in truths])
            images[ORACLE] = best_of(list(images.values()), exact)
            for name, parts in images.items():
                each = [nmse_percent(*pair) for pair in zip(parts, exact, strict=True)]
                whole = nmse_percent(parts.sum(axis=0), exact.sum(axis=0))
                errors.setdefault(name, []).append([*each, whole])
            if seed == 0:
                pictures.append(_picture(images, exact))
        table = _table(errors, chosen)
        figures = {
            name: Measured.of([seed[-1] for seed in seeds]) for name, seeds in errors.items()
        }
        return Finding((table,), tuple(pictures), figures)


def changing_movie(
    settings: RoutingSettings, seed: int
) -> tuple[npt.NDArray[np.uint16], list[Localizations]]:
    """Simulate the same filaments in all conditions, one after the other."""
    parts = [
        simulated(like_the_papers_movie(MICROTUBULES, density, settings.frames, photons), seed)
        for density, photons in settings.parts
    ]
    return np.concatenate([frames for frames, _ in parts]), [truth for _, truth in parts]


def best_of(candidates: list[Float32Array], exact: Float32Array) -> Float32Array:
    """Return, part by part, the candidate with the least error: what no choice can do better."""
    chosen = [
        min((images[part] for images in candidates), key=lambda image: nmse_percent(image, truth))
        for part, truth in enumerate(exact)
    ]
    return np.stack(chosen)


def _images(frames: npt.NDArray[np.uint16], network: str, length: int) -> Float32Array:
    """Return the image of each part, the movie calibrated as a whole."""
    result = reconstruct(
        frames,
        pixel_size_nm=PIXEL_NM,
        network=network,
        localizations=False,
        windows=Windows(length, length),
    )
    if result.time_lapse is None:
        raise ValueError("windows were asked for and none came")
    return result.time_lapse


def _exact(truth: Localizations, images: dict[str, Float32Array]) -> Float32Array:
    _, height, width = next(iter(images.values())).shape
    return histogram_image(truth, (height, width), PIXEL_NM / 8)


def _table(errors: dict[str, list[list[float]]], settings: RoutingSettings) -> Table:
    titles = [f"{density:g} /µm², {photons:g} photons [%]" for density, photons in settings.parts]
    rows: list[Row] = []
    for name, seeds in errors.items():
        cells = [Measured.of(list(column)).shown() for column in zip(*seeds, strict=True)]
        row: Row = {"network": name}
        row.update(zip([*titles, "whole movie [%]"], cells, strict=True))
        rows.append(row)
    note = (
        f"NMSE of the image of each part of {settings.frames} frames, and of their sum; the "
        "movie is calibrated once, as a whole, and no network is given where the parts begin; "
        f"mean and standard deviation of {settings.seeds} seed(s). The last row knows the "
        "truth: a choice that never errs. The package ships no bank of networks: those trained "
        "for single conditions gained a point at best (docs/experiments.md)."
    )
    return Table("Error where density and light change", note, rows)


def _picture(images: dict[str, Float32Array], exact: Float32Array) -> Picture:
    fine_nm = PIXEL_NM / 8
    panels = [ImagePanel("truth", exact.sum(axis=0), fine_nm)]
    panels += [ImagePanel(name, parts.sum(axis=0), fine_nm) for name, parts in images.items()]
    return pictured("movie", "The whole movie.", panels, 4)
