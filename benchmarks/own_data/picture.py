"""A frame, where its emitters are, and what networks say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepstorm.arrays import Float32Array
from deepstorm.files import written_whole
from deepstorm.paper.dot_sample import UPSAMPLING, MovieWithTruth
from deepstorm.structures import Localizations

Prediction = tuple[Float32Array, Localizations]


def draw(
    movie: MovieWithTruth, predictions: dict[str, Prediction], path: Path, side_px: int = 32
) -> None:
    """Draw a corner of the first frame; crosses are true emitters, circles the found ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * (1 + len(predictions)), 4.5), layout="constrained")
    axes = figure.subplots(1, 1 + len(predictions))
    size_nm = movie.pixel_size_nm
    extent = (0.0, float(side_px), float(side_px), 0.0)
    axes[0].imshow(movie.frames[0, :side_px, :side_px], cmap="gray", extent=extent)
    axes[0].set_title("frame and truth")
    for panel, (name, (expected, found)) in zip(axes[1:], predictions.items(), strict=True):
        side = side_px * UPSAMPLING
        panel.imshow(np.sqrt(expected[:side, :side]), cmap="gray", extent=extent)
        here = found.select(found.frame == 0)
        panel.plot(here.x_nm / size_nm, here.y_nm / size_nm, "o", mfc="none", mec="c", ms=9)
        panel.set_title(name)
    true = movie.truth.select(movie.truth.frame == 0)
    for panel in axes:
        panel.plot(true.x_nm / size_nm, true.y_nm / size_nm, "r+", ms=7)
        panel.set(xlim=(0, side_px), ylim=(side_px, 0), xticks=[], yticks=[])
    with written_whole(path, overwrite=True) as partial:
        figure.savefig(partial, format="png", dpi=110)
