"""The paper's own network, as it comes with the package, under the conditions of its training."""

from __future__ import annotations

import deepstorm
from deepstorm.training.examples.regions import paper_simulation


def test_the_papers_network_finds_dense_emitters_where_they_are() -> None:
    movie = deepstorm.simulate(paper_simulation().model_copy(update={"frames": 8}), seed=5)
    assert movie.frames is not None
    result = deepstorm.reconstruct(
        movie.frames, pixel_size_nm=100, network="deepstorm-paper", localizations=True
    )
    assert result.record["network"]["name"] == "deepstorm-paper"
    scores = deepstorm.evaluate(result.localizations, movie.truth, radius_nm=100).emitters
    assert scores is not None
    assert scores.jaccard > 0.75
    # Half a pixel of the image would be 6 nm.
    assert scores.dx_nm is not None
    assert scores.dy_nm is not None
    assert max(abs(scores.dx_nm), abs(scores.dy_nm)) < 3


def test_it_says_what_it_was_not_trained_for() -> None:
    sparse = deepstorm.SimulationSettings(frames=30, density_per_um2=0.5)
    movie = deepstorm.simulate(sparse, seed=5)
    assert movie.frames is not None
    result = deepstorm.reconstruct(
        movie.frames,
        pixel_size_nm=100,
        network="deepstorm-paper",
        region=deepstorm.Region(0, 0, 32, 32),
    )
    assert any("was trained for 0.06" in warning for warning in result.record["warnings"])
