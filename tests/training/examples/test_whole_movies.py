from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from deepstorm.errors import InputError
from deepstorm.simulation.scenes import FilamentScene
from deepstorm.training.examples import whole_movies as module
from deepstorm.training.examples.whole_movies import MovieExamples

EXAMPLES = MovieExamples(patch_px=12, frames_per_scene=5, least_emitters=10)


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_uniform_scenes_are_kept_in_part(kept: float) -> None:
    examples = EXAMPLES.model_copy(update={"uniform_kept": kept, "close_lines": 0, "broad": 0})
    rng = np.random.default_rng(0)
    kinds = [examples.draw_movie(rng).settings.scene.kind for _ in range(25)]
    assert ("uniform" in kinds) == (kept > 0)


def test_some_scenes_are_close_lines_and_some_broad_bands() -> None:
    rng = np.random.default_rng(0)
    lines = EXAMPLES.model_copy(update={"close_lines": 1, "broad": 0})
    bands = EXAMPLES.model_copy(update={"close_lines": 0, "broad": 1})
    for _ in range(20):
        scene = lines.draw_scene(rng)
        assert isinstance(scene, FilamentScene)
        assert 2 <= scene.filaments <= 3
        assert 15 <= scene.spacing_nm <= 90
        scene = bands.draw_scene(rng)
        assert isinstance(scene, FilamentScene)
        assert scene.radius_nm >= 30
        assert scene.spacing_nm == 0


def test_movies_have_enough_emitters() -> None:
    examples = EXAMPLES.model_copy(update={"least_emitters": 60})
    rng = np.random.default_rng(0)
    assert all(len(examples.draw_movie(rng).truth) >= 60 for _ in range(5))


def test_impossible_conditions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DRAWS", 3)
    examples = EXAMPLES.model_copy(update={"least_emitters": 10**9})
    with pytest.raises(InputError, match="none of 3 simulated movies of 5 frames"):
        examples.draw_movie(np.random.default_rng(0))


@pytest.mark.parametrize(
    "values",
    [
        {"scenes": 2},
        {"uniform_kept": 1.5},
        {"least_emitters": 0},
        {"close_lines": 0.6, "broad": 0.5},
    ],
)
def test_settings_of_several_scenes_or_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MovieExamples.model_validate(values)
