"""What a training gives, whatever it learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepstorm.arrays import PathLike
from deepstorm.training.course.folder import REPORT_NAME
from deepstorm.training.course.loss_log import LOSSES_NAME

# A difference of this many of its standard errors is taken for one.
CERTAIN = 1.0


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What came of :func:`train`, :func:`adapt` or :func:`fine_tune`.

    Parameters
    ----------
    path : Path
        The network's file: the new one, or the one that the training started from if that is not
        worse.
    reports : Path
        The folder with losses and report of the training.
    measure : str
        By what the networks were compared, the less the better; empty where they were not.
    before, after : tuple of float
        Scores of the network from before, none for drawn weights, and of the new one. Where there
        are several, one for each movie that both saw.
    details : mapping
        What else a person wants to know, by name.
    calibration : mapping
        What was measured of the movie that a network was adapted to, as
        :func:`~deepstorm.api.calibrate.calibration_record` has it.
    """

    path: Path
    reports: Path
    measure: str = ""
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)

    @property
    def improved(self) -> bool:
        """Whether the new network is better, beyond the chance of what it was compared on."""
        if not self.before:
            return True
        gain = np.subtract(self.before, self.after)
        error = gain.std(ddof=1) / math.sqrt(len(gain)) if len(gain) > 1 else 0.0
        return bool(gain.mean() > CERTAIN * error)

    def figures(self) -> dict[str, Any]:
        """Return what a person wants to know, by name."""
        figures: dict[str, Any] = {"network": str(self.path)}
        if self.after:
            figures |= {
                "measure": self.measure,
                "before": float(np.mean(self.before)) if self.before else None,
                "after": float(np.mean(self.after)),
                "improved": self.improved,
            }
        reports = {"losses": LOSSES_NAME, "report": REPORT_NAME}
        files = {name: str(self.reports / file) for name, file in reports.items()}
        return figures | dict(self.details) | files


def training_folder(folder: PathLike | None, name: str) -> Path:
    """Return where a training lives: where the user says, or in ``runs``."""
    return Path("runs") / name if folder is None else Path(folder)
