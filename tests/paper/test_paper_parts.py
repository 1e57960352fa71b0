"""Every part runs from end to end, on tiny movies and with a stand-in for the networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstorm.evaluation.images import nmse_percent, registered_nmse
from deepstorm.models.zoo import find_network
from deepstorm.paper import (
    fig2,
    fig3,
    fig4,
    fig6,
    fig7,
    methods,
    movies,
    robustness,
    routing,
    table1,
)
from deepstorm.paper.claims import CLAIMS
from deepstorm.paper.context import Context, PaperPart
from deepstorm.paper.findings import Finding, Picture
from deepstorm.paper.registry import PARTS
from deepstorm.paper.store import Store
from deepstorm.structures import Localizations, Reconstruction, histogram_image

TINY = {
    "fig2": fig2.Figure2Settings(frames=4),
    "fig3": fig3.Figure3Settings(
        separations_nm=(70.0,),
        densities_per_um2=(1.0, 9.0),
        photons=(2000.0,),
        frames=4,
        plain_frames=3,
        seeds=2,
        shown_frames=4,
    ),
    "fig4": fig4.Figure4Settings(
        simulated_frames=4,
        slow_frames=1,
        deconvolution_iterations=2,
        angles_degrees=(17.0,),
        line_emitters=50,
        least_line_frames=2,
    ),
    "fig6": fig6.Figure6Settings(simulated_frames=4, slow_frames=1, deconvolution_iterations=2),
    "fig7": fig7.Figure7Settings(
        seeds=2,
        steps=2,
        sparse_frames=12,
        composites=2,
        dense_frames=2,
    ),
    "table1": table1.Table1Settings(
        simulated_frames=4, experimental_frames=2, network_frames=2, slow_frames=1
    ),
    "robustness": robustness.RobustnessSettings(
        densities_per_um2=(2.0, 5.0),
        photons=(1000.0,),
        backgrounds=(19.0,),
        emitters=50,
        least_frames=3,
        seeds=2,
    ),
    "routing": routing.RoutingSettings(parts=((2.0, 1000.0), (6.0, 2000.0)), frames=3, seeds=2),
}


def blurred_light(movie: Any, /, **options: Any) -> Reconstruction:
    """Stand in for a network: the light above the background, repeated on the fine grid."""
    some = np.asarray(movie, np.float32)[options.get("frames", slice(None))]
    light = np.clip(some - np.median(some), 0, None).repeat(8, axis=1).repeat(8, axis=2)
    light *= 1e-4
    windows = options.get("windows")
    lapse = light.reshape(-1, windows.frames, *light.shape[1:]).sum(1) if windows else None
    count = len(some)
    found = Localizations(np.arange(count), np.full(count, 3200.0), np.full(count, 3200.0))
    record = {"expected_emitters": float(light.sum())}
    image = light.sum(axis=0)
    return Reconstruction(image, 12.5, some.mean(0), None, found, lapse, record=record)


def found_nothing(method: str, frames: Any, pixel_nm: float, which: Any) -> methods.Imaged:
    """Stand in for CEL0 and FALCON, which other parts try."""
    return methods.Imaged(method, np.zeros((8, 8), np.float32), which, 1.0, 0.0)


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fig2, fig3, fig4, methods, robustness, routing):
        monkeypatch.setattr(module, "reconstruct", blurred_light)
    # Most of the time, and tried with the other parts.
    monkeypatch.setattr(fig4, "registered_nmse", partial(registered_nmse, max_shift_nm=0.0))
    monkeypatch.setattr(fig4, "pictured", lambda name, *drawn: Picture(name, "", b"\x89PNG"))
    monkeypatch.setattr(table1, "by_localization", found_nothing)
    monkeypatch.setattr(fig7, "train", lambda *settings: find_network("native"))
    monkeypatch.setattr(fig7, "composite_movie", fig7.dense_movie)
    for part in PARTS:
        monkeypatch.setattr(type(part), "settings", lambda self, quick: TINY[self.name])


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_runs(part: PaperPart, tmp_path: Path) -> None:
    said: list[str] = []
    finding = part.run(Context(quick=False, say=said.append))
    assert said or part.name == "fig2"
    assert all(table.rows and table.note and table.headings for table in finding.tables)
    assert all(picture.png.startswith(b"\x89PNG") for picture in finding.pictures)
    assert finding.pictures or part.name == "table1"
    store = Store(tmp_path)
    store.write(part.name, {}, finding)
    assert store.read(part.name) == ({}, finding)
    assert missing_figures(part.name, finding) == []


def missing_figures(name: str, finding: Finding) -> list[str]:
    """Return the figures that the paper's claims ask of a part and that it does not give."""
    asked = [claim.figure for claim in CLAIMS if claim.figure.startswith(f"{name}: ")]
    figures = [figure.removeprefix(f"{name}: ") for figure in asked]
    # Simulated movies, which stand in for the published ones here, are not compared.
    published = {"NMSE", "NMSE registered", "FWHM"}
    return [
        figure
        for figure in figures
        if figure not in {*finding.figures, *published} and "GPU" not in figure
    ]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_no_part_lacks_a_test(part: PaperPart) -> None:
    assert isinstance(part.settings(quick=True), type(TINY[part.name]))


def test_a_movie_that_stands_in_is_not_compared_with_the_paper() -> None:
    context = Context()
    assert not movies.simulated_microtubules(context, 2).is_published
    assert not movies.real_microtubules(context, 2).is_published


def test_published_movies_are_found(reference_data: Path) -> None:
    context = Context(data=reference_data)
    specimen = movies.simulated_microtubules(context, 2)
    assert specimen.is_published
    assert specimen.truth is not None
    assert len(specimen.truth) == 81_178
    assert specimen.published is not None
    exact = histogram_image(specimen.truth, specimen.fine_shape, 12.5)
    assert nmse_percent(specimen.published, exact) == pytest.approx(48.75, abs=0.01)
    assert movies.real_microtubules(context, 2).frames.shape == (500, 30, 30)
