"""The embedded network on published movies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import deepstorm
from deepstorm.reconstruction import predictor
from deepstorm.reconstruction.engines.openvino_engine import OpenVinoEngine
from deepstorm.structures import Localizations, Reconstruction


@pytest.fixture(scope="module")
def microtubules(microtubules_folder: Path) -> Reconstruction:
    return deepstorm.reconstruct(microtubules_folder / "movie.tif", pixel_size_nm=100)


def test_the_papers_movie(microtubules: Reconstruction, microtubules_truth: Localizations) -> None:
    """NMSE without any registration; the paper's own image has 48.75 that way."""
    figures = deepstorm.evaluate(microtubules, microtubules_truth).figures()
    assert figures["nmse_percent"] <= 31.5
    assert microtubules.image.sum() == pytest.approx(len(microtubules_truth), rel=0.1)


def test_its_localizations_are_not_shifted(
    microtubules: Reconstruction, microtubules_truth: Localizations
) -> None:
    scores = deepstorm.evaluate(
        microtubules.localizations, microtubules_truth, radius_nm=50
    ).emitters
    assert scores is not None
    assert scores.dx_nm == pytest.approx(0, abs=1.5)
    assert scores.dy_nm == pytest.approx(0, abs=1.5)
    assert scores.jaccard > scores.chance_jaccard + 0.35


@pytest.mark.parametrize("precision", ["f32", "int8"])
def test_the_precision_does_not_matter(
    microtubules: Reconstruction,
    microtubules_folder: Path,
    microtubules_truth: Localizations,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    """What a runtime computes in 16 or 8 bits may change the NMSE by less than 0.2 points."""
    if microtubules.record["engine"] == f"openvino-{precision}":
        pytest.skip(f"this processor computes in {precision} anyway")
    monkeypatch.setattr(
        predictor,
        "choose_engine",
        lambda network, *_: OpenVinoEngine(network, precision),
    )
    other = deepstorm.reconstruct(
        microtubules_folder / "movie.tif", pixel_size_nm=100, localizations=False
    )
    assert other.record["engine"] == f"openvino-{precision}"
    usual, changed = (
        deepstorm.evaluate(result, microtubules_truth).figures()["nmse_percent"]
        for result in (microtubules, other)
    )
    assert abs(usual - changed) < 0.2


def test_a_real_movie_has_no_bright_border(reference_data: Path) -> None:
    path = reference_data / "real-dense-microtubules" / "movie.tif"
    image = deepstorm.reconstruct(path, pixel_size_nm=100, localizations=False).image
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    inner = np.concatenate([image[8], image[-9], image[:, 8], image[:, -9]])
    assert edge.mean() < 2.5 * inner.mean()
