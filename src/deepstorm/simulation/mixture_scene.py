"""Several scenes in one field."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from deepstorm.config import Settings
from deepstorm.simulation.scene_kinds import SimpleScene
from deepstorm.simulation.structures import FieldOfView, MixtureStructure


class MixtureScene(Settings):
    """Several scenes in one field, such as filaments with clusters between them.

    Parameters
    ----------
    parts : tuple of scenes
    weights : tuple of float
        Relative number of emitters of each part.
    """

    kind: Literal["mixture"] = "mixture"
    parts: tuple[SimpleScene, ...] = Field(min_length=1, max_length=100)
    weights: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if len(self.parts) != len(self.weights):
            raise ValueError(
                f"a mixture of {len(self.parts)} scenes has {len(self.weights)} weights; "
                "give one weight for each part"
            )
        return self

    def realise(self, field: FieldOfView, rng: np.random.Generator) -> MixtureStructure:
        """Realise every part.

        Densities count over the field with its margin, also where a part keeps to the camera's
        field.
        """
        total = sum(self.weights)
        return MixtureStructure(
            tuple(part.realise(field, rng) for part in self.parts),
            tuple(weight / total for weight in self.weights),
            field,
        )
