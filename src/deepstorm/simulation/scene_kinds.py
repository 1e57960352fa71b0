"""The choice among scenes."""

from __future__ import annotations

from typing import Annotated

from deepstorm.config import OneOf
from deepstorm.simulation.scenes import Scene

# Those that mixtures are made of.
SIMPLE_SCENES = (
    "deepstorm.simulation.scenes:UniformScene",
    "deepstorm.simulation.scenes:FilamentScene",
    "deepstorm.simulation.scenes:ClusterScene",
    "deepstorm.simulation.scenes:StripeScene",
    "deepstorm.simulation.scenes:TableScene",
)
OTHER_SCENES = (
    "deepstorm.simulation.image_scene:ImageScene",
    "deepstorm.simulation.mixture_scene:MixtureScene",
)

SimpleScene = Annotated[Scene, OneOf(*SIMPLE_SCENES)]
AnyScene = Annotated[Scene, OneOf(*SIMPLE_SCENES, *OTHER_SCENES)]
