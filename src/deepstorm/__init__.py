"""Super-resolution images from dense blinking movies by a convolutional network (Deep-STORM).

The verbs — :func:`simulate`, :func:`calibrate`, :func:`train`, :func:`reconstruct`,
:func:`evaluate` — take paths or arrays and return records. They are loaded when they are first
used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepstorm.api.calibrate import CalibrationOutputs, calibrate
    from deepstorm.api.evaluate import Evaluation, evaluate
    from deepstorm.api.known_values import known_values
    from deepstorm.api.like import train_like
    from deepstorm.api.outputs import Outputs
    from deepstorm.api.own_data import own_settings, train_on_own
    from deepstorm.api.reconstruct import reconstruct
    from deepstorm.api.simulate import Simulation, simulate
    from deepstorm.api.train import train
    from deepstorm.calibration.assumption import KnownValues
    from deepstorm.errors import InputError
    from deepstorm.io.movies.selection import Region
    from deepstorm.reconstruction.windows import Windows
    from deepstorm.simulation.simulator import SimulationSettings
    from deepstorm.structures import Calibration, Localizations, Reconstruction
    from deepstorm.training.network import TrainingSettings

_HOMES = {
    "Calibration": "deepstorm.structures",
    "CalibrationOutputs": "deepstorm.api.calibrate",
    "Evaluation": "deepstorm.api.evaluate",
    "InputError": "deepstorm.errors",
    "KnownValues": "deepstorm.calibration.assumption",
    "Localizations": "deepstorm.structures",
    "Outputs": "deepstorm.api.outputs",
    "Reconstruction": "deepstorm.structures",
    "Region": "deepstorm.io.movies.selection",
    "Simulation": "deepstorm.api.simulate",
    "SimulationSettings": "deepstorm.simulation.simulator",
    "TrainingSettings": "deepstorm.training.network",
    "Windows": "deepstorm.reconstruction.windows",
    "calibrate": "deepstorm.api.calibrate",
    "evaluate": "deepstorm.api.evaluate",
    "known_values": "deepstorm.api.known_values",
    "own_settings": "deepstorm.api.own_data",
    "reconstruct": "deepstorm.api.reconstruct",
    "simulate": "deepstorm.api.simulate",
    "train": "deepstorm.api.train",
    "train_like": "deepstorm.api.like",
    "train_on_own": "deepstorm.api.own_data",
}

__all__ = [
    "Calibration",
    "CalibrationOutputs",
    "Evaluation",
    "InputError",
    "KnownValues",
    "Localizations",
    "Outputs",
    "Reconstruction",
    "Region",
    "Simulation",
    "SimulationSettings",
    "TrainingSettings",
    "Windows",
    "calibrate",
    "evaluate",
    "known_values",
    "own_settings",
    "reconstruct",
    "simulate",
    "train",
    "train_like",
    "train_on_own",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepstorm' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
