from __future__ import annotations

import pytest

from deepstorm.config import validated
from deepstorm.errors import InputError
from deepstorm.training.course.settings import CourseSettings
from deepstorm.training.network import TrainingSettings
from deepstorm.training.refiner import RefinementTraining


@pytest.mark.parametrize("kind", [TrainingSettings, RefinementTraining])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""),
        ("seed", -1),
        ("steps", 0),
        ("time_budget_s", -1.0),
        ("patience", -1),
        ("precision", "float16"),
        ("averaging", 1.0),
        ("gradient_limit", -0.1),
        ("validate_every", 0),
        ("checkpoint_every_s", 0.0),
    ],
)
def test_what_all_trainings_share_has_the_same_limits(
    kind: type[CourseSettings], name: str, value: object
) -> None:
    with pytest.raises(InputError, match=f"'{name}'"):
        validated(kind, {name: value}, "a recipe")


def test_a_refiner_knows_no_plateau() -> None:
    with pytest.raises(InputError, match="'schedule"):
        validated(RefinementTraining, {"schedule": {"kind": "plateau"}}, "a recipe")
