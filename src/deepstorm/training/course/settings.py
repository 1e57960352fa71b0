"""What the settings of all trainings have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from deepstorm.config import Settings
from deepstorm.training.course.schedules import Schedule

Precision = Literal["float32", "bfloat16"]
# Of settings that each training has a value of its own for.
Name = Annotated[str, Field(min_length=1, max_length=200)]
Steps = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class CourseSettings(Settings):
    """From where, how long and how exactly something is trained.

    Parameters
    ----------
    name : str
        Name of the training, and of its folder.
    seed : int
        Decides initial weights and examples.
    start_from : str, optional
        A network, by embedded name or file, whose weights are the initial ones; drawn from the seed
        where absent.
    steps : int
        Number of batches, where no time is given.
    time_budget_s : float
        Seconds that the training may take; the number of batches is found from the speed of the
        first ones. 0 for ``steps``, however long they take.
    patience : int
        Validations without improvement after which the training ends; 0 for none.
    precision : str
        ``bfloat16`` computes convolutions in bfloat16 and keeps weights in float32.
    averaging : float
        Decay of the exponential moving average of weights that is validated and kept; 0 for none.
    gradient_limit : float
        Largest norm of a gradient; longer ones are shortened. 0 for no limit.
    validate_every : int
        Steps between validations.
    checkpoint_every_s : float
        Seconds between states from which a killed training resumes.
    schedule : Schedule
        Of the learning rate.
    """

    name: Name
    seed: int = Field(0, ge=0, lt=2**63)
    start_from: str | None = None
    steps: Steps
    time_budget_s: float = Field(0.0, ge=0)
    patience: int = Field(0, ge=0)
    precision: Precision = "bfloat16"
    averaging: Decay
    gradient_limit: float = Field(1.0, ge=0)
    validate_every: Steps
    checkpoint_every_s: float = Field(120.0, gt=0)
    schedule: Schedule
